/*
 * live_login.c: AUTH PLAIN (RFC 4616), or USER and PASS.
 */
#include "base/buf.h"
#include "move/live_parts.h"
#include "move/show.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a server must take of an AUTH line (RFC 5034 s.4); beyond, the response waits for
 * the challenge. */
#define INITIAL_MAX 160
#define PLAIN_MAX   (2 * LIVE_NAME_MAX + LIVE_PASSWORD_MAX + 4)

static int
too_odd(struct live *l)
{
	return live_fail(l, -EINVAL,
		"name or password are too long, or hold what cannot be sent",
		LIVE_NOTHING);
}

/* Status or challenge. */
static int
exchange(struct live *l, bool written, struct buf *out, enum pop3_client_event *ret_event,
	struct pop3_answer *ret)
{
	if (!written)
		return too_odd(l);
	int r = live_send(l, out);
	return r < 0 ? r : live_next(l, ret_event, ret);
}

static int
by_user(struct live *l, const char *name, const char *password)
{
	struct buf out = buf_over(l->out, sizeof(l->out));
	enum pop3_client_event e;
	struct pop3_answer answer;
	bool put = pop3_client_send_text(&l->client, POP3_USER, show_view(name), &out);

	l->step = "USER";
	l->facts.mechanism = "USER";
	int r = exchange(l, put, &out, &e, &answer);
	if (r < 0)
		return r;
	if (!answer.ok)
		return live_refused(l, -EACCES, &answer);
	l->step = "PASS";
	put = pop3_client_send_text(&l->client, POP3_PASS, show_view(password), &out);
	r = exchange(l, put, &out, &e, &answer);
	if (r < 0)
		return r;
	return answer.ok ? 0 : live_refused(l, -EACCES, &answer);
}

static int
by_plain(struct live *l, const char *name, const char *password)
{
	uint8_t response[PLAIN_MAX];
	struct buf plain = buf_over(response, sizeof(response));
	struct buf out = buf_over(l->out, sizeof(l->out));
	enum pop3_client_event e;
	struct pop3_answer answer;

	l->step = "AUTH PLAIN";
	l->facts.mechanism = "PLAIN";
	buf_put_u8(&plain, 0);
	buf_put_str(&plain, name);
	buf_put_u8(&plain, 0);
	buf_put_str(&plain, password);
	struct view all = buf_view(&plain);
	bool at_once = plain.n <= INITIAL_MAX;
	bool put = !plain.full &&
		pop3_client_auth(&l->client, "PLAIN", at_once ? &all : NULL, &out);
	int r = exchange(l, put, &out, &e, &answer);
	if (r == 0 && e == POP3_CLIENT_CHALLENGE && !at_once) {
		put = pop3_client_respond(&l->client, all, &out);
		r = exchange(l, put, &out, &e, &answer);
	}
	explicit_bzero(response, sizeof(response));
	if (r < 0)
		return r;
	if (e != POP3_CLIENT_STATUS)
		return live_fail(l, -EPROTO, "the login does not end", LIVE_NOTHING);
	return answer.ok ? 0 : live_refused(l, -EACCES, &answer);
}

int
live_login(struct live *l, const char *user, const char *password)
{
	const struct live_options *o = &l->options;
	char name[2 * LIVE_NAME_MAX + 2];

	l->step = "login";
	if (!l->facts.secured && !o->plaintext)
		return live_fail(
			l, -EPROTO, "no password is sent without TLS", LIVE_NOTHING);
	if (strlen(user) > LIVE_NAME_MAX || strlen(password) > LIVE_PASSWORD_MAX ||
		!live_login_name(o->format, user, o->master, name))
		return too_odd(l);
	int r = pop3_capabilities_offer(&l->facts.before, "PLAIN")
		? by_plain(l, name, password)
		: by_user(l, name, password);
	if (r < 0)
		return r;
	l->logged_in = true;
	l->step = "CAPA";
	/* Some say more now (RFC 2449 s.5 lets them); who forgets CAPA has said it. */
	r = live_learn(l, &l->facts.after);
	if (r == 0 && l->facts.after.has == 0)
		l->facts.after = l->facts.before;
	return r;
}
