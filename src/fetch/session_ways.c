/*
 * session_ways.c: which way to log in is tried, and what follows when it was refused.
 */
#include "base/check.h"
#include "fetch/session_parts.h"

#include <string.h>

#define NOTHING ((struct view){0})

static void
add_tried(struct fetch_session *s, const char *mechanism)
{
	size_t n = strlen(s->tried), more = strlen(mechanism);

	if (n + more + 2 > sizeof(s->tried))
		return;
	memcpy(s->tried + n, mechanism, more);
	memcpy(s->tried + n + more, " ", 2);
}

static bool
binds_channel(const struct fetch_session *s)
{
	size_t n = strlen(s->choice.mechanism);

	return n > 5 && memcmp(s->choice.mechanism + n - 5, "-PLUS", 5) == 0;
}

/* A binding that the server refused last time is not tried at every poll: each would
 * count as a failed login there. */
static void
skip_refused_binding(struct fetch_session *s)
{
	char name[sizeof(s->memory->mechanism) + sizeof("-PLUS")];
	size_t n = strlen(s->memory->mechanism);

	if (s->tried[0] != 0 || !s->tls || n < 6 ||
		memcmp(s->memory->mechanism, "SCRAM-", 6) != 0 ||
		memcmp(s->memory->mechanism + n - 5, "-PLUS", 5) == 0)
		return;
	memcpy(name, s->memory->mechanism, n);
	memcpy(name + n, "-PLUS", sizeof("-PLUS"));
	add_tried(s, name);
}

void
session_choose(struct fetch_session *s)
{
	struct login_facts f = {
		.capabilities = s->has_caps ? &s->caps : NULL,
		.tls = s->tls,
		.has_binding = s->has_binding,
		.has_stamp = s->stamp_n > 0,
		.has_password = s->has_password,
		.has_token = s->has_token,
		.tried = s->tried,
		.worked = s->memory->fell_back ? s->memory->mechanism : NULL,
		.only_shown = s->other && !s->choice.plain,
		.never_shown = s->unproved,
	};

	s->step = STEP_LOGIN;
	s->challenged = false;
	skip_refused_binding(s);
	login_choose(s->account, &f, &s->choice);
	if (!s->choice.mechanism && f.only_shown) {
		f.only_shown = false;
		login_choose(s->account, &f, &s->choice);
	}
	if (!s->choice.mechanism) {
		session_end(s, OUTCOME_REFUSED, s->choice.why, NOTHING);
		return;
	}
	session_push(s, SESSION_LOGIN);
}

/* It worked last time. */
static bool
is_known(const struct fetch_session *s)
{
	return strcmp(s->memory->mechanism, s->choice.mechanism) == 0;
}

/* What follows the login is known: it goes with it, when the server takes it. */
static void
go_on_at_once(struct fetch_session *s)
{
	const struct remembered *r = s->memory;
	bool known = r->has_capabilities && !s->caps_fresh && is_known(s);
	bool first = s->caps_fresh && r->failures == 0 && !r->step_by_step;

	if (s->pipelining && (known || first) && s->choice.one_flight && !r->not_ahead &&
		!s->bound && !s->other) {
		s->ahead = true;
		session_list_begin(s);
		session_list_send(s);
	}
}

static void
not_sent(struct fetch_session *s)
{
	session_end(s, OUTCOME_LOCAL,
		"name or password are too long, or hold a line end or NUL: neither can "
		"be sent",
		NOTHING);
}

void
session_login_user(struct fetch_session *s, struct view user, struct view password)
{
	if (!pop3_client_send_text(&s->client, POP3_USER, user, &s->out)) {
		not_sent(s);
		return;
	}
	if (!s->pipelining) {
		s->password = password;
		return;
	}
	if (!pop3_client_send_text(&s->client, POP3_PASS, password, &s->out))
		not_sent(s);
	else
		go_on_at_once(s);
}

void
session_login_apop(struct fetch_session *s, struct view user, struct view digest)
{
	if (!pop3_client_apop(&s->client, user, digest, &s->out))
		not_sent(s);
	else
		go_on_at_once(s);
}

void
session_login_sasl(
	struct fetch_session *s, const char *mechanism, const struct view *initial)
{
	if (!pop3_client_auth(&s->client, mechanism, initial, &s->out))
		not_sent(s);
	else if (initial)
		go_on_at_once(s);
}

void
session_login_impossible(struct fetch_session *s, const char *why)
{
	char last[LETTER_WHY_MAX];
	size_t n = strlen(why);

	/* Another one may do: the reason counts only if none does. */
	if (n >= sizeof(last))
		n = sizeof(last) - 1;
	memcpy(last, why, n);
	last[n] = 0;
	add_tried(s, s->choice.mechanism);
	session_choose(s);
	if (s->step == STEP_END && s->outcome.kind == OUTCOME_REFUSED)
		memcpy(s->outcome.why, last, n + 1);
}

void
session_respond(struct fetch_session *s, struct view octets)
{
	if (!pop3_client_respond(&s->client, octets, &s->out))
		session_end(
			s, OUTCOME_LOCAL, "a response of the login is too long", NOTHING);
}

void
session_cancel(struct fetch_session *s, const char *why)
{
	if (!pop3_client_cancel(&s->client, &s->out)) {
		session_end(s, OUTCOME_CUT, why, NOTHING);
		return;
	}
	/* Its answer is -ERR; then the same mechanism may do without the binding. */
	session_login_words(s, why);
	/* It may be a false one: it gets no password. */
	s->unproved = true;
	if (!binds_channel(s))
		session_end(s, OUTCOME_REFUSED, why, NOTHING);
}

static void
logged_in(struct fetch_session *s)
{
	size_t n = strlen(s->choice.mechanism);

	s->memory->fell_back = s->other || (s->memory->fell_back && is_known(s));
	if (n < sizeof(s->memory->mechanism))
		memcpy(s->memory->mechanism, s->choice.mechanism, n + 1);
	s->ready = true;
	s->memory->step_by_step = false;
	if (s->early)
		s->memory->early_faults = 0;
	s->logged_in_ms = s->noop_ms = s->now_ms;
	session_push(s, SESSION_LOGGED_IN);
}

void
session_login_words(struct fetch_session *s, const char *words)
{
	size_t n = strlen(words);

	if (n >= sizeof(s->words))
		n = sizeof(s->words) - 1;
	memcpy(s->words, words, n);
	s->words[n] = 0;
}

void
session_login_proved(struct fetch_session *s, bool proved, const char *why)
{
	struct report_facts f = REPORT_NOTHING;

	if (!proved) {
		session_end(s, OUTCOME_REFUSED, why, NOTHING);
		return;
	}
	s->memory->tls_seen = s->tls || (s->memory->tls_seen && !s->account->forget_tls);
	f.why = s->choice.mechanism;
	session_tell(s, REPORT_LOGGED_IN, &f);
	if (s->step == STEP_LOGIN)
		session_list_begin(s);
}

static bool
may_be_the_mechanism(const struct fetch_session *s, const struct pop3_answer *a)
{
	if (a->command != POP3_AUTH)
		return false;
	return binds_channel(s) ||
		(a->code == POP3_CODE_NONE && (s->caps.has & POP3_CAPA_AUTH_RESP_CODE) &&
			s->words[0] == 0);
}

/*
 * RFC 3206 s.6: a server with AUTH-RESP-CODE says [AUTH] where the credentials are wrong,
 * so another mechanism may do. So it may where the channel was bound: both sides may bind
 * to different things of one TLS session, and a server then says what it says of a wrong
 * password. What was sent behind this one is not waited for.
 */
static bool
is_not_about_credentials(const struct fetch_session *s, const struct pop3_answer *a)
{
	return s->step == STEP_LOGIN && may_be_the_mechanism(s, a);
}

/*
 * Said step by step it may be taken, or another mechanism instead of it: what came with
 * the login, or before the greeting, may be what is refused.
 */
static bool
was_too_much_at_once(struct fetch_session *s, const struct pop3_answer *a)
{
	if (a->code != POP3_CODE_NONE && a->code != POP3_CODE_OTHER)
		return false;
	if (!session_was_too_early(s) &&
		!(s->ahead && s->caps_fresh && may_be_the_mechanism(s, a)))
		return false;
	return s->memory->step_by_step = true;
}

/*
 * Each is a failed login at the server, and some lock an account after a few: so one
 * other way at most, and none where this one worked last time or was said before in this
 * run: then it is the password. A server that refuses a binding says no more of it than
 * that, so the same follows without; its proof refused again, it is the password too.
 */
static bool
may_try_another(const struct fetch_session *s)
{
	if (s->memory->step_by_step)
		return false;
	if (binds_channel(s))
		return true;
	return !is_known(s) && !s->other && !s->unproved && !(s->bound && s->challenged);
}

/* A server that keeps only a hash can do none but those that show the password. */
static void
try_another(struct fetch_session *s)
{
	char words[sizeof(s->words)];

	memcpy(words, s->words, sizeof(words));
	add_tried(s, s->choice.mechanism);
	if (binds_channel(s)) {
		s->bound = true;
		add_tried(s, "SCRAM-SHA-1-PLUS");
	} else {
		s->other = true;
	}
	if (!s->unproved)
		session_login_words(s, "");
	session_choose(s);
	if (s->step == STEP_END && words[0] != 0)
		memcpy(s->outcome.why, words, sizeof(words));
}

/* Next time all ways are open again: what worked once may work no more. */
static void
forget_way(struct fetch_session *s, const struct pop3_answer *a)
{
	if (s->outcome.kind != OUTCOME_REFUSED)
		return;
	s->memory->step_by_step = false;
	if (a->code != POP3_CODE_NONE || !may_be_the_mechanism(s, a))
		return;
	s->memory->mechanism[0] = 0;
	s->memory->fell_back = false;
}

void
session_login_status(struct fetch_session *s, const struct pop3_answer *a)
{
	if (!a->ok) {
		/* What was remembered of the server may be out of date. */
		s->memory->has_capabilities = false;
		if (was_too_much_at_once(s, a)) {
			session_end(s, OUTCOME_CUT, "the login was refused", a->text);
		} else if (is_not_about_credentials(s, a) && may_try_another(s)) {
			try_another(s);
		} else {
			session_refused(s, a, OUTCOME_REFUSED, s->words);
			forget_way(s, a);
		}
		return;
	}
	if (a->command != POP3_USER) {
		logged_in(s);
		return;
	}
	if (!s->pipelining &&
		!pop3_client_send_text(&s->client, POP3_PASS, s->password, &s->out))
		not_sent(s);
	s->password = NOTHING;
}
