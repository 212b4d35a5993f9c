#include "fetch/pop_try_parts.h"

#include "base/buf.h"
#include "fetch/login.h"
#include "os/fd.h"
#include "os/tls_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_OCTETS ((size_t)2 * SECRET_OCTETS_MAX + 1024)
#define BINDING_MAX    256
#define ROUNDS_MAX     16

struct trying {
	struct pop_try *t;
	const struct fetch_account *a;
	const struct secret *password, *token;
	const char *mechanism;
	struct buf out; /* COMMAND_OCTETS: holds secrets, wiped at the end */
	struct pop3_answer answer;
};

static struct view
user_of(const struct trying *l, char storage[512])
{
	if (!l->a->recent)
		return text_view(l->a->user);
	(void)snprintf(storage, 512, "recent:%.500s", l->a->user);
	return text_view(storage);
}

/* The answer's status, or a challenge. */
static int
exchange(struct trying *l, bool written, enum pop3_client_event *ret_event)
{
	if (!written)
		return pop_try_fail(l->t, -EINVAL,
			"name or password are too long, or hold what cannot be sent",
			NO_WORDS);
	int r = pop_try_send(l->t, &l->out);
	explicit_bzero(l->out.p, l->out.n);
	l->out.n = 0;
	return r < 0 ? r : pop_try_next(l->t, ret_event, &l->answer);
}

static int
refused(struct trying *l, const char *words)
{
	(void)snprintf(l->t->found->why, sizeof(l->t->found->why), "%s", words);
	if (!words[0]) {
		(void)pop_try_fail(l->t, 0, "the server says", l->answer.text);
		l->t->broken = false;
	}
	return -EACCES;
}

static int
by_user(struct trying *l)
{
	struct pop3_client *c = &l->t->client;
	struct view password = {l->password->octets, l->password->n};
	enum pop3_client_event e;
	char storage[512];
	int r = exchange(
		l, pop3_client_send_text(c, POP3_USER, user_of(l, storage), &l->out), &e);

	if (r < 0)
		return r;
	if (!l->answer.ok)
		return refused(l, "");
	r = exchange(l, pop3_client_send_text(c, POP3_PASS, password, &l->out), &e);
	if (r < 0)
		return r;
	return l->answer.ok ? 0 : refused(l, "");
}

static int
by_apop(struct trying *l)
{
	struct view stamp = {l->t->stamp, l->t->stamp_n};
	enum pop3_client_event e;
	char digest[33], storage[512];
	int r = login_apop(stamp, l->password, digest);

	if (r < 0)
		return pop_try_fail(
			l->t, r, "MD5, which APOP needs, cannot be had", NO_WORDS);
	r = exchange(l,
		pop3_client_apop(
			&l->t->client, user_of(l, storage), text_view(digest), &l->out),
		&e);
	explicit_bzero(digest, sizeof(digest));
	if (r < 0)
		return r;
	return l->answer.ok ? 0 : refused(l, "");
}

/* Answers challenges until a status comes. */
static int
converse(struct trying *l, struct login *login, enum pop3_client_event e)
{
	char why[POP_WHY_MAX] = "";
	struct pop3_client *c = &l->t->client;
	bool two_line;

	for (int i = 0; e == POP3_CLIENT_CHALLENGE && i < ROUNDS_MAX; i++) {
		struct view challenge = l->answer.data, response = {NULL, 0};
		bool written;

		switch (login_next(
			login, &challenge, &response, &two_line, why, sizeof(why))) {
		case LOGIN_SEND:
			written = pop3_client_respond(c, response, &l->out);
			break;
		case LOGIN_EMPTY:
			written = pop3_client_respond(c, NO_WORDS, &l->out);
			break;
		case LOGIN_FAILED:
		default: written = pop3_client_cancel(c, &l->out); break;
		}
		int r = exchange(l, written, &e);
		if (r < 0)
			return r;
	}
	if (e != POP3_CLIENT_STATUS)
		return pop_try_fail(l->t, -EPROTO, "the login does not end", NO_WORDS);
	if (!l->answer.ok)
		return refused(l, why[0] ? why : login_words(login));
	if (!login_complete(login, why, sizeof(why))) {
		l->t->broken = true;
		return refused(l, why);
	}
	return 0;
}

/* -ENOTSUP, -EILSEQ: not this mechanism. */
static int
by_sasl(struct trying *l)
{
	bool token = strcmp(l->mechanism, "OAUTHBEARER") == 0 ||
		strcmp(l->mechanism, "XOAUTH2") == 0;
	struct view stamp = {l->t->stamp, l->t->stamp_n}, initial = {NULL, 0};
	struct pop_try *t = l->t;
	struct login *login = NULL;
	enum pop3_client_event e;
	bool two_line = false;
	enum login_step step;
	int r = login_start(l->mechanism, l->a, token ? l->token : l->password,
		&t->stream, stamp, &login, t->found->why, sizeof(t->found->why));

	if (r < 0)
		return -ENOTSUP;
	step = login_next(
		login, NULL, &initial, &two_line, t->found->why, sizeof(t->found->why));
	if (step == LOGIN_FAILED) {
		r = -ENOTSUP;
	} else {
		bool now = step == LOGIN_SEND && !two_line;
		r = exchange(l,
			pop3_client_auth(
				&t->client, l->mechanism, now ? &initial : NULL, &l->out),
			&e);
		if (r == 0)
			r = converse(l, login, e);
	}
	login_free(&login);
	return r;
}

static int
by_mechanism(struct trying *l)
{
	if (strcmp(l->mechanism, "USER") == 0)
		return by_user(l);
	if (strcmp(l->mechanism, "APOP") == 0)
		return by_apop(l);
	return by_sasl(l);
}

static int
choose_and_try(struct trying *l)
{
	uint8_t binding[BINDING_MAX];
	const struct pop_found *found = l->t->found;
	char tried[256] = "", none[POP_WHY_MAX] = "";
	const char *name;
	struct login_choice choice;
	size_t n = 0;

	struct login_facts facts = {
		.capabilities = found->has_capabilities ? &found->capabilities : NULL,
		.tls = found->secured,
		.has_binding = found->secured &&
			stream_channel_binding(
				&l->t->stream, &name, binding, sizeof(binding), &n) == 0,
		.has_stamp = l->t->stamp_n > 0,
		.has_password = l->password != NULL,
		.has_token = l->token != NULL,
		.tried = tried,
	};
	explicit_bzero(binding, sizeof(binding));
	for (;;) {
		login_choose(l->a, &facts, &choice);
		if (!choice.mechanism) {
			(void)snprintf(l->t->found->why, sizeof(l->t->found->why), "%s",
				none[0] ? none : choice.why);
			return -ENOTSUP;
		}
		l->mechanism = choice.mechanism;
		int r = by_mechanism(l);
		if (r != -ENOTSUP)
			return r;
		/* Another one may do: the reason counts only if none does. */
		memcpy(none, l->t->found->why, sizeof(none));
		n = strlen(tried);
		if (n + strlen(choice.mechanism) + 2 > sizeof(tried))
			return r;
		(void)snprintf(tried + n, sizeof(tried) - n, "%s ", choice.mechanism);
	}
}

int
pop_try_login(struct pop_try *t, const struct fetch_account *a,
	const struct secret *password, const struct secret *token,
	const char **ret_mechanism, uint32_t *ret_messages)
{
	uint8_t *storage = calloc(1, COMMAND_OCTETS);
	struct trying l = {.t = t,
		.a = a,
		.password = password,
		.token = token,
		.out = buf_over(storage, COMMAND_OCTETS)};
	struct pop3_answer answer;

	if (!storage)
		return pop_try_fail(t, -ENOMEM, "there is no memory", NO_WORDS);
	int r = choose_and_try(&l);
	explicit_bzero(storage, COMMAND_OCTETS);
	free(storage);
	if (r < 0)
		return r;
	*ret_mechanism = l.mechanism;
	*ret_messages = UINT32_MAX;
	/* A server that has no STAT has no POP3, but the login is proved. */
	if (pop_try_ask(t, POP3_STAT, &answer) == 0 && answer.ok && !answer.bad_row)
		*ret_messages = answer.msgno;
	return 0;
}
