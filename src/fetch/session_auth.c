/*
 * session_auth.c: from the greeting to the end of AUTHORIZATION.
 */
#include "base/check.h"
#include "fetch/session_parts.h"

#include <string.h>

#define NOTHING ((struct view){0})

/* ---- capabilities
 * ------------------------------------------------------------------------ */

static void
keep_caps(struct pop3_capabilities_kept *k, const struct pop3_capabilities *c)
{
	k->has = c->has;
	k->login_delay_s = c->login_delay_s;
	memcpy(k->mechanisms, c->mechanisms, c->mechanisms_n);
	k->mechanisms[c->mechanisms_n] = 0;
}

static void
use_kept(struct pop3_capabilities *c, const struct pop3_capabilities_kept *k)
{
	size_t n = strlen(k->mechanisms);

	memset(c, 0, sizeof(*c));
	c->has = k->has;
	c->login_delay_s = k->login_delay_s;
	c->expire_days = POP3_EXPIRE_NEVER;
	if (n >= sizeof(c->mechanisms))
		n = sizeof(c->mechanisms) - 1;
	memcpy(c->mechanisms, k->mechanisms, n);
	c->mechanisms[n] = 0;
	c->mechanisms_n = (uint16_t)n;
}

static void
set_pipelining(struct fetch_session *s)
{
	s->pipelining = s->account->window > 1 && s->has_caps &&
		(s->caps.has & POP3_CAPA_PIPELINING);
}

void
session_capa_begin(struct fetch_session *s)
{
	memset(&s->caps, 0, sizeof(s->caps));
	s->caps.expire_days = POP3_EXPIRE_NEVER;
}

void
session_capa_row(struct fetch_session *s, const struct pop3_answer *a)
{
	if (++s->capa_rows > SESSION_CAPA_MAX)
		session_end(s, OUTCOME_PROTOCOL,
			"a list of capabilities that does not end", NOTHING);
	pop3_capabilities_take(&s->caps, a->text);
	/* Courier says PIPELINING and hands the connection to another program at the
	 * login. */
	if (a->text.n > 22 && memcmp(a->text.p, "IMPLEMENTATION Courier", 22) == 0)
		s->memory->not_ahead = true;
}

static void
ask_caps(struct fetch_session *s)
{
	session_capa_begin(s);
	s->memory->has_capabilities = false;
	s->step = STEP_CAPA;
	if (!pop3_client_send(&s->client, POP3_CAPA, 0, 0, &s->out))
		session_end(s, OUTCOME_CUT, "CAPA could not be sent", NOTHING);
}

void
session_capa_end(struct fetch_session *s, bool ok)
{
	if (s->step == STEP_CAPA) {
		/* A server without CAPA knows RFC 1939 and nothing more. */
		s->has_caps = ok;
		if (ok)
			keep_caps(&s->memory->before, &s->caps);
		else
			memset(&s->memory->before, 0, sizeof(s->memory->before));
		s->caps_fresh = true;
		set_pipelining(s);
		session_choose(s);
		return;
	}
	s->todo_done++;
	if (ok)
		keep_caps(&s->memory->after, &s->caps);
	else /* what was said before login still holds */
		s->memory->after = s->memory->before;
	s->memory->has_capabilities = true;
	s->has_caps = s->has_caps || ok;
	session_use_remembered(s);
	if (s->caps.has & POP3_CAPA_TOP)
		s->memory->has_no_top = false;
}

void
session_use_remembered(struct fetch_session *s)
{
	use_kept(&s->caps, &s->memory->after);
	set_pipelining(s);
}

/* ---- greeting and STLS
 * ------------------------------------------------------------------- */

/* What anybody on the way may have said without TLS decides nothing behind TLS: neither
 * how to log in nor how messages are read. */
static void
forget_plain(struct remembered *r)
{
	r->has_capabilities = r->unstuffed = r->sizes_lie = false;
	r->has_no_uidl = r->has_no_top = false;
	r->uidl_refusals = 0;
	r->mechanism[0] = 0;
	r->count = UINT32_MAX;
}

static void
begin_login(struct fetch_session *s)
{
	if (s->tls != s->memory->over_tls)
		forget_plain(s->memory);
	s->memory->over_tls = s->tls;
	if (!s->memory->has_capabilities || s->memory->failures > 0 ||
		s->memory->step_by_step) {
		ask_caps(s);
		return;
	}
	use_kept(&s->caps, &s->memory->before);
	s->has_caps = s->caps.has != 0;
	set_pipelining(s);
	session_choose(s);
}

void
session_greeting(struct fetch_session *s, const struct pop3_answer *a)
{
	if (!a->ok) {
		session_refused(s, a, OUTCOME_TEMPORARY, "no session now");
		return;
	}
	if (a->stamp.n > 0 && a->stamp.n <= sizeof(s->stamp)) {
		memcpy(s->stamp, a->stamp.p, a->stamp.n);
		s->stamp_n = (uint16_t)a->stamp.n;
	}
	/* Exchange wants a token on a line of its own. */
	s->exchange = memmem(a->text.p, a->text.n, "Microsoft Exchange", 18) != NULL;
	if (s->early)
		return;
	if (s->account->tls != FETCH_TLS_STLS) {
		begin_login(s);
		return;
	}
	/* No CAPA before: what a server says in the clear decides nothing. */
	s->step = STEP_STLS;
	if (!pop3_client_send(&s->client, POP3_STLS, 0, 0, &s->out))
		session_end(s, OUTCOME_CUT, "STLS could not be sent", NOTHING);
}

static void
stls_status(struct fetch_session *s, const struct pop3_answer *a)
{
	if (!a->ok) {
		session_end(s, OUTCOME_PROTOCOL,
			"the server does not do STLS, and nothing is sent without TLS",
			a->text);
		return;
	}
	s->step = STEP_TLS;
	session_push(s, SESSION_START_TLS);
}

void
session_secured(struct fetch_session *s)
{
	pop3_client_secured(&s->client);
	s->tls = true;
	/* A stamp of the plain greeting is not to be trusted (RFC 2595 s.4). */
	s->stamp_n = 0;
	begin_login(s);
}

/*
 * The greeting of a server that is known says nothing that the login waits for. A server
 * with PIPELINING keeps what comes while it is busy, and it has proved who it is. APOP
 * needs the greeting's stamp, a token its words (s->exchange).
 */
static bool
may_be_early(const struct fetch_session *s)
{
	const struct remembered *r = s->memory;
	static const char *const none[] = {"", "APOP", "OAUTHBEARER", "XOAUTH2"};

	if (!s->tls || !r->over_tls || !r->has_capabilities || r->failures > 0 ||
		r->step_by_step || r->not_ahead || r->early_faults >= EARLY_FAULTS_MAX ||
		!(r->before.has & POP3_CAPA_PIPELINING) || s->account->window < 2)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (strcmp(r->mechanism, none[i]) == 0)
			return false;
	return true;
}

void
session_connected(struct fetch_session *s)
{
	s->step = STEP_GREETING;
	s->early = may_be_early(s);
	if (s->early)
		begin_login(s);
}

bool
session_was_too_early(struct fetch_session *s)
{
	if (!s->early || s->ready)
		return false;
	s->memory->early_faults++;
	s->memory->step_by_step = true;
	return true;
}

/* ---- the login
 * --------------------------------------------------------------------------- */

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
	};

	s->step = STEP_LOGIN;
	skip_refused_binding(s);
	login_choose(s->account, &f, &s->choice);
	if (!s->choice.mechanism) {
		session_end(s, OUTCOME_REFUSED, s->choice.why, NOTHING);
		return;
	}
	session_push(s, SESSION_LOGIN);
}

/* What follows the login is known: it goes with it, when the server takes it. */
static void
go_on_at_once(struct fetch_session *s)
{
	const struct remembered *r = s->memory;
	bool known = r->has_capabilities && !s->caps_fresh &&
		strcmp(r->mechanism, s->choice.mechanism) == 0;
	bool first = s->caps_fresh && r->failures == 0 && !r->step_by_step;

	if (s->pipelining && (known || first) && s->choice.one_flight && !r->not_ahead) {
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
	if (!binds_channel(s))
		session_end(s, OUTCOME_REFUSED, why, NOTHING);
}

static void
logged_in(struct fetch_session *s)
{
	size_t n = strlen(s->choice.mechanism);

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

void
session_login_status(struct fetch_session *s, const struct pop3_answer *a)
{
	if (a->command == POP3_STLS) {
		stls_status(s, a);
		return;
	}
	if (!a->ok) {
		/* What was remembered of the server may be out of date. */
		s->memory->has_capabilities = false;
		if (is_not_about_credentials(s, a)) {
			add_tried(s, s->choice.mechanism);
			session_login_words(s, "");
			session_choose(s);
			return;
		}
		if (was_too_much_at_once(s, a))
			session_end(s, OUTCOME_CUT, "the login was refused", a->text);
		else
			session_refused(s, a, OUTCOME_REFUSED, s->words);
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
