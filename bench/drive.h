/*
 * drive.h: the load generator of bench/run. One thread, one epoll, any number of POP3
 * sessions at once, each of which follows a script (drive_talk.c); what comes is held
 * against the manifest of the mail that was laid out (drive_mail.c).
 */
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST	   32
#define IN_MAX	   262144
#define EVENTS	   256
#define NAME_MAX_N 64

/* ---- drive_mail.c: what the server has to hand out ------------------------------- */

struct mail {
	uint64_t octets; /* as it travels, without what was stuffed */
	uint8_t digest[DIGEST];
};

struct drop {
	char user[NAME_MAX_N];
	uint32_t count, known; /* known: of so many messages there is a digest */
	uint64_t octets;
	bool busy; /* a session has it */
	struct mail *mails;
};

struct manifest {
	struct drop *drops;
	size_t n;
};

/* Dies with the reason. */
void manifest_read(struct manifest *m, const char *path);
void manifest_only(struct manifest *m, const char *user);

/* ---- drive_talk.c: one session --------------------------------------------------- */

enum wait_for {
	WAIT_GREETING,
	WAIT_CAPA,
	WAIT_USER,
	WAIT_PASS,
	WAIT_STAT,
	WAIT_LIST,
	WAIT_UIDL,
	WAIT_RETR,
	WAIT_DELE,
	WAIT_QUIT,
};

struct client {
	int fd;
	SSL *ssl; /* NULL: plain */
	bool shaking, writing, closing, held;
	struct drop *drop;
	const char *script;
	int64_t began, asked, answered;
	/* what goes out */
	char *out;
	size_t out_at, out_n, out_room;
	/* answers that are due, in their order */
	uint8_t *due;
	uint32_t due_at, due_n, due_room;
	/* the answer that comes now */
	bool within;
	uint64_t octets;
	uint32_t lines;
	EVP_MD_CTX *sum;
	/* of the session */
	uint32_t next, got;
	uint8_t *seen;
	/* what was read and is no whole line yet */
	char *rest;
	size_t rest_n;
};

struct times {
	int64_t *us;
	size_t n, room;
};

struct drive {
	struct sockaddr_in to;
	SSL_CTX *tls;
	const char *script, *password;
	struct manifest manifest;
	uint32_t sessions, at_once, users, window, sources, opening;
	int mss;
	bool tolerate, wait_for_input;
	int64_t deadline_us;
	int poll;
	/* what came of it */
	uint32_t begun, next_user, ended, holding, errors;
	uint64_t messages, octets;
	struct times greetings, answers, firsts, sessions_us;
	char why[160]; /* the first error */
};

int64_t now_us(void);
void times_add(struct times *t, int64_t us);

/* Everything that a client is sent: false once it said or did what it must not. */
[[nodiscard]] bool talk_begin(struct drive *d, struct client *c);
/* Takes whole lines out of p; *ret_used of them. */
[[nodiscard]] bool talk_take(
	struct drive *d, struct client *c, const char *p, size_t n, size_t *ret_used);
/* The server closed: whether it might. */
[[nodiscard]] bool talk_closed(struct drive *d, struct client *c);
/* On from a script's `H`. */
[[nodiscard]] bool talk_resume(struct drive *d, struct client *c);
void talk_done(struct client *c);

[[gnu::format(printf, 2, 3)]] bool wrong(struct drive *d, const char *format, ...);
[[gnu::noreturn, gnu::format(printf, 1, 2)]] void fail(const char *format, ...);

#endif
