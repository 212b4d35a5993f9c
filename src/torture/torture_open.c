/*
 * torture_open.c: from nothing to a session: TCP, greeting, STLS, handshake, login.
 */
#include "torture/torture_talk.h"

#include "os/clock.h"
#include "os/dial.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MS 200

/* Connections come no faster than --delay says. */
static void
keep_pace(struct torture *all)
{
	uint64_t now = clock_ms(), next = all->connected_ms + all->options.delay_ms;

	if (all->connected_ms && next > now)
		(void)poll(NULL, 0, (int)(next - now));
	all->connected_ms = clock_ms();
}

bool
trial_connect(struct trial *t, struct link *l)
{
	const struct torture_options *o = &t->all->options;
	struct dial_target target = {.host = o->host, .port = o->port};
	char why[256];

	/* The pace is ours: it does not count against the server. */
	uint64_t before = clock_ms();
	keep_pace(t->all);
	t->until_ms += clock_ms() - before;
	int fd = dial_wait(&target, o->timeout_ms, why, sizeof(why));
	link_init(l, fd, t->until_ms);
	return fd >= 0 || trial_fail(t, "cannot connect: %s", why);
}

static bool
tls_failed(struct trial *t, const struct link *l, enum link_state s)
{
	unsigned long code = ERR_peek_last_error();
	long verified = l->ssl ? SSL_get_verify_result(l->ssl) : X509_V_OK;

	if (s == LINK_TLS && verified != X509_V_OK)
		return trial_fail(t, "its certificate: %s",
			X509_verify_cert_error_string(verified));
	if (s == LINK_TLS && code)
		return trial_fail(t, "TLS handshake: %s", ERR_reason_error_string(code));
	return trial_fail(t, "TLS handshake: %s", link_words(s));
}

static bool
shake_hands(struct trial *t, struct link *l, SSL_CTX *with)
{
	const char *host = t->all->options.host;
	bool name = strspn(host, "0123456789.:") != strlen(host);
	enum link_state s = link_handshake(l, with, name ? host : NULL);

	return s == LINK_OPEN || tls_failed(t, l, s);
}

bool
trial_stls(struct trial *t, struct link *l, SSL_CTX *with)
{
	return trial_expect(t, l, "STLS\r\n", "+") &&
		shake_hands(t, l, with ? with : t->all->tls);
}

/* A server that is full says so; it gets another moment. */
static bool
greet(struct trial *t, struct link *l)
{
	struct answer a;

	if (!trial_answer(t, l, false, &a))
		return false;
	if (a.sign != SIGN_OK)
		return trial_fail(t, "the greeting is not +OK: %s", a.text);
	(void)snprintf(t->all->greeting, sizeof(t->all->greeting), "%s", a.text);
	return true;
}

static bool
open_once(struct trial *t, struct link *l, enum start to)
{
	enum torture_tls tls = t->all->options.tls;
	bool first = tls == TORTURE_POP3S;

	if (!trial_connect(t, l))
		return false;
	if (first && to == AT_SOCKET)
		return true;
	if (first && !shake_hands(t, l, t->all->tls))
		return false;
	if (!greet(t, l))
		return false;
	return to == AT_SOCKET || tls != TORTURE_STLS || trial_stls(t, l, NULL);
}

/* A refused login may be a lock that is not yet gone, or a delay between logins. */
bool
trial_log_in(struct trial *t, struct link *l)
{
	struct answer a;

	for (;;) {
		if (!trial_ask(t, l, "USER $U\r\n", &a))
			return false;
		if (a.sign == SIGN_OK && !trial_ask(t, l, "PASS $P\r\n", &a))
			return false;
		if (a.sign == SIGN_OK)
			return true;
		bool hopeless = !t->all->surveyed && !strstr(a.text, "[IN-USE]") &&
			!strstr(a.text, "[LOGIN-DELAY]") && !strstr(a.text, "[SYS/TEMP]");
		if (hopeless || clock_ms() + RETRY_MS > t->until_ms)
			return trial_fail(t, "the login is refused: %s", a.text);
		(void)poll(NULL, 0, RETRY_MS);
	}
}

static bool
open_to(struct trial *t, struct link *l, enum start to)
{
	if (!open_once(t, l, to))
		return false;
	if (to == AT_USER)
		return trial_expect(t, l, "USER $U\r\n", "?");
	if (to == AT_LOGIN || to == AT_SHARED)
		return trial_log_in(t, l);
	return true;
}

bool
trial_open(struct trial *t, struct link *l, enum start to)
{
	uint64_t last = t->until_ms > RETRY_MS ? t->until_ms - RETRY_MS : 0;

	for (;;) {
		if (open_to(t, l, to))
			return true;
		/* Before the survey a fault is one of the command line, which waiting
		 * does not mend. */
		if (!t->all->surveyed || clock_ms() >= last || !t->c->id)
			return false;
		link_close(l);
		t->why[0] = '\0';
		(void)poll(NULL, 0, RETRY_MS);
	}
}
