/*
 * AUTH (RFC 4954), by whatever login.h knows.
 */
#include "fetch/smtp_link.h"

#include "fetch/login.h"
#include "os/tls_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX	  (24 * 1024) /* a token of SECRET_OCTETS_MAX in base64 */
#define TRIED_MAX 256

struct auth {
	struct smtp_link *l;
	const struct smtp_peer *p;
	struct secret secret;
	struct login *login;
	char tried[TRIED_MAX];
	struct buf out;
};

static int
fail(struct smtp_link *l, int err, const char *what, const char *words)
{
	(void)snprintf(
		l->why, sizeof(l->why), "%s%s%.180s", what, words[0] ? ": " : "", words);
	return err;
}

/* The POP3 server's token and password are nobody else's: smtp_password or nothing
 * (GSSAPI has its ticket). */
static int
get_secret(struct auth *a)
{
	const struct fetch_secret_source *s = &a->p->account->smtp_password;
	char why[LETTER_WHY_MAX] = "";
	int r = 0;

	if (s->file || s->command || s->credential || s->text || s->fd > 2)
		r = secret_read(s, NULL, &a->secret, why, sizeof(why));
	return r < 0 ? fail(a->l, r, "the password for SMTP", why) : 0;
}

static bool
has_binding(const struct stream *s)
{
	uint8_t octets[64];
	const char *name;
	size_t n;

	return s->ssl &&
		stream_channel_binding(s, &name, octets, sizeof(octets), &n) == 0;
}

/* Nothing will do: whether that is only because a password would be seen. */
static int
no_way(struct auth *a, struct fetch_account *as, const struct login_facts *facts,
	const char *why)
{
	struct login_choice open;

	as->plaintext = true;
	login_choose(as, facts, &open);
	if (!open.mechanism)
		return fail(a->l, -EACCES, "no way to log in to SMTP", why);
	return fail(a->l, -EACCES, "no TLS, so the password for SMTP is not sent",
		a->l->loopback ? "smtp_tls = none sends it in the clear on this machine"
			       : "smtp_tls = none with plaintext = yes sends it in the "
				 "clear");
}

/* The next mechanism that might do, started. */
static int
choose(struct auth *a, const char **ret_name)
{
	struct smtp_link *l = a->l;
	struct fetch_account as = *a->p->account;
	struct pop3_capabilities caps = {.has = POP3_CAPA_SASL};
	struct login_choice choice;

	/* The choice is made by the same rules, for another server. */
	as.user = as.smtp_user;
	as.auth = "";
	as.apop = as.recent = false;
	/* A server here that offers no STARTTLS may be somebody else's who listens at the
	 * port: only smtp_tls = none says that there is to be no TLS. */
	as.plaintext = as.smtp_tls == FETCH_TLS_NONE && (as.plaintext || l->loopback);
	caps.mechanisms_n = l->client.mechanisms_n;
	memcpy(caps.mechanisms, l->client.mechanisms, caps.mechanisms_n);
	struct login_facts facts = {.capabilities = &caps,
		.tls = l->secured,
		.has_binding = has_binding(&l->stream),
		.has_password = a->secret.n > 0,
		.tried = a->tried};
	struct login_party party = {.service = "smtp",
		.host = a->p->host,
		.port = a->p->port,
		.user = as.smtp_user,
		.line_max = LOGIN_LINE_SMTP};
	login_choose(&as, &facts, &choice);
	if (!choice.mechanism)
		return no_way(a, &as, &facts, choice.why);
	*ret_name = choice.mechanism;
	return login_start_for(choice.mechanism, &party, &a->secret, &l->stream,
		(struct view){NULL, 0}, &a->login, l->why, sizeof(l->why));
}

static bool
was_tried(struct auth *a, const char *name)
{
	size_t n = strlen(a->tried), more = strlen(name);

	if (n + more + 2 > sizeof(a->tried))
		return false;
	memcpy(a->tried + n, name, more);
	memcpy(a->tried + n + more, " ", 2);
	return true;
}

static int
ask(struct auth *a, bool written, struct smtp_reply *ret)
{
	uint64_t limit = smtp_link_limit(a->l, SMTP_COMMAND_MS);

	if (!written)
		return fail(a->l, -EMSGSIZE, "the login does not fit a line", "");
	int r = smtp_link_send(a->l, a->out.p, a->out.n, limit);
	explicit_bzero(a->out.p, a->out.n);
	a->out.n = 0;
	return r < 0 ? r : smtp_link_reply(a->l, limit, ret);
}

/* One challenge answered. */
static int
answer(struct auth *a, struct smtp_reply *reply)
{
	char why[LETTER_WHY_MAX] = "";
	struct smtp_client *c = &a->l->client;
	struct view octets = {NULL, 0};
	bool two_line = false;
	int r;

	if (!reply->bad64)
		switch (login_next(a->login, &reply->challenge, &octets, &two_line, why,
			sizeof(why))) {
		case LOGIN_SEND:
			return ask(a, smtp_client_respond(c, octets, &a->out), reply);
		case LOGIN_EMPTY:
			octets.n = 0;
			return ask(a, smtp_client_respond(c, octets, &a->out), reply);
		case LOGIN_FAILED: break;
		}
	r = ask(a, smtp_client_cancel(c, &a->out), reply);
	return r < 0 ? r
		     : fail(a->l, -EACCES, "the login to SMTP failed",
			       why[0] ? why : "its challenge is no base64");
}

/* *ret_again: the server does not take this mechanism. */
static int
converse(struct auth *a, const char *name, bool *ret_again)
{
	char why[LETTER_WHY_MAX] = "";
	struct smtp_reply reply;
	struct view initial = {NULL, 0};
	bool two_line = false;
	enum login_step step =
		login_next(a->login, NULL, &initial, &two_line, why, sizeof(why));

	if (step == LOGIN_FAILED)
		return fail(a->l, -EACCES, "the login to SMTP failed", why);
	bool at_once = step == LOGIN_SEND && !two_line;
	int r = ask(a,
		smtp_client_auth(&a->l->client, name, at_once ? &initial : NULL, &a->out),
		&reply);
	/* RFC 4954 s.4: at most as many steps as any mechanism has, and some. */
	for (unsigned steps = 0; r == 0 && reply.code == 334; steps++) {
		if (steps == 16)
			return fail(a->l, -EPROTO, "the login to SMTP does not end", "");
		r = answer(a, &reply);
	}
	if (r < 0)
		return r;
	if (reply.code == 235)
		return login_complete(a->login, why, sizeof(why))
			? 0
			: fail(a->l, -EACCES, "the login to SMTP failed", why);
	/* s.4, s.6: unknown, too weak, or not without TLS. */
	*ret_again = reply.code == 504 || reply.code == 534 || reply.code == 538;
	const char *words = login_words(a->login);
	return fail(a->l, -EACCES, "the login to SMTP was refused",
		words && words[0] ? words : reply.words);
}

static int
log_in(struct auth *a)
{
	for (;;) {
		const char *name = NULL;
		bool again = false;
		int r = choose(a, &name);

		if (r == 0) {
			r = converse(a, name, &again);
			login_free(&a->login);
		} else {
			again = name && (r == -ENOTSUP || r == -EILSEQ);
		}
		if (!again || !was_tried(a, name))
			return r;
	}
}

int
smtp_link_login(struct smtp_link *l, const struct smtp_peer *p)
{
	struct auth a = {.l = l, .p = p};
	uint8_t *storage = malloc(OUT_MAX);
	int r;

	if (!storage)
		return fail(l, -ENOMEM, "there is no memory", "");
	a.out = buf_over(storage, OUT_MAX);
	r = l->client.has & SMTP_AUTH
		? get_secret(&a)
		: fail(l, -EACCES, "the server offers no login (AUTH)", "");
	if (r == 0)
		r = log_in(&a);
	secret_wipe(&a.secret);
	explicit_bzero(storage, OUT_MAX);
	free(storage);
	return r;
}
