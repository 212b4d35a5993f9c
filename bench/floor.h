/*
 * floor.h: the least that a POP3 server can cost. One process, one epoll, no security, no
 * disk: every answer lies ready in one piece of memory, which is also a file, so that
 * answers can go by sendfile. Nothing of it is meant for use.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGES 16

struct range {
	uint64_t at, n; /* in the store */
};

struct floor_drop {
	char *name;
	uint32_t count;
	struct range stat, list, uidl;
	struct range *mails; /* by number, from 0; whole answers to RETR */
};

struct floor_store {
	int fd;
	char *map;
	uint64_t n, room;
	struct range ok, greeting, capa, error;
	uint32_t fault; /* 0, or the message of each maildrop that is handed out wrong */
};

struct kept {
	char *p;
	size_t n;
};

struct conn {
	int fd;
	bool tls, shaking, writing, quitting;
	SSL *ssl;
	const struct floor_drop *drop;
	struct range out[RANGES];
	uint32_t out_at, out_n;
	struct kept rest;    /* what came and is not answered yet */
	struct kept records; /* what the socket did not take */
};

extern struct floor_store store;
extern int polls;
extern bool by_sendfile;

/* Renders all Maildirs below base: each directory there is a user's. Dies with a reason.
 */
void floor_load(struct floor_store *s, const char *base);
const struct floor_drop *floor_find(const char *name);
struct range floor_put(struct floor_store *s, const char *text);

void keep(struct kept *k, const char *p, size_t n);
BIO *gather_open(void);
void gather_forget(void);
/* Sends what is ready. False: the connection is done for. */
[[nodiscard]] bool flush(struct conn *c);

[[gnu::noreturn, gnu::format(printf, 1, 2)]] void die(const char *format, ...);

#endif
