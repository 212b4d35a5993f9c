/*
 * spool_parts.h: what the files of the spool share.
 */
#ifndef FETCH_SPOOL_PARTS_H
#define FETCH_SPOOL_PARTS_H

#include "fetch/durable.h"
#include "fetch/header.h"
#include "fetch/spool.h"
#include "pop3/dot.h"
#include "wire/line_ends.h"

#include <openssl/evp.h>
#include <pthread.h>

#define SPOOL_BLOCK (64 * 1024)

/* Of a letter that is being written; used again for the next. */
struct writing {
	struct header_sink sink; /* first: the sink is the writing */
	struct writing *next;	 /* where it is free */
	EVP_MD_CTX *all, *header;
	struct line_ends ends;
	struct dot_state dot;
	int error;	      /* sticky */
	uint8_t from_at;      /* octets of "From " met at the very start */
	bool from_done, drop; /* the first line is known; it is being dropped */
	size_t n;
	uint8_t block[SPOOL_BLOCK];
};

struct spool {
	const struct fetch_account *account;
	char *state_dir;
	int dir, target;
	bool to_lf;
	char mark[SPOOL_MARK_MAX];
	char run[40]; /* of this opening alone: the process and a random number */
	struct writing *free;
	pthread_mutex_t lock; /* of the rest */
	uint64_t counter;
	struct {
		int fd;
		uint64_t number;
	} stock[SPOOL_STOCK_MAX]; /* a ring */
	uint32_t stock_first, stock_n;
};

/* STATE/id: 16 random octets, made once, durable. */
[[nodiscard]] int spool_id(const char *state_dir, uint8_t ret[16]);
/* The header line of trace = yes, with CRLF; its length. */
size_t spool_received(
	const struct fetch_account *a, uint64_t now_s, char *ret, size_t cap);
/* Everything collected goes to the file. */
[[nodiscard]] int spool_flush(struct letter *l);
/* The writing, if there is one, is free again. */
void spool_release(struct spool *s, struct letter *l);

#endif
