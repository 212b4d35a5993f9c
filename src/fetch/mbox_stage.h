/*
 * mbox_stage.h: what is about to be appended to an mbox, written and synced beside the
 * state before the mbox is touched, so that a killed run's torn tail can be told from
 * other programs' mail and completed.
 *
 *     | text of letter 1 | ... | letter n | n rows: mark 16, start 8, length 8, SHA-256
 * 32 | magic 8 | nonce 8 | old size of the mbox 8 | octets of text 8 | n 4 | 0 4 |
 * SHA-256 of rows and of the fields before |
 *
 * Integers are little-endian. The nonce is also in the journal's name of each letter:
 * a stage of another batch says nothing.
 */
#ifndef FETCH_MBOX_STAGE_H
#define FETCH_MBOX_STAGE_H

#include "fetch/letter.h"
#include "fetch/mboxrd.h"

#define STAGE_MARK_OCTETS  16
#define STAGE_LETTERS_MAX  100000
#define STAGE_NONCE_OCTETS 8

struct stage_row {
	uint8_t mark[STAGE_MARK_OCTETS];
	uint64_t start, length;
	uint8_t digest[DIGEST_OCTETS];
	bool found; /* the replay's */
};

struct stage {
	int fd;
	uint8_t nonce[STAGE_NONCE_OCTETS];
	uint64_t old_size, text_n;
	size_t n, room;
	struct stage_row *rows;
};

/* An empty one over whatever was there; -1 in fd until then. */
[[nodiscard]] int stage_begin(struct stage *s, int state_dir, const char *name,
	const uint8_t nonce[STAGE_NONCE_OCTETS], uint64_t old_size);
/* prefix goes before the letter's From_ line. An error leaves the stage as it was. */
[[nodiscard]] int stage_add(struct stage *s, const struct letter *l,
	const uint8_t mark[STAGE_MARK_OCTETS], const char *prefix, uint64_t now_s);
/* Rows and end; synced, with its directory. */
[[nodiscard]] int stage_seal(struct stage *s, int state_dir);
/* Reads one back. -ENOENT: there is none, or it was never sealed. */
[[nodiscard]] int stage_load(struct stage *s, int state_dir, const char *name);
void stage_free(struct stage *s);

#endif
