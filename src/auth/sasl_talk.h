/*
 * sasl_talk.h: what the files of sasl.h share: a conversation from within, and the ends
 * that its steps can have. Each mechanism is a row of sasl.c.
 */
#ifndef AUTH_SASL_TALK_H
#define AUTH_SASL_TALK_H

#include "auth/sasl.h"
#include "auth/scram.h"

#include <gsasl.h>

#define SASL_NAME_MAX	   255
#define SASL_OCTETS_MAX	   12288
#define SASL_BINDING_MAX   64
#define SASL_STAMP_MAX	   320
#define SASL_PLAIN_ROUNDS  4096 /* of keys that are made out of a stored password */
#define SASL_CERTIFICATE_N 32
#define SASL_NEVER_N	   64 /* a password that nobody has: hex digits of a MAC */

struct sasl {
	Gsasl *library;
	int strict; /* with which the library refuses code points that are unassigned */
	uint8_t key[32];
	char hostname[256];
};

/* What is waited for: a call for anything else is our own mistake. */
enum talk_wait {
	WAIT_START,
	WAIT_RESPONSE,
	WAIT_CHECKED,
	WAIT_USER,
	WAIT_DERIVED,
	WAIT_NAMED,
	WAIT_TICKET,
	WAIT_NOTHING,
};

/* Allocated; wiped before it is freed. */
struct talk_octets {
	uint8_t *p; /* with a NUL behind the octets */
	size_t n;
};

struct sasl_talk {
	struct sasl *sasl;
	const struct sasl_row *row; /* of sasl.c; below */
	enum mechanism mechanism;
	enum talk_wait wait;
	unsigned phase; /* the mechanism's own; 0 at first */
	bool plus_offered, known, has_name;
	enum binding binding_kind;
	uint8_t binding[SASL_BINDING_MAX];
	size_t binding_n;
	uint8_t certificate[SASL_CERTIFICATE_N];
	size_t certificate_n;
	uint8_t stamp[SASL_STAMP_MAX];
	size_t stamp_n;
	uint8_t name[SASL_NAME_MAX]; /* prepared */
	size_t name_n;		     /* 0: there is none, or it cannot be anybody's */
	struct talk_octets in, out;  /* of the client, and what is said */
	struct talk_octets secret;   /* a stored password */
	struct scram_keys keys;
	bool derived;
	Gsasl_session *session;
};

/* What begins: the client, the server, or a command that brings all with it. */
enum sasl_begins {
	BEGINS_CLIENT,
	BEGINS_SERVER,
	BEGINS_COMMAND,
};

struct sasl_row {
	const char *name; /* as the library knows it */
	enum sasl_begins begins;
	const char *prompt; /* said where the client brought nothing */
	void (*begin)(struct sasl_talk *t, struct sasl_result *ret); /* BEGINS_SERVER */
	void (*heard)(struct sasl_talk *t, struct view response, struct sasl_result *ret);
	void (*user)(
		struct sasl_talk *t, const struct user *user, struct sasl_result *ret);
	void (*named)(
		struct sasl_talk *t, bool yes, struct view name, struct sasl_result *ret);
	void (*ticket)(struct sasl_talk *t, enum ask_outcome outcome, struct view octets,
		struct view name, struct sasl_result *ret);
};

/* Ends of a step. What is to be said is copied; *ret is set whole. */
void talk_say(struct sasl_talk *t, struct view octets, struct sasl_result *ret);
void talk_check(struct sasl_talk *t, struct view secret, struct sasl_result *ret);
void talk_user(struct sasl_talk *t, struct sasl_result *ret);
void talk_yes(struct sasl_talk *t, struct sasl_result *ret);
void talk_no(struct sasl_talk *t, const char *reason, struct sasl_result *ret);
void talk_bad(struct sasl_talk *t, const char *reason, struct sasl_result *ret);
void talk_later(struct sasl_talk *t, const char *reason, struct sasl_result *ret);
void talk_ask(struct sasl_talk *t, enum sasl_act act, enum talk_wait wait,
	struct view secret, struct sasl_result *ret);

/* Wiped and freed. */
void talk_forget(struct talk_octets *o);
/* A copy in place of what was there; false: no memory. */
[[nodiscard]] bool talk_keep(struct talk_octets *o, struct view v);
struct view talk_view(const struct talk_octets *o);

/* Prepares it into t->name; where that cannot be, t->name_n is 0. */
void talk_name(struct sasl_talk *t, struct view name);
/* Is this, prepared, t->name? */
bool talk_is_name(struct sasl_talk *t, struct view name);
/*
 * The same for a name that another database gave: of a token, of a ticket. There two
 * names may be two users that preparation makes one of, so one that it changes is
 * nobody's.
 */
void talk_given_name(struct sasl_talk *t, struct view name);
bool talk_is_given_name(const struct sasl_talk *t, struct view name);
/* The password of this user if it is stored as such and APOP or CRAM can use it. */
bool talk_password(const struct sasl_talk *t, const struct user *user, struct view *ret);
/* Octets that nobody can foresee, the same each time for `what` and the name. */
[[nodiscard]] bool talk_stable(
	const struct sasl_talk *t, const char *what, uint8_t *p, size_t n);
/* A password that nobody has, as SASL_NEVER_N hex digits. */
[[nodiscard]] bool talk_never(const struct sasl_talk *t, char ret[SASL_NEVER_N + 1]);

/* One step of the library, whose answer is kept in t->out. Its own code. */
int talk_library(struct sasl_talk *t, struct view response);
/* The end for a code that is none of success. */
void talk_library_end(struct sasl_talk *t, int code, struct sasl_result *ret);

#endif
