/*
 * transfer.h: the messages that a session is about to send (contract 3, ipc/slice.h):
 * slices that the keeper handed over ahead, and the one that is being sent. There is one
 * only while it holds something.
 *
 * Descriptors of slices and pieces come out of one budget of the front; where it is used
 * up, the session that used what it holds ahead longest ago gives it back, and where none
 * does, a session waits for its turn.
 */
#ifndef FRONT_TRANSFER_H
#define FRONT_TRANSFER_H

#include "front/body.h"
#include "front/conn.h"
#include "ipc/slice.h"

#define TRANSFER_SEEN_MAX     64U
#define TRANSFER_SEQUENCE     2U  /* messages in a row before others are asked ahead */
#define TRANSFER_AHEAD	      32U /* so many then, where the client waits for each */
#define TRANSFER_AHEAD_OCTETS 4194304U /* so many, where they are copies in memory */
#define TRANSFER_PIECE	      1048576U /* octets of one FETCH at most */
#define TRANSFER_PIECE_TOP    65536U   /* for TOP, which rarely needs more */
#define TRANSFER_TRIES	      3U       /* for what was lost for want of descriptors */

struct held {
	struct slice slice;
	int fd; /* -1: its kind has none */
};

/*
 * What a descriptor is for. Who waits for a slice holds none but what goes for others,
 * held ahead; who waits for a piece may hold the slice. So slices never take the last of
 * the budget, and pieces come first: then whoever waits for one is waiting for somebody
 * who can go on.
 */
enum budget_kind {
	BUDGET_PIECE,
	BUDGET_SLICE,
	BUDGET_KINDS,
	BUDGET_NOTHING = BUDGET_KINDS
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
	struct transfer *before, *behind; /* among those that wait for a descriptor */
	uint8_t waits_for;		  /* enum budget_kind */
	bool is_called;			  /* it has waited: its turn */

	struct held held[SLICES_BATCH_MAX]; /* by number */
	uint8_t held_n;
	uint32_t asked[SLICES_BATCH_MAX]; /* in the order of the answer */
	uint8_t asked_n, asked_at;
	uint8_t behind_it; /* requests that came with the one for the message that is
			      wanted */
	uint8_t tries;
	bool is_repeat; /* of the one before: it comes alone, those held ahead stay */

	struct held now; /* .fd is ours while a message is being sent */
	bool has_now;
	bool is_checked; /* `now` is a file, and one that a keeper may hand over */
	bool no_nowait;	 /* the file system turned out not to know RWF_NOWAIT */
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

/* ---- budget.c ---- */
/*
 * Takes 1 to n descriptors out of the budget; held ahead ones go for it. 0: there is
 * none, and conn_look comes when it is this one's turn.
 */
[[nodiscard]] uint32_t budget_take(struct transfer *t, enum budget_kind kind, uint32_t n);
/* As many of n as nobody needs; 0 where there is no such. */
[[nodiscard]] uint32_t budget_spare(struct front *f, enum budget_kind kind, uint32_t n);
void budget_back(struct front *f, uint32_t n);
/* Waits no more. */
void budget_leave(struct transfer *t);
/* What it holds ahead was used just now / is none any more. */
void budget_list(struct transfer *t);
void budget_unlist(struct transfer *t);
void transfer_drop_held(struct transfer *t);
void transfer_drop_piece(struct transfer *t, struct piece *p);

/* ---- transfer.c ---- */
/* SESSION_WANT_SLICE: uses a held slice or asks. in: what came and was not yet taken. */
enum step transfer_want(struct conn *c, struct view in);
/* The slice that the session waits for: used if it is here, asked for if nothing is. */
enum step transfer_look(struct conn *c);
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
