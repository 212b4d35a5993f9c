/*
 * attempt.h: one login, or one question whose mail a recipient's is, from its message to
 * its answer. core.h decides on it, auth_login.c and its like perform.
 */
#ifndef AUTH_ATTEMPT_H
#define AUTH_ATTEMPT_H

#include "auth/defence.h"
#include "auth/mac.h"
#include "auth/queue.h"
#include "auth/sasl.h"
#include "auth/users_line.h"
#include "ipc/permit.h"

struct auth;
struct auth_front;
struct attempt;

/* Attempts that wait for somebody else, in the order of their deadlines. */
struct attempt_list {
	struct attempt *first, *last;
	size_t n;
};

enum attempt_phase {
	ATTEMPT_RUNS,	/* it is being decided on */
	ATTEMPT_HELD,	/* for the users file */
	ATTEMPT_QUEUED, /* for a helper that is free */
	ATTEMPT_ASKED,	/* a helper has its question */
	ATTEMPT_HASHED, /* a thread has it, or will */
	ATTEMPT_SPOKEN, /* the client is to answer a CHALLENGE */
};

/* What the databases are asked for. */
enum attempt_want {
	WANT_CHECK,    /* is this the password? then sasl_checked */
	WANT_STORED,   /* what is stored? then sasl_user */
	WANT_PERMIT,   /* who it is is settled; the permit is needed */
	WANT_DELIVERY, /* a LOOKUP: whose maildrop? */
	WANT_WHY,      /* `restante why`: nothing is granted */
};

/* What the walk through the databases came to. */
enum attempt_found {
	FOUND_NOBODY, /* no database has the name */
	FOUND_USER,   /* `user` is there, and may succeed */
	FOUND_CANNOT, /* he is there and cannot log in */
	FOUND_WRONG,  /* the helper says no, whoever it is */
};

/* One question of one session, from LOGIN to the answer. Wiped when it is freed. */
struct attempt {
	struct queue_item item; /* first */
	struct auth *auth;
	struct auth_front *front; /* NULL: of WANT_WHY */
	uint64_t session, connection;
	uint32_t id; /* of a refusal */
	uint8_t mechanism, tls;
	uint8_t address[16];
	uint16_t port;
	unsigned rounds; /* how often it was held for the users file */
	enum attempt_phase phase;
	bool cancelled; /* nobody wants the answer any more */
	/* the lists that it stands in */
	struct attempt_list *list;
	struct attempt *list_next, *list_before;
	uint64_t deadline_ms;
	struct attempt *same_bucket; /* of those whose client is to answer */
	/* the walk */
	enum attempt_want want;
	struct view name, secret; /* within sasl.h's conversation, or octets */
	size_t database;	  /* which of the chain is asked */
	unsigned variant;	  /* of a recipient */
	enum attempt_found found;
	enum users_fault fault; /* why he cannot log in */
	uint8_t backend;	/* which database decided; 0: none */
	bool talk_has_asked;	/* sasl.h asked for a user or a check before */
	bool shown;		/* sasl_user heard that he is there */
	bool derives;		/* a thread is to do sasl_derive, not a hash */
	bool checked_elsewhere; /* the helper found the password right */
	bool known;		/* a database has the name */
	/* a helper's part */
	enum ask_kind ask;
	uint8_t ask_backend;
	enum defence_lane lane; /* while it waits for a helper that is free */
	uint64_t helper;	/* who has the question, or the conversation; 0: nobody */
	uint64_t talk_number;	/* of ASK_STEP; 0: none */
	bool asked_again;	/* its helper ended, and another one has the question */
	/* what came of it */
	const char *reason; /* for the log, where it is refused */
	enum refusal code;
	const struct stored *dummy;
	struct sasl_talk *talk;
	struct view out;  /* of a CHALLENGE; lives as sasl.h says */
	struct user user; /* to be granted; `stored` is what is checked, maybe a dummy */
	uint8_t mac[MAC_OCTETS];
	enum scheme_answer answer;
	uint32_t why_question;
	uint8_t name_n;
	uint8_t name_octets[MAILDROP_NAME_MAX]; /* where the name is not another's */
	size_t octets_n;
	uint8_t octets[];
};

#endif
