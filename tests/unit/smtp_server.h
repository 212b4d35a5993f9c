/*
 * smtp_server.h: a small SMTP and LMTP server in a thread, whose faults are scripted, one
 * row a message over all connections.
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum trick {
	PLAY_FAIR,
	CUT_AT_MAIL,
	CUT_IN_BODY,   /* after the first octets of the message */
	CUT_AFTER_DOT, /* all was read, no answer */
	SILENT_AT_MAIL,
	EXPECT_AHEAD, /* answers only once MAIL, RCPT, DATA of the next one came */
};

struct act {
	enum trick trick;
	const char *mail, *rcpt, *data, *body; /* NULL: the usual */
};

#define SERVER_MESSAGES 16
struct server {
	int listener;
	uint16_t port;
	pthread_t thread;
	const char *greeting, *extensions, *starttls; /* NULL: the usual */
	struct act acts[SERVER_MESSAGES];
	/* What came; read it after server_stop. */
	unsigned connections, messages, ahead;
	size_t log_n, body_n[SERVER_MESSAGES];
	char log[16384]; /* command lines, LF between them */
	uint8_t *bodies[SERVER_MESSAGES];
};

struct talk {
	struct server *s;
	int fd;
	size_t n, at;
	uint8_t in[65536];
	unsigned mails; /* which act is on */
};

static inline void
say(struct talk *t, const char *text)
{
	size_t n = strlen(text);

	/* The client may be gone; its tests see to that. */
	(void)!send(t->fd, text, n, MSG_NOSIGNAL);
}

static inline bool
more(struct talk *t)
{
	struct pollfd p = {t->fd, POLLIN, 0};

	if (t->at > 0) {
		memmove(t->in, t->in + t->at, t->n - t->at);
		t->n -= t->at;
		t->at = 0;
	}
	if (t->n == sizeof(t->in) || poll(&p, 1, 20000) != 1)
		return false;
	ssize_t got = recv(t->fd, t->in + t->n, sizeof(t->in) - t->n, 0);
	if (got > 0)
		t->n += (size_t)got;
	return got > 0;
}

/* A line without its CRLF; lives until the next call. */
static inline bool
line(struct talk *t, char **ret)
{
	for (;;) {
		uint8_t *end = memmem(t->in + t->at, t->n - t->at, "\r\n", 2);
		if (end) {
			*end = '\0';
			*ret = (char *)t->in + t->at;
			t->at = (size_t)(end + 2 - t->in);
			return true;
		}
		if (!more(t))
			return false;
	}
}

static inline void
keep(struct server *s, unsigned i, const void *p, size_t n)
{
	s->bodies[i] = realloc(s->bodies[i], s->body_n[i] + n + 1);
	if (!s->bodies[i])
		abort();
	memcpy(s->bodies[i] + s->body_n[i], p, n);
	s->body_n[i] += n;
}

/* The message up to its dot, as it travels (dots taken off). False: the end. */
static inline bool
body(struct talk *t, const struct act *a, unsigned i)
{
	for (bool first = true;; first = false) {
		uint8_t *end;
		while (!(end = memmem(t->in + t->at, t->n - t->at, "\r\n", 2)))
			if (!more(t))
				return false;
		uint8_t *p = t->in + t->at;
		size_t n = (size_t)(end + 2 - p);
		t->at += n;
		if (n == 3 && *p == '.')
			return true;
		if (first && a->trick == CUT_IN_BODY)
			return false;
		if (*p == '.')
			p++, n--;
		keep(t->s, i, p, n);
	}
}

static inline bool
data(struct talk *t, const struct act *a)
{
	unsigned i = t->s->messages;

	t->s->body_n[i] = 0; /* of one that did not come whole */
	say(t, a->data ? a->data : "354 go on\r\n");
	if (a->data && strncmp(a->data, "354", 3) != 0)
		return true;
	if (!body(t, a, i))
		return false;
	t->s->messages++;
	if (a->trick == CUT_AFTER_DOT)
		return false;
	if (a->trick == EXPECT_AHEAD) {
		while (!memmem(t->in + t->at, t->n - t->at, "DATA\r\n", 6))
			if (!more(t))
				return false;
		t->s->ahead++;
	}
	say(t, a->body ? a->body : "250 2.0.0 taken\r\n");
	return true;
}

static inline bool
mail(struct talk *t, const struct act *a)
{
	if (a->trick == CUT_AT_MAIL)
		return false;
	if (a->trick == SILENT_AT_MAIL)
		return more(t);
	say(t, a->mail ? a->mail : "250 2.1.0 ok\r\n");
	return true;
}

static inline bool
obey(struct talk *t, char *l)
{
	struct server *s = t->s;
	char text[1024];
	bool is_mail = strncmp(l, "MAIL", 4) == 0;

	if (is_mail && t->mails + 1 < SERVER_MESSAGES)
		t->mails++;
	const struct act *a = &s->acts[t->mails ? t->mails - 1 : 0];
	s->log_n +=
		(size_t)snprintf(s->log + s->log_n, sizeof(s->log) - s->log_n, "%s\n", l);
	if (s->log_n > sizeof(s->log) - 2048)
		abort();
	if (is_mail)
		return mail(t, a);
	if (strncmp(l, "RCPT", 4) == 0)
		say(t, a->rcpt ? a->rcpt : "250 2.1.5 ok\r\n");
	else if (strcmp(l, "DATA") == 0)
		return data(t, a);
	else if (strcmp(l, "STARTTLS") == 0)
		say(t, s->starttls ? s->starttls : "454 not now\r\n");
	else if (strncmp(l, "QUIT", 4) == 0)
		say(t, "221 bye\r\n");
	else if (strncmp(l, "EHLO", 4) == 0 || strncmp(l, "LHLO", 4) == 0) {
		(void)snprintf(text, sizeof(text), "250-here\r\n%s250 HELP\r\n",
			s->extensions ? s->extensions : "250-PIPELINING\r\n250-DSN\r\n");
		say(t, text);
	} else
		say(t, "250 ok\r\n");
	return strncmp(l, "QUIT", 4) != 0;
}

static inline void *
serve(void *arg)
{
	struct server *s = arg;
	unsigned mails = 0;
	int fd;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		struct talk *t = calloc(1, sizeof(*t));
		char *l;

		if (!t)
			abort();
		t->s = s;
		t->fd = fd;
		t->mails = mails;
		s->connections++;
		say(t, s->greeting ? s->greeting : "220 here\r\n");
		while (line(t, &l) && obey(t, l))
			continue;
		mails = t->mails;
		close(fd);
		free(t);
	}
	return NULL;
}

static inline void
server_start(struct server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s->listener >= 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &n), 0);
	s->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

/* Every connection must be closed by now. */
static inline void
server_stop(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	close(s->listener);
}

static inline void
server_free(struct server *s)
{
	for (size_t i = 0; i < SERVER_MESSAGES; i++)
		free(s->bodies[i]);
}

#endif
