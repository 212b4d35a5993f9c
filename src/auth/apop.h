/*
 * apop.h: APOP (RFC 1939 s.7): the stamps of greetings, and the digest. Pure but for what
 * libcrypto computes.
 *
 *     <1896697102312345678.9214364837600034817@pop.example.org>
 *
 * A stamp is good for one login of the connection that asked for it. The table is of a
 * fixed size: the oldest of a set makes room, and its connection cannot use APOP any
 * more.
 */
#ifndef AUTH_APOP_H
#define AUTH_APOP_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define APOP_STAMP_MAX 320
#define APOP_SETS      8192
#define APOP_WAYS      4

struct apop;

/* hostname: copied, "localhost" in its place where it cannot stand in a stamp. NULL: no
 * memory. */
struct apop *apop_new(const uint8_t key[32], struct view hostname);
void apop_free(struct apop **a);
/* A fresh stamp of this connection of this front; an older one of it is void. */
[[nodiscard]] bool apop_give(
	struct apop *a, uint64_t front, uint64_t connection, struct buf *out);
/* The stamp that it was given, for the last time. False: none, or it was taken. */
[[nodiscard]] bool apop_take(
	struct apop *a, uint64_t front, uint64_t connection, struct buf *out);

enum [[nodiscard]] apop_digest{
	APOP_RIGHT, APOP_WRONG, APOP_FAILED, /* libcrypto has no memory */
};
/* digest: 32 hex digits, in either case. In the same time, however many agree. */
enum apop_digest apop_check(struct view stamp, struct view password, struct view digest);

#endif
