/*
 * runner.h: transcripts (README.md) against the bare core of the server.
 *
 * runner_parse.c reads a file (runner_text.c its words), runner_world.c plays the outside
 * of a session (users, mail, keeper, clock), runner.c plays the client, once for every
 * way to cut its octets.
 */
#ifndef TRANSCRIPTS_RUNNER_H
#define TRANSCRIPTS_RUNNER_H

#include "base/check.h"
#include "front/session_state.h"

#include <stdio.h>

#define MESSAGES_MAX 64
#define STEPS_MAX    512
#define USERS_MAX    8
#define TALK_MAX     16

/* Octets on the heap that grow. */
struct text {
	uint8_t *p;
	size_t n, cap;
};

enum step_kind {
	STEP_SEND,  /* octets: one write of the client, joined from C lines */
	STEP_LINE,  /* octets: exactly this line comes */
	STEP_GLOB,  /* octets: a line that matches, "*" stands for anything */
	STEP_BODY,  /* arg: message as it travels, lines: of TOP, -1 for all */
	STEP_CLOSE, /* the server closes, and nothing more comes */
	STEP_TLS,   /* a TLS handshake that succeeds; arg 1: garbage in its place */
	STEP_AGAIN, /* hang up, connect anew */
	STEP_EVENT, /* octets: name of the event, arg: message or 0 */
	STEP_LEFT,  /* octets: names of the messages that are left, each followed by LF */
	STEP_UIDLS, /* the multi-line reply before held good unique-ids */
};

struct step {
	enum step_kind kind;
	int line;
	struct text octets;
	unsigned arg;
	long long lines;
};

struct message {
	char *name; /* of the file */
	struct text octets;
	bool seen;
	uint64_t utf8;	 /* size that is listed behind UTF8; 0: the same */
	uint64_t claims; /* size that is listed, for messages that are never sent; 0: the
			    true one */
};

struct user {
	char *name, *password;
};

/* What auth hears and says in a login by SASL or APOP, in order. */
enum talk_kind { TALK_HEAR, TALK_HEAR_NOTHING, TALK_SAY, TALK_YES, TALK_NO };
struct talk {
	enum talk_kind kind;
	struct text octets;
};

struct transcript {
	const char *path;
	struct session_options options;
	struct session_peer peer;
	uint32_t failure_delay_ms;
	uint32_t expire_of_user,
		login_delay_of_user; /* where their options say they differ */
	bool binding, certificate;   /* what TLS brings along */
	uint32_t wire_max;
	bool socket_only;
	struct user users[USERS_MAX];
	size_t users_n;
	struct talk talk[TALK_MAX];
	size_t talk_n;
	struct message messages[MESSAGES_MAX];
	size_t messages_n;
	struct step steps[STEPS_MAX];
	size_t steps_n;
};

void text_add(struct text *t, const void *p, size_t n);
void text_clear(struct text *t);
struct view text_view(const struct text *t);
[[gnu::noreturn]] [[gnu::format(printf, 3, 4)]] void fail(
	const char *path, int line, const char *format, ...);

/* A file being read. */
struct reader {
	struct transcript *t;
	FILE *file;
	char *line; /* without its end */
	size_t cap;
	int at;
};
/* The digits at s; there must be one. */
unsigned long long reader_number(const struct reader *r, const char *s);
/* Appends s with its escapes resolved. */
void reader_unescape(const struct reader *r, const char *s, struct text *ret);

void transcript_read(struct transcript *t, const char *path);
void transcript_free(struct transcript *t);

/* ---- runner_world.c ---- */

struct world_message {
	const struct message *m;
	bool gone, unreadable, kept; /* kept: its removal fails */
	bool healed;		     /* its size was counted */
};

struct world {
	const struct transcript *t;
	struct world_message messages[MESSAGES_MAX];
	bool in_use, lose_lock, shrink;
	uint64_t now_ms;
	uint8_t scratch[SESSION_SCRATCH];
	struct session_options options;
	/* one connection */
	struct session session;
	bool open;
	struct text in;	 /* octets that the session has not taken */
	struct text got; /* octets that came to the client */
	struct text map; /* snapshot */
	struct snapshot snap;
	uint8_t marks[(MESSAGES_MAX + 7) / 8];
	unsigned rows[MESSAGES_MAX]; /* number - 1 to message */
	bool idle_expired;
	uint32_t id;	    /* of the last LOGIN */
	size_t talk_at;	    /* the next row of the transcript's talk */
	uint32_t cancelled; /* conversations that auth was told are over */
};

void world_init(struct world *w, const struct transcript *t);
void world_done(struct world *w);
void world_connect(struct world *w);
void world_hang_up(struct world *w);
/* Octets from the client; what is due comes into got. */
void world_send(struct world *w, struct view v);
void world_tls(struct world *w, bool garbage);
void world_event(struct world *w, const struct step *s);
/* The message of the transcript as RETR or TOP sends it, without the terminator. */
void world_travel(const struct message *m, long long lines, struct text *ret);

/* The maildrop as it is now; marks are forgotten. */
void world_build_snapshot(struct world *w);

/* ---- runner_login.c ---- */
void world_answer_login(struct world *w);
void world_answer_xclient(struct world *w);

#endif
