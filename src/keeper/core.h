/*
 * core.h: what a keeper decides, pure: which message a session may send when, whether
 * what it says can be true, and what it is answered. Every message comes from a front
 * that may be taken over: false means a fault that ends that session and nothing else.
 */
#ifndef KEEPER_CORE_H
#define KEEPER_CORE_H

#include "ipc/message.h"
#include "ipc/permit.h"
#include "ipc/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define KEEPER_PIECE_MAX 1048576U /* octets in one sealed memfd for a front */

enum keeper_state {
	KEEPER_ATTACHING, /* waits for the maildrop */
	KEEPER_SERVING,	  /* SNAPSHOT was sent */
	KEEPER_JUDGING,	  /* a part of the verdict has come */
	KEEPER_ACCEPTING, /* waits for DEPOSIT; takes no part in a session's lock */
	KEEPER_STORING,	  /* it has come */
	KEEPER_ENDED,	  /* the last answer is on its way */
};

/* Whether a session may send this now, with these rights of its permit. */
[[nodiscard]] bool keeper_allows(
	enum keeper_state state, uint16_t number, uint8_t rights);

/* RIGHT_DELIVER stands alone: who brings mail does not read it. */
[[nodiscard]] bool keeper_rights_are_sound(uint8_t rights);

/* Message numbers still to be answered with slices. */
struct keeper_wants {
	uint32_t msgno[SLICES_BATCH_MAX];
	uint32_t n, at;
};
[[nodiscard]] bool keeper_wants_take(
	struct keeper_wants *w, struct view msgnos, uint32_t count);

/*
 * Whether a session takes messages as they are stored (RFC 6856), or rewritten: said with
 * each WANT and FETCH, and always the same.
 */
struct keeper_form {
	bool said, utf8;
};
[[nodiscard]] bool keeper_form_take(struct keeper_form *f, uint8_t utf8);

[[nodiscard]] bool keeper_fetch_is_sound(const struct msg_fetch *m, uint32_t count);

/* The verdict as it comes in parts: bit idx of octets. */
struct keeper_marks {
	uint8_t *octets; /* (count + 7) / 8, zeroed by the caller */
	uint32_t count;	 /* of messages */
	uint32_t marked;
	uint64_t next; /* message number that the next part may begin with */
};
[[nodiscard]] bool keeper_marks_take(
	struct keeper_marks *m, const struct msg_verdict *part);

/* What becomes of a login. */
enum keeper_admission {
	KEEPER_ADMIT,
	KEEPER_YIELD,  /* ask the holder to go and wait a little */
	KEEPER_WAIT,   /* it was asked */
	KEEPER_REFUSE, /* with the code */
};
struct keeper_question {
	bool held;  /* by another session here */
	bool asked; /* ... which was asked to yield */
	uint64_t ask_until_ms;
	uint32_t takeover_s;	/* 0: never */
	uint32_t others;	/* sessions of the user on other maildrops, or waiting */
	uint32_t others_max;	/* 0: no limit */
	uint64_t last_login_ms; /* on this maildrop; 0: never */
	uint32_t delay_s;
	uint64_t now_ms;
};
enum keeper_admission keeper_admit(const struct keeper_question *q, uint8_t *ret_code);

/* enum refusal for an error of the store. */
uint8_t keeper_refusal_of(int negative_errno);
/* enum verdict_outcome for the result of a removal. */
uint8_t keeper_outcome_of(int result, uint32_t remain);
/* enum deposit_outcome for what became of a message in the store. */
uint8_t keeper_deposit_outcome_of(int result);

#endif
