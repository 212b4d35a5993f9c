/*
 * mbox_intent.h: a removal from an mbox that a crash cannot cut in two (threats, rule 1).
 *
 * What is to stand in the file from `start` on is first written to the intent file, which
 * is synced and gets its name only then; after that the file is written, synced, cut off,
 * synced, and the intent removed. Who finds an intent does all of that again. The file:
 *
 *     header  struct disk_intent; the checksum is XXH3 over the rest of it
 *     tail    what comes behind start
 *
 * It needs as much room as the mail that stays behind the first removed message; where
 * none does, the file is cut off by one call and needs no intent. Little-endian.
 */
#ifndef STORE_MBOX_INTENT_H
#define STORE_MBOX_INTENT_H

#include "store/mbox_state.h"

#include <stdbool.h>
#include <stdint.h>

struct mbox_range {
	uint64_t from, to;
};

/* What stays behind `start`, in order; the octets before start stay as they are. */
struct mbox_cut {
	uint64_t start, old_size;
	const struct mbox_range *kept;
	size_t kept_n;
};

/* Octets of the mbox afterwards. */
uint64_t mbox_cut_size(const struct mbox_cut *cut);
/*
 * Rewrites the mbox, whose lock is held for writing. An error with *ret_touched false:
 * the mbox is as it was, and no intent is left. With true: nobody knows, or the intent
 * is there.
 */
[[nodiscard]] int mbox_cut_in_place(
	struct mbox *m, int fd, const struct mbox_cut *cut, bool *ret_touched);
/* By a new file that takes the name. -ENOTSUP: it would not have the same owner and mode;
 * else as above. */
[[nodiscard]] int mbox_cut_by_rename(
	struct mbox *m, int fd, const struct mbox_cut *cut, bool *ret_touched);

[[nodiscard]] bool mbox_intent_is_there(const struct mbox *m);
/*
 * Completes what an intent says; what others appended since comes behind it. One that
 * does not fit the mbox any more is set aside. Lock held for writing.
 */
[[nodiscard]] int mbox_intent_replay(struct mbox *m, int fd);

/* mbox_copy.c: octets from one file to another; digest may be NULL. */
[[nodiscard]] int mbox_copy(
	int from, uint64_t at, uint64_t n, int to, uint64_t to_at, XXH3_state_t *digest);
/* The digest of octets as they lie there. */
[[nodiscard]] int mbox_digest_of(
	int fd, uint64_t at, uint64_t n, uint8_t ret[MBOX_DIGEST]);
/* A file that a client does not see yet; one that a crash left is removed. */
[[nodiscard]] int mbox_create(int dir, const char *name, unsigned mode);
[[nodiscard]] int mbox_sync(int fd);
/* EINVAL: a file system that cannot sync directories has no more to give. */
[[nodiscard]] int mbox_sync_dir(int dir);

#endif
