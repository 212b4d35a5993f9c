/*
 * session_auth.c: from the greeting to the login: capabilities, STLS.
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

static bool
offers_as_before(const struct fetch_session *s)
{
	const char *before = s->memory->before.mechanisms;

	return ((s->caps.has ^ s->memory->before.has) & POP3_CAPA_USER) == 0 &&
		strlen(before) == s->caps.mechanisms_n &&
		memcmp(before, s->caps.mechanisms, s->caps.mechanisms_n) == 0;
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
		if (!ok || !offers_as_before(s))
			s->memory->fell_back = false;
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
	r->fell_back = false;
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

void
session_stls_status(struct fetch_session *s, const struct pop3_answer *a)
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
