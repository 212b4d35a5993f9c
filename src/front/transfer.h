/*
 * transfer.h: the messages that a session is about to send (contract 3, ipc/slice.h):
 * slices that the keeper handed over ahead, and the one that is being sent. There is one
 * only while it holds something.
 *
 * Read-ahead descriptors come out of one budget of the front; where it is used up, the
 * session that used its own longest ago gives them back.
 */
#ifndef FRONT_TRANSFER_H
#define FRONT_TRANSFER_H

#include "front/body.h"
#include "front/conn.h"
#include "ipc/slice.h"

#define TRANSFER_SEEN_MAX  64U
#define TRANSFER_SEQUENCE  2U	    /* messages in a row before others are asked ahead */
#define TRANSFER_PIECE	   1048576U /* octets of one FETCH at most */
#define TRANSFER_PIECE_TOP 65536U   /* for TOP, which rarely needs more */
#define TRANSFER_TRIES	   3U	    /* for what was lost for want of descriptors */

struct held {
	struct slice slice;
	int fd; /* -1: its kind has none */
};

/* A part of a message in a sealed memfd. */
struct piece {
	int fd; /* -1: none */
	uint64_t offset;
	uint32_t length;
};

struct transfer {
	struct conn *conn;
	struct transfer *older, *newer; /* among those with slices held ahead */
	bool is_listed;

	struct held held[SLICES_BATCH_MAX];
	uint8_t held_n;
	uint32_t asked[SLICES_BATCH_MAX]; /* in the order of the answer */
	uint8_t asked_n, asked_at;
	uint8_t tries;

	struct held now; /* .fd is ours while a message is being sent */
	bool has_now;
	bool no_nowait; /* the file system turned out not to know RWF_NOWAIT */
	struct body body;

	struct piece piece, piece_next;
	bool is_fetching;
	bool is_fetch_stale; /* the answer is of no use any more */
	uint8_t fetch_tries;
	uint32_t fetch_msgno, fetch_length;
	uint64_t fetch_offset;

	uint32_t seen[TRANSFER_SEEN_MAX]; /* sent whole; told once they have left */
	uint8_t seen_n;
};

/* ---- transfer.c ---- */
/* SESSION_WANT_SLICE: uses a held slice or asks. */
enum step transfer_want(struct conn *c);
/* The messages that arrive. False: the keeper broke the rules. */
[[nodiscard]] bool transfer_slices(
	struct conn *c, struct view payload, struct received *r);
/* Their descriptors were lost: with a smaller window, again. False as above. */
[[nodiscard]] bool transfer_slices_lost(struct conn *c, struct view payload);
[[nodiscard]] int transfer_send_want(struct conn *c);
/* Lets go of all that can go; frees the transfer where nothing is left in it. */
void transfer_idle(struct conn *c);
void transfer_free(struct conn *c);
void transfer_now_done(struct conn *c);
/* A message has left whole (option mark_seen). */
void transfer_send_seen(struct conn *c);

/* ---- pump.c ---- */
/* SESSION_WANT_BODY. */
enum step pump_begin(struct conn *c);
/* One block more. */
enum step pump_step(struct conn *c, struct turn *t);
[[nodiscard]] bool pump_fetched(struct conn *c, struct view payload, struct received *r);
[[nodiscard]] bool pump_fetched_lost(struct conn *c);
[[nodiscard]] int pump_send_fetch(struct conn *c);
void pump_end(struct conn *c);

#endif
