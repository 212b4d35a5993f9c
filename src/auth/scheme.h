/*
 * scheme.h: stored passwords, {SCHEME}text as in Dovecot's passwd-file.
 *
 * One row of scheme.c each. A password without a prefix is CRYPT. The name may carry
 * .b64, .base64 or .hex, which says how the text is written; names in any case.
 */
#ifndef AUTH_SCHEME_H
#define AUTH_SCHEME_H

#include "pop3/view.h"

#include <stdbool.h>

/* A stored password, decoded. Longer ones are reported as bad. */
#define SCHEME_OCTETS_MAX 1024
/* No hash in the file may eat the machine. */
#define SCHEME_MEMORY_MAX      ((uint64_t)1 << 30)
#define SCHEME_BCRYPT_COST_MAX 20
#define SCHEME_ROUNDS_MAX      100000000
#define SCHEME_PASSES_MAX      4096
#define SCHEME_LANES_MAX       64

enum scheme_fault {
	SCHEME_OK,
	SCHEME_EMPTY,	/* no password at all */
	SCHEME_LOCKED,	/* begins with ! or *, as passwd -l writes it: no fault, no login
			 */
	SCHEME_UNKNOWN, /* a name that no row has */
	SCHEME_BAD,	/* not a hash of that scheme */
	SCHEME_COSTLY,	/* beyond the limits above */
};

enum scheme_answer {
	SCHEME_YES,
	SCHEME_NO,
	SCHEME_FAILED, /* no memory: this says nothing about the password */
};

struct scheme;

struct stored {
	const struct scheme *scheme;
	uint8_t octets[SCHEME_OCTETS_MAX + 1]; /* decoded, with a NUL behind it */
	size_t n;
	/* Where the parameters of cost stand in octets: equal text, equal time. */
	size_t cost_at, cost_n;
};

/* What a slow hash works in; each thread has one (32 KiB for crypt). */
struct scheme_work;
struct scheme_work *scheme_work_new(void);
void scheme_work_free(struct scheme_work **w); /* wiped */

/*
 * The password field of a line. On anything but SCHEME_OK *ret is not to be used;
 * *ret_name is then the scheme's name (borrowed from the field), for the report.
 */
[[nodiscard]] enum scheme_fault scheme_read(
	struct view field, struct stored *ret, struct view *ret_name);
/* Of a field that scheme_read found right: what it costs (cost_at, cost_n) is not told.
 */
[[nodiscard]] enum scheme_fault scheme_read_again(
	struct view field, struct stored *ret, struct view *ret_name);
/* Slow ones go to a thread; the others are checked on the spot. */
bool scheme_is_slow(const struct stored *s);
const char *scheme_name(const struct stored *s);
/* w may be NULL where the scheme is not slow. Reads all of the password, NULs too. */
[[nodiscard]] enum scheme_answer scheme_verify(
	const struct stored *s, struct view password, struct scheme_work *w);
/* The same scheme at the same cost. */
bool scheme_same_cost(const struct stored *a, const struct stored *b);

/* Everything that libcrypto and libcrypt would load late, before the cage is shut. */
[[nodiscard]] bool scheme_warm_up(void);

#endif
