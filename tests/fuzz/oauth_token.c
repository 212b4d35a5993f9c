#include "base/check.h"
#include "helper/oauth.h"
#include "helper/oauth_jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
claims(const json_t *object)
{
	static const struct oauth_rules rules = {
		.user_claims = {.of = {VIEW("email"), VIEW("sub")}, .n = 2}};
	uint8_t storage[1024];
	struct buf name = buf_over(storage, sizeof(storage));
	uint32_t valid_s = 0;

	if (!oauth_claims_check(object, &rules, false, 1700000000, &name, &valid_s))
		CHECK(name.n > 0 && name.n <= 255);
}

/* A token, a set of keys, or claims: whatever it is, it is read or refused. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct view in = {p, n};
	struct oauth_keys keys = {.n = 0};
	struct jws j;
	json_t *object = oauth_json_object(in);

	if (object)
		claims(object);
	json_decref(object);
	if (!jws_read(in, &j)) {
		CHECK(j.text.n < n && j.signature_n <= sizeof(j.signature));
		claims(j.claims);
		jws_free(&j);
	}
	if (!oauth_keys_read(in, &keys))
		CHECK(keys.n > 0 && keys.n <= OAUTH_KEYS_MAX);
	oauth_keys_free(&keys);
	return 0;
}
