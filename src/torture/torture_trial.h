/*
 * torture_trial.h: one case and its trial. A case is a row: what is sent in which state,
 * and what is expected, or a function where that is no list of steps.
 *
 * Whatever the case is about, every answer that is read has to be one: "+OK", "-ERR" or
 * "+ ", CRLF at its end, 512 octets at most, no control characters.
 */
#ifndef TORTURE_TRIAL_H
#define TORTURE_TRIAL_H

#include "torture/torture.h"

#define TRIAL_WHY_MAX	 512
#define TRIAL_ANSWER_MAX 512 /* RFC 2449 s.4 */

enum weight {
	MUST,	/* the clause says so */
	SHOULD, /* the clause recommends it; a warning */
	ROBUST, /* no clause, but an attacker's or a client's life depends on it */
};

enum start {
	AT_NOTHING,  /* no connection */
	AT_SOCKET,   /* connected, greeted where that comes before TLS */
	AT_GREETING, /* and TLS as the run is to have it */
	AT_USER,     /* and USER was said */
	AT_LOGIN,    /* and logged in */
	AT_SHARED,   /* logged in, on the session that other cases use too */
};

/* What a case cannot be tried without. */
enum need {
	NEED_LOGIN = 1 << 0,
	NEED_MAIL = 1 << 1, /* a message or more */
	NEED_TWO = 1 << 2,
	NEED_STLS = 1 << 3, /* a port where STLS is offered */
	NEED_TLS = 1 << 4,  /* TLS of any kind */
	NEED_POP3S = 1 << 5,
	NEED_CAPA = 1 << 6,
	NEED_TOP = 1 << 7,
	NEED_UIDL = 1 << 8,
	NEED_PLAIN = 1 << 9, /* SASL PLAIN is offered */
	NEED_USER = 1 << 10, /* USER is, or there is no CAPA */
	NEED_PIPELINING = 1 << 11,
	NEED_CODES = 1 << 12,
	NEED_UTF8 = 1 << 13,
	NEED_LANG = 1 << 14,
	NEED_LEAVE = 1 << 15, /* --destructive */
	NEED_APOP = 1 << 16,
	NEED_SASL = 1 << 17,
	NEED_BARE = 1 << 18, /* a port that speaks plain first */
};

/*
 * What is sent: $U user, $P password, $N count of messages, $M count + 1, $B the response
 * of AUTH PLAIN, $$. It is sent `times` times in one piece.
 *
 * What is expected then, each character an answer, the whole `times` of them where times
 * is more than 1 and many is set:
 *   +  +OK                -  -ERR                ?  either
 *   .  +OK and lines to a dot                    m  -ERR, or +OK and lines
 *   c  a challenge        x  the end of the connection, and no octet before it
 *   e  -ERR, the end, or both (then nothing after it is expected)
 *   a  +OK, -ERR, the end, or one of these and the end
 *   o  one answer of any kind, also a challenge
 */
struct step {
	const char *text;
	size_t n;
	const char *expect;
	uint32_t times;
	bool many;
};
#define SEND(s) .text = (s), .n = sizeof(s) - 1
#define STEP(s, what)                                                                    \
	{                                                                                \
		SEND(s), .expect = (what)                                                \
	}
#define REPEAT(s, what, n_)                                                              \
	{                                                                                \
		SEND(s), .expect = (what), .times = (n_)                                 \
	}
#define EACH(s, what, n_)                                                                \
	{                                                                                \
		SEND(s), .expect = (what), .times = (n_), .many = true                   \
	}
#define STEPS(...)                                                                       \
	.steps = (const struct step[])                                                   \
	{                                                                                \
		__VA_ARGS__,                                                             \
		{                                                                        \
			0                                                                \
		}                                                                        \
	}
#define SAY(s, what) STEPS(STEP(s, what))
#define ROW(id_, clause_, weight_, start_, needs_, expects_, ...)                        \
	{                                                                                \
		.id = (id_), .clause = (clause_), .weight = (weight_),                   \
		.start = (start_), .needs = (needs_), .expects = (expects_), __VA_ARGS__ \
	}
#define NO_MORE_ROWS                                                                     \
	{                                                                                \
		.id = NULL                                                               \
	}

struct trial;

struct torture_case {
	const char *id, *clause;
	enum weight weight;
	enum start start;
	uint32_t needs;
	const char *expects;	  /* for people */
	const struct step *steps; /* up to one without expect */
	bool (*run)(struct trial *t);
};

struct trial {
	struct torture *all;
	const struct torture_case *c;
	struct link link;
	uint64_t until_ms; /* its deadline */
	bool over;	   /* the connection ended as it may: nothing is said any more */
	bool may_end;	   /* it was refused so that the end may follow */
	bool skipped;	   /* why says why */
	char why[TRIAL_WHY_MAX];
};

/* False always, for `return`; the first reason is kept. */
[[gnu::format(printf, 2, 3)]] bool trial_fail(struct trial *t, const char *format, ...);
[[gnu::format(printf, 2, 3)]] bool trial_skip(struct trial *t, const char *format, ...);

#endif
