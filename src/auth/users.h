/*
 * users.h: the users file in memory: one buffer with the file as it was, and a hash table
 * of where each name stands. A line is read anew at each look-up, so nothing else needs
 * to be kept of it.
 */
#ifndef AUTH_USERS_H
#define AUTH_USERS_H

#include "auth/census.h"
#include "auth/users_line.h"

#include <stdbool.h>
#include <stdint.h>

#define USERS_OCTETS_MAX  ((size_t)256 << 20)
#define USERS_COUNT_MAX	  5000000
#define USERS_REPORTS_MAX 100
/* How a recipient may stand in a database: see users_find_recipient. */
#define USERS_RECIPIENT_VARIANTS 7

/* A line that is wrong; the views borrow from the users. */
struct users_report {
	uint32_t line;
	enum users_fault fault;
	struct view name, about;
};

struct users;

/*
 * Takes the malloc'ed octets (wiped and freed by users_free, and on failure). key makes
 * the table's order and the dummies unpredictable. NULL where there is no memory.
 * Templates in options are copied.
 */
struct users *users_new(uint8_t *take_octets, size_t n,
	const struct users_options *options, const uint8_t key[32]);
/*
 * Reads the descriptor, which stays the caller's: 0, -EFBIG over USERS_OCTETS_MAX,
 * -EINVAL where it is no plain file, or what pread said.
 */
[[nodiscard]] int users_load(int fd, const struct users_options *options,
	const uint8_t key[32], struct users **ret);
void users_free(struct users **u);

/*
 * The user of exactly this name, byte for byte. USERS_OK: may log in with the right
 * password. False where no line has the name; else *ret_fault says why the user cannot
 * log in.
 */
bool users_find(const struct users *u, struct view name, struct user *ret,
	enum users_fault *ret_fault);
/*
 * Whose mail a recipient's is: the user of exactly this name; else of the name without
 * the part from the delimiter on (within the local part; 0: there is none); else of the
 * same two with the domain in small letters (RFC 5321 s.2.4); else of the same two
 * without "@" and the domain; and postmaster in any case as "postmaster" (RFC
 * 5321 s.4.5.1). As users_find.
 */
bool users_find_recipient(const struct users *u, struct view name, uint8_t delimiter,
	struct user *ret, enum users_fault *ret_fault);
/* Variant i of it, from 0 in the order above; false: this recipient has none such. */
bool users_recipient(
	struct view name, uint8_t delimiter, unsigned variant, struct buf *out);
/* As users_find, where no password is asked for: that there is none is no fault. */
bool users_find_without(const struct users *u, struct view name, struct user *ret,
	enum users_fault *ret_fault);

/* Schemes and costs of all users that can log in; never empty. */
const struct census *users_census(const struct users *u);

/* Over all users that can log in: what may be offered before it is known who it is. */
struct users_offer {
	uint32_t mechanisms; /* that work for one of them at least */
	size_t users, with_expire, with_delay;
	uint32_t expire_min, expire_max, delay_min, delay_max; /* of those with one */
};

const struct users_offer *users_offer(const struct users *u);

size_t users_count(const struct users *u);
/* The first USERS_REPORTS_MAX lines that are wrong, and how many there are in all. */
const struct users_report *users_reports(
	const struct users *u, size_t *ret_n, size_t *ret_all);

#endif
