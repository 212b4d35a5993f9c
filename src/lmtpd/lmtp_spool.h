/*
 * lmtp_spool.h: one message while it is received: in a memfd, and when it outgrows
 * spool_memory in a file of the monitor's. What it holds counts against spool_total.
 *
 * After an error it holds nothing and swallows the rest of the message: the MTA says all
 * of it before it hears the answer.
 */
#ifndef LMTPD_LMTP_SPOOL_H
#define LMTPD_LMTP_SPOOL_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

struct lmtpd;

struct lmtp_spool {
	int fd;		 /* -1: none yet */
	int read_fd;	 /* of a file, for reading only; -1: none */
	uint64_t octets; /* in it */
	bool is_file;
	int error; /* -errno: it was given up */
};

void spool_init(struct lmtp_spool *s);
/* Appends. Failure is kept in s->error. */
void spool_put(struct lmtpd *l, struct lmtp_spool *s, struct view octets);
/* It is in memory and larger than it may be there. */
[[nodiscard]] bool spool_wants_file(const struct lmtpd *l, const struct lmtp_spool *s);
/* From now on there. Takes both descriptors. Failure is kept in s->error. */
void spool_move(struct lmtpd *l, struct lmtp_spool *s, int take_write, int take_read);
/*
 * It is whole: nothing can be changed in it any more. The descriptor for keepers, which
 * is the spool's; or -errno.
 */
[[nodiscard]] int spool_seal(struct lmtpd *l, struct lmtp_spool *s);
/* Gives it up, because of this -errno; the first one counts. */
void spool_give_up(struct lmtpd *l, struct lmtp_spool *s, int err);
/* Empty again. */
void spool_clear(struct lmtpd *l, struct lmtp_spool *s);

#endif
