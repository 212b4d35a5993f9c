/*
 * mbox_append.h: mail appended to an mbox that a crash cannot leave half there.
 *
 * Before the mbox grows, .NAME.restante-append says where its messages will begin and end
 * and what they are the digests of, and is synced; when all is on the disk its checksum
 * is made zero. Who opens the mbox and finds a note that was not cleared cuts off what is
 * not whole: nobody was told that it is there. What others appended behind it stays. The
 * note is believed only where the mbox still has what it says was before, and its own
 * octets behind that; the file stays for the next deposit.
 */
#ifndef STORE_MBOX_APPEND_H
#define STORE_MBOX_APPEND_H

#include "store/mbox_state.h"

#define MBOX_APPEND_MAX	  32 /* messages of one note */
#define MBOX_APPEND_FIRST 64 /* octets that tell whether it is ours that lies there */

struct mbox_appended {
	uint64_t from, end; /* of the From_ line; of the message with its separator */
	uint8_t digest[MBOX_DIGEST]; /* of all from the end of the one before */
	uint64_t first_n;
	uint8_t first[MBOX_APPEND_FIRST]; /* octets from `from` on */
};

struct mbox_append {
	uint64_t old_size;
	uint32_t n;
	struct mbox_appended list[MBOX_APPEND_MAX];
};

/* Durable before anything is appended. -EACCES: no note can be made here. */
[[nodiscard]] int mbox_append_begin(struct mbox *m, int fd, const struct mbox_append *a);
/* All of it is there and synced, or was taken back. Durable before the lock is given up:
 * who rewrites the mbox then may move other mail to where the note says, and a note that
 * a power cut brought back would take that for half of what was appended. */
[[nodiscard]] int mbox_append_end(struct mbox *m);
/* Whether a note was not cleared. */
[[nodiscard]] bool mbox_append_is_there(const struct mbox *m);
/* Cuts off what a crash left of an append. Lock held for writing. */
[[nodiscard]] int mbox_append_settle(struct mbox *m, int fd);

#endif
