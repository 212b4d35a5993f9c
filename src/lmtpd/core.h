/*
 * core.h: what lmtpd decides about one message and its recipients. Pure: no system call,
 * no allocation; time is an argument.
 *
 * A transaction is a list of recipients in the order of RCPT. Each is asked about once
 * (twins, of the same text, share one answer and one deposit), refused or held, given the
 * message, and ended with an outcome. Answers come from outside in any order;
 * core_next_rcpt and core_next_outcome give them out in the order of the recipients.
 *
 * RCPT commands that wait in the input can be foretold: they are asked about ahead, and
 * claimed when their turn has come.
 */
#ifndef LMTPD_CORE_H
#define LMTPD_CORE_H

#include "pop3/view.h"
#include "wire/lmtp_server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_LOOKUP_MS	UINT64_C(30000)	 /* for auth and the monitor to answer */
#define CORE_DEPOSIT_MS UINT64_C(600000) /* for a keeper; RFC 5321 s.4.5.3.2.6 */
#define CORE_NEVER	UINT64_MAX
#define CORE_ADDRESS	16U /* octets of an address, IPv4 as ::ffff:a.b.c.d */
#define CORE_NETWORK	17U /* an address, and how many bits of it count */

enum recipient_state {
	RECIPIENT_ASKED,   /* auth or the monitor is to answer */
	RECIPIENT_REFUSED, /* by `answer`, at RCPT */
	RECIPIENT_HELD,	   /* accepted: a way to its keeper is there */
	RECIPIENT_GIVEN,   /* its keeper has the message, and is to answer */
	RECIPIENT_ENDED,   /* with `outcome`, after the message */
};

struct recipient {
	struct view name;
	struct recipient *twin; /* the first of the same text, which is mostly itself */
	uint64_t asked_ms;
	uint8_t state;	 /* enum recipient_state; of a twin that of the first counts */
	uint8_t answer;	 /* enum lmtp_recipient_answer */
	uint8_t outcome; /* enum lmtp_outcome */
};

struct transaction {
	struct recipient **list; /* the caller's room, for at least n + 1 */
	uint32_t n;
	uint32_t claimed;  /* whose RCPT has come: the first so many */
	uint32_t answered; /* of these, whose RCPT was answered */
	uint32_t told;	   /* whose outcome was told, or who has none */
	uint32_t open;	   /* held or given: without an outcome */
	bool is_whole;	   /* the message is: outcomes are due */
	uint64_t whole_ms; /* since when */
};

struct tally {
	uint32_t accepted, stored, temporary, permanent; /* of those claimed */
};

/* As the MTA reads it: "550", "5.1.1". */
struct reply_codes {
	const char *code, *enhanced;
};
struct reply_codes core_recipient_codes(enum lmtp_recipient_answer a);
struct reply_codes core_outcome_codes(enum lmtp_outcome o);

/* Of an enum refusal, an enum deposit_outcome, or an -errno of the spool. */
enum lmtp_recipient_answer core_of_refusal(uint8_t code);
enum lmtp_outcome core_of_deposit(uint8_t outcome);
enum lmtp_outcome core_of_error(int err);
/* A keeper that refuses instead of storing. */
enum lmtp_outcome core_of_keeper_refusal(uint8_t code);

/* ---- RCPT ---- */
/* One more, behind all others; true if it must be asked about: false for a twin. */
[[nodiscard]] bool core_add(
	struct transaction *t, struct recipient *r, struct view name, uint64_t now_ms);
/*
 * RCPT has come. True: it is the next of those that were added. False: there is none, or
 * (which cannot be, unless something foretold wrongly) it is another; then all that are
 * not claimed must go (core_drop), and this one be added.
 */
[[nodiscard]] bool core_claim(struct transaction *t, struct view name);
/* Takes the last one that was not claimed off the list; NULL: every one was. */
struct recipient *core_drop(struct transaction *t);
/* The answers; false where it is not asked about any more. */
[[nodiscard]] bool core_accept(struct transaction *t, struct recipient *r);
[[nodiscard]] bool core_refuse(
	struct transaction *t, struct recipient *r, enum lmtp_recipient_answer why);
/* The next answer to RCPT, if it is decided; core_rcpt_told moves on. */
[[nodiscard]] bool core_next_rcpt(
	const struct transaction *t, enum lmtp_recipient_answer *ret);
void core_rcpt_told(struct transaction *t);

/* ---- the message ---- */
/* It is whole, and every RCPT was answered: recipients that are held are to be given it.
 */
void core_whole(struct transaction *t, uint64_t now_ms);
/* The keeper of this one has it. */
void core_given(struct recipient *r);
/* What became of it; the first word counts. False: it had its outcome. */
[[nodiscard]] bool core_end(
	struct transaction *t, struct recipient *r, enum lmtp_outcome outcome);
/* The next outcome, if it is known, and of whom; core_outcome_told moves on. */
[[nodiscard]] bool core_next_outcome(
	struct transaction *t, enum lmtp_outcome *ret, struct view *ret_name);
void core_outcome_told(struct transaction *t);
/* Every outcome was told: the transaction is over. */
[[nodiscard]] bool core_is_over(const struct transaction *t);

/* ---- time, and what is said about it ---- */
/* When the next answer is overdue, or CORE_NEVER. */
uint64_t core_due(const struct transaction *t);
/*
 * The next recipient whose answer is overdue, from *at on (0 at first): it is refused, or
 * ended, for now. NULL: no more.
 */
struct recipient *core_expire(struct transaction *t, uint32_t *at, uint64_t now_ms);
struct tally core_tally(const struct transaction *t);

/* ---- who may connect ---- */
/* Rows of CORE_NETWORK octets; loopback always may. */
[[nodiscard]] bool core_may_connect(
	struct view networks, const uint8_t address[CORE_ADDRESS]);

#endif
