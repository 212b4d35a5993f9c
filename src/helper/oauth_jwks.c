/*
 * oauth_jwks.c: the keys of the identity provider, fetched now and then, and tokens that
 * are checked with them without asking anybody.
 *
 * Keys older than oauth_jwks_cache do not count: who takes a key back at the provider can
 * rely on that. A token with a kid that is not known makes us fetch once, at most once a
 * minute, well or not: strangers cannot make us a burden to the provider, and one that
 * swallows what we say holds nobody up for longer than one try a minute.
 */
#include "base/check.h"
#include "helper/helper.h"
#include "helper/oauth.h"
#include "helper/oauth_jws.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define UNKNOWN_MS 60000
/* Between two tries where the first failed: a login after that fails at once. One that
 * took long is followed by a pause that is longer still, so that tokens that need no
 * fetch are checked meanwhile. */
#define FAILED_MS     2000
#define FAILED_TIMES  4
#define FAILED_MS_MAX 60000

static const char *
read_file(const char *path, uint8_t **ret, size_t *ret_n)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int e = fd < 0 ? -errno : fd_read_file(fd, OAUTH_BODY_MAX, ret, ret_n);

	return e < 0 ? strerrordesc_np(-e) : NULL;
}

static const char *
load(struct oauth_jwks *j, struct oauth_keys *ret)
{
	struct oauth_request r = {.url = j->where};
	AUTO_FREE uint8_t *text = NULL;
	size_t n = 0;
	const char *why = j->where[0] == '/' ? read_file(j->where, &text, &n)
					     : oauth_http_ask(j->http, &r, &text, &n);

	return why ? why : oauth_keys_read((struct view){text, n}, ret);
}

static uint64_t
pause_after(uint64_t took_ms)
{
	uint64_t ms = took_ms * FAILED_TIMES;

	if (ms < FAILED_MS)
		return FAILED_MS;
	return ms < FAILED_MS_MAX ? ms : FAILED_MS_MAX;
}

/* Whether there are new ones now; the old ones stay, for as long as they live. */
static bool
fetch(struct oauth_jwks *j, uint64_t now_ms)
{
	struct oauth_keys found = {.n = 0};

	if (j->is_down && now_ms < j->retry_ms)
		return false;
	const char *why = load(j, &found);
	if (why) {
		if (!j->is_down)
			helper_log("oauth_keys",
				"the key set of oauth_jwks cannot be had", why);
		j->is_down = true;
		j->retry_ms = clock_ms() + pause_after(clock_ms() - now_ms);
		return false;
	}
	if (j->is_down)
		helper_log(
			"oauth_keys", "the key set of oauth_jwks is there again", NULL);
	j->is_down = false;
	oauth_keys_free(&j->keys);
	j->keys = found;
	j->until_ms = now_ms + j->lifetime_ms;
	return true;
}

static bool
is_live(const struct oauth_jwks *j, uint64_t now_ms)
{
	return j->keys.n > 0 && now_ms < j->until_ms;
}

void
oauth_jwks_idle(struct oauth_jwks *j)
{
	uint64_t now_ms = clock_ms();

	/* The last fifth of their life. */
	if (!is_live(j, now_ms + j->lifetime_ms / 5))
		(void)fetch(j, now_ms); /* those that wait for keys are told */
}

static enum oauth_checked
check_signature(
	struct oauth_jwks *j, const struct jws *t, uint64_t now_ms, bool *ret_down)
{
	const char *kid = t->has_kid ? t->kid : NULL;
	struct view sig = {t->signature, t->signature_n};
	enum oauth_checked got =
		oauth_keys_check(&j->keys, t->algorithm, kid, t->text, sig);

	*ret_down = false;
	if (got != OAUTH_UNKNOWN_KEY)
		return got;
	if (j->has_asked_unknown && now_ms - j->unknown_ms < UNKNOWN_MS) {
		*ret_down = j->is_down;
		return got;
	}
	bool fetched = fetch(j, now_ms);
	j->has_asked_unknown = true;
	j->unknown_ms = clock_ms();
	if (!fetched) {
		*ret_down = true;
		return got;
	}
	return oauth_keys_check(&j->keys, t->algorithm, kid, t->text, sig);
}

static enum oauth_end
check(struct oauth_jwks *j, const struct jws *t, const char **ret_reason)
{
	uint64_t now_ms = clock_ms();
	bool down = false;

	if (!is_live(j, now_ms) && !fetch(j, now_ms)) {
		*ret_reason = "the keys of the identity provider cannot be had";
		return OAUTH_NO_ANSWER;
	}
	switch (check_signature(j, t, now_ms, &down)) {
	case OAUTH_SIGNED: return OAUTH_GOOD;
	case OAUTH_NOT_SIGNED:
		*ret_reason = "the token's signature is wrong";
		return OAUTH_REFUSED;
	case OAUTH_UNKNOWN_KEY: break;
	}
	*ret_reason = down ? "the keys of the identity provider cannot be had anew"
			   : "no key of oauth_jwks fits the token's kid and algorithm";
	return down ? OAUTH_NO_ANSWER : OAUTH_REFUSED;
}

enum oauth_end
oauth_jwks_check(struct oauth_jwks *j, struct view token, const struct oauth_rules *rules,
	struct buf *ret_name, uint32_t *ret_valid_s, const char **ret_reason)
{
	struct jws t;
	const char *why = jws_read(token, &t);
	enum oauth_end end = OAUTH_REFUSED;

	*ret_reason = why;
	if (why)
		return end;
	end = check(j, &t, ret_reason);
	if (end == OAUTH_GOOD) {
		*ret_reason = oauth_claims_check(
			t.claims, rules, true, clock_unix_s(), ret_name, ret_valid_s);
		end = *ret_reason ? OAUTH_REFUSED : OAUTH_GOOD;
	}
	jws_free(&t);
	return end;
}
