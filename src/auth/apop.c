#include "auth/apop.h"
#include "auth/encoding.h"
#include "auth/mac.h"
#include "base/ascii.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_N 16

/* Who has an unused stamp: the serial number makes it another one each time. */
struct apop_entry {
	uint64_t front, connection, serial; /* serial 0: free */
};

struct apop {
	uint8_t key[32];
	uint64_t serial; /* the last that was given */
	size_t hostname_n;
	uint8_t hostname[255];
	struct apop_entry entries[APOP_SETS * APOP_WAYS];
};

/* What may stand in a msg-id (RFC 822 s.4.1) whatever a client makes of it. */
static bool
is_hostname(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_is_graph(v.p[i]) || memchr("<>@\"\\", v.p[i], 5))
			return false;
	return v.n > 0;
}

struct apop *
apop_new(const uint8_t key[32], struct view hostname)
{
	struct apop *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	if (hostname.n > sizeof(a->hostname) || !is_hostname(hostname))
		hostname = VIEW("localhost");
	memcpy(a->key, key, sizeof(a->key));
	memcpy(a->hostname, hostname.p, hostname.n);
	a->hostname_n = hostname.n;
	return a;
}

void
apop_free(struct apop **a)
{
	if (*a) {
		explicit_bzero(*a, sizeof(**a));
		free(*a);
	}
	*a = NULL;
}

static bool
mac_entry(const struct apop *a, const struct apop_entry *e, uint64_t ret[2])
{
	uint8_t octets[24];
	uint8_t mac[MAC_OCTETS];
	struct buf b = buf_over(octets, sizeof(octets));

	buf_put_u64(&b, e->front);
	buf_put_u64(&b, e->connection);
	buf_put_u64(&b, e->serial);
	struct view part = buf_view(&b);
	if (!mac_of(a->key, &part, 1, mac))
		return false;
	memcpy(ret, mac, 16);
	return true;
}

static bool
put_stamp(const struct apop *a, const struct apop_entry *e, struct buf *out)
{
	uint64_t numbers[2];

	if (!mac_entry(a, e, numbers))
		return false;
	buf_put_u8(out, '<');
	buf_put_dec(out, numbers[0]);
	buf_put_u8(out, '.');
	buf_put_dec(out, numbers[1]);
	buf_put_u8(out, '@');
	buf_put(out, a->hostname, a->hostname_n);
	buf_put_u8(out, '>');
	return !out->full;
}

/* The entry of this connection in its set, else the oldest there. */
static struct apop_entry *
find(struct apop *a, const struct apop_entry *wanted, bool *ret_found)
{
	uint8_t octets[16];
	struct buf b = buf_over(octets, sizeof(octets));

	buf_put_u64(&b, wanted->front);
	buf_put_u64(&b, wanted->connection);
	/* Under the key: a front cannot choose whose stamps it pushes out. */
	uint64_t number = mac_number(a->key, buf_view(&b));
	struct apop_entry *set = &a->entries[number % APOP_SETS * APOP_WAYS];
	struct apop_entry *oldest = &set[0];
	for (size_t i = 0; i < APOP_WAYS; i++) {
		*ret_found = set[i].serial != 0 && set[i].front == wanted->front &&
			set[i].connection == wanted->connection;
		if (*ret_found)
			return &set[i];
		if (set[i].serial < oldest->serial)
			oldest = &set[i];
	}
	return oldest;
}

bool
apop_give(struct apop *a, uint64_t front, uint64_t connection, struct buf *out)
{
	struct apop_entry wanted = {.front = front, .connection = connection};
	bool found = false;
	struct apop_entry *e = find(a, &wanted, &found);

	wanted.serial = ++a->serial;
	*e = wanted;
	return put_stamp(a, e, out);
}

bool
apop_take(struct apop *a, uint64_t front, uint64_t connection, struct buf *out)
{
	struct apop_entry wanted = {.front = front, .connection = connection};
	bool found = false;

	/* Each login comes here, also where there is no APOP. */
	if (a->serial == 0)
		return false;
	struct apop_entry *e = find(a, &wanted, &found);
	if (!found)
		return false;
	wanted = *e;
	*e = (struct apop_entry){.serial = 0};
	return put_stamp(a, &wanted, out);
}

enum apop_digest
apop_check(struct view stamp, struct view password, struct view digest)
{
	uint8_t want[DIGEST_N];
	uint8_t got[DIGEST_N];
	struct buf out = buf_over(got, sizeof(got));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 &&
		EVP_DigestUpdate(ctx, stamp.p, stamp.n) == 1 &&
		EVP_DigestUpdate(ctx, password.p, password.n) == 1 &&
		EVP_DigestFinal_ex(ctx, want, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	bool read = hex_decode(digest, &out) && out.n == sizeof(got);
	bool equal = ok && read && CRYPTO_memcmp(want, got, sizeof(want)) == 0;
	explicit_bzero(want, sizeof(want));
	if (!ok)
		return APOP_FAILED;
	return equal ? APOP_RIGHT : APOP_WRONG;
}
