/*
 * crowd.h: what the files of bench/crowd share. One process, one epoll, thousands of
 * sessions, each with a user and a source address of its own.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#define TEXT_MAX   16384 /* one message as it travels */
#define ERRORS_MAX 16

enum at {
	AT_NOWHERE,
	AT_TLS,
	AT_GREETING,
	AT_USER,
	AT_PASS,
	AT_IDLE,
	AT_NOOP,
	AT_STAT,
	AT_UIDL,
	AT_RETR,
	AT_QUIT,
	AT_END,
};

struct client {
	int fd;
	SSL *ssl;
	enum at at;
	unsigned user, msgno;
	double since;
	char *in;
	size_t n, cap;
};

struct crowd {
	struct sockaddr_in to;
	SSL_CTX *tls;
	unsigned first, sessions, at_once, messages;
	const char *password;
	int epoll;
	bool greet; /* no login */
	struct client *all;
	/* of one command */
	unsigned active, ok;
	double *took;
	char errors[ERRORS_MAX][120];
	unsigned counts[ERRORS_MAX];
	unsigned long long octets;
};

/* ---- crowd.c ---- */
[[gnu::noreturn]] void crowd_fail(const char *what, const char *why);
double crowd_now_ms(void);

/* ---- crowd_mail.c: messages, a function of user and number ---- */
/* As it is stored (ends of lines are LF), or as it travels; its octets. */
size_t crowd_text(unsigned user, unsigned msgno, bool wire, char out[TEXT_MAX]);
/* What STAT counts: as it travels, without what stuffing adds. */
unsigned long long crowd_octets(unsigned user, unsigned messages);
/* The Maildir of one user. */
void crowd_make(const char *dir, unsigned user, unsigned messages, unsigned uid);

/* ---- crowd_session.c ---- */
/* Connects; from then on events of its socket are crowd_ready's. */
void crowd_begin(struct crowd *c, struct client *s);
void crowd_ready(struct crowd *c, struct client *s);
/* Says this and waits for the answer as `next`. */
void crowd_say(struct crowd *c, struct client *s, enum at next, const char *text);
void crowd_count_error(struct crowd *c, const char *text);

#endif
