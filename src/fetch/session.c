#include "base/check.h"
#include "fetch/session_parts.h"

#include <string.h>

#define NOTHING ((struct view){0})

void
session_init(struct fetch_session *s, const struct fetch_account *a,
	struct remembered *memory, struct mails *mails, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->account = a;
	s->memory = memory;
	s->mails = mails;
	s->seed = seed | 1;
	s->room = UINT32_MAX;
	s->out = buf_over(s->out_octets, sizeof(s->out_octets));
	pop3_client_init(&s->client);
}

void
session_time(struct fetch_session *s, uint64_t now_ms, uint64_t now_s)
{
	s->now_ms = now_ms;
	s->now_s = now_s;
}

/* ---- actions and the end
 * ---------------------------------------------------------------- */

struct session_action *
session_push(struct fetch_session *s, enum session_action_kind kind)
{
	CHECK(s->queue_n < SESSION_QUEUE_MAX);

	struct session_action *a =
		&s->queue[(s->queue_first + s->queue_n++) % SESSION_QUEUE_MAX];
	*a = (struct session_action){.kind = kind};
	return a;
}

void
session_tell(struct fetch_session *s, enum report_event e, const struct report_facts *f)
{
	/* What nobody can do anything about does not crowd out what must be done. */
	if (s->queue_n >= SESSION_QUEUE_MAX / 2)
		return;
	struct session_action *a = session_push(s, SESSION_TELL);
	a->event = e;
	a->facts = *f;
	a->facts.account = s->account->name;
}

static size_t
append(char *to, size_t n, size_t cap, const void *octets, size_t more)
{
	size_t room = cap - 1 - n;

	if (more > room)
		more = room;
	if (more > 0)
		memcpy(to + n, octets, more);
	to[n + more] = 0;
	return n + more;
}

/* Of the RETRs under way that are next to be answered: a server that breaks over one
 * message says nothing of it. */
static struct mail *
awaited_mail(const struct fetch_session *s)
{
	const struct mails *m = s->mails;

	if (s->coming || s->retrievals == 0 || s->counts.dele_waiting > 0)
		return s->coming;
	return &m->at[m->order[(s->order_sent - s->retrievals) % m->cap]];
}

/* In the middle of a letter: it will never be whole. */
static void
cut_coming(struct fetch_session *s, bool counts)
{
	struct mail *m = awaited_mail(s);
	struct session_action *a;

	if (!m || (!s->coming && !counts))
		return;
	/* Where none at all can be had, it is not for one message. */
	counts = counts && (s->counts.committed > 0 || s->counts.failed == 0);
	if (s->coming) {
		a = session_push(s, SESSION_LETTER_CUT);
		a->mail = m;
		a->last_try = counts && session_is_last_try(s, m);
	} else {
		session_mail_fail(s, m, NOTHING);
	}
	s->counts.failed += s->coming != NULL;
	m->stage = MAIL_FAILED;
	m->tried = counts;
	s->coming = NULL;
}

/* Several failed and nothing came: a quota, or a server that is ill today. Its messages
 * are not put aside for that. */
static void
spare_all(struct fetch_session *s)
{
	if (s->counts.committed > 0 || s->counts.failed < 2)
		return;
	for (uint32_t i = 0; i < s->mails->n; i++) {
		s->counts.temporary += s->mails->at[i].tried;
		s->mails->at[i].tried = false;
	}
}

/* Messages that may be known under another UIDL and were not fetched to tell. */
static bool
leaves_unsure(const struct fetch_session *s)
{
	for (uint32_t i = 0; i < s->mails->n; i++) {
		const struct mail *m = &s->mails->at[i];

		if (m->number && m->unsure && m->plan != MAIL_ADOPT &&
			(m->stage < MAIL_COMMITTED || m->stage == MAIL_FAILED))
			return true;
	}
	return false;
}

void
session_end(struct fetch_session *s, enum session_outcome_kind kind, const char *what,
	struct view said)
{
	struct session_outcome *o = &s->outcome;
	size_t n;

	if (s->step == STEP_END)
		return;
	s->step = STEP_END;
	o->kind = kind;
	n = append(o->why, 0, sizeof(o->why), what, strlen(what));
	if (said.n > 0) {
		const char *says = n > 0 ? ": the server said: " : "the server said: ";

		n = append(o->why, n, sizeof(o->why), says, strlen(says));
		append(o->why, n, sizeof(o->why), said.p, said.n);
	}
	session_guess_drop(s);
	/* What went wrong here is not the message's fault. */
	cut_coming(s, kind != OUTCOME_LOCAL);
	spare_all(s);
	s->unsure_left = leaves_unsure(s);
	session_push(s, SESSION_FINISH);
}

void
session_refused(struct fetch_session *s, const struct pop3_answer *a,
	enum session_outcome_kind otherwise, const char *what)
{
	enum session_outcome_kind kind = otherwise;

	if (a->code == POP3_CODE_IN_USE || a->code == POP3_CODE_LOGIN_DELAY ||
		a->code == POP3_CODE_SYS_TEMP)
		kind = OUTCOME_TEMPORARY;
	else if (a->code == POP3_CODE_AUTH || a->code == POP3_CODE_SYS_PERM)
		kind = OUTCOME_REFUSED;
	s->outcome.code = a->code;
	if (a->code == POP3_CODE_LOGIN_DELAY)
		s->outcome.wait_s = s->caps.login_delay_s ? s->caps.login_delay_s : 300;
	session_end(s, kind, what, a->text);
}

void
session_closed(struct fetch_session *s, const char *why)
{
	struct report_facts f = REPORT_NOTHING;

	if (s->step == STEP_END)
		return;
	if (s->step == STEP_QUIT) {
		/* Whether the deletions count is seen next time. */
		if (s->counts.dele_sent > 0) {
			f.count = s->counts.dele_sent;
			f.why = "the server closed without an answer to QUIT";
			session_tell(s, REPORT_DELETION_PENDING, &f);
		}
		session_end(s, s->outcome.kind, "", NOTHING);
		return;
	}
	(void)session_was_too_early(s);
	session_end(s, s->step == STEP_GREETING ? OUTCOME_UNREACHABLE : OUTCOME_CUT, why,
		NOTHING);
}

bool
session_is_ahead(const struct fetch_session *s)
{
	return s->ahead && s->ready && s->step != STEP_END;
}

void
session_timed_out(struct fetch_session *s)
{
	if (session_is_ahead(s)) {
		s->memory->not_ahead = true;
		session_end(s, OUTCOME_CUT,
			"the server answers nothing that was sent with the login",
			NOTHING);
		return;
	}
	static const char why[] = "the server made no progress for too long (timeout)";

	/* Within a message it may be that message; elsewhere asking again at once only
	 * takes the same time again. */
	if (s->step == STEP_GREETING || s->step == STEP_QUIT || s->coming ||
		(s->early && !s->ready))
		session_closed(s, why);
	else
		session_end(s, OUTCOME_TEMPORARY, why, NOTHING);
}

void
session_fail(struct fetch_session *s, enum session_outcome_kind kind, const char *why)
{
	session_end(s, kind, why, NOTHING);
}

void
session_stop(struct fetch_session *s)
{
	s->stopping = true;
	if (s->step < STEP_MAIL)
		session_end(s, OUTCOME_LOCAL, "stopped by a signal", NOTHING);
}

/* ---- sending ---------------------------------------------------------------------- */

bool
session_may_send(const struct fetch_session *s)
{
	uint32_t window = s->pipelining ? s->account->window : 1;

	return pop3_client_waits(&s->client) < window && !s->out.full &&
		buf_room(&s->out) > 64;
}

/*
 * Nothing was deleted, so that its answer tells nothing; where another session follows at
 * once it does: that the server has let go of the drop.
 */
static bool
is_quit_enough(const struct fetch_session *s)
{
	return s->ready && s->outcome.kind == OUTCOME_OK && s->counts.dele_sent == 0 &&
		pop3_client_waits(&s->client) == 1u + (s->guess != 0);
}

void
session_quit(struct fetch_session *s)
{
	if (!pop3_client_send(&s->client, POP3_QUIT, 0, 0, &s->out)) {
		session_end(s, OUTCOME_CUT, "QUIT could not be sent", NOTHING);
		return;
	}
	s->step = STEP_QUIT;
	if (is_quit_enough(s)) {
		s->quit_ok = true;
		session_end(s, OUTCOME_OK, "", NOTHING);
	}
}

static void
quit_status(struct fetch_session *s, const struct pop3_answer *a)
{
	struct report_facts f = REPORT_NOTHING;

	if (a->ok) {
		s->quit_ok = true;
	} else if (s->counts.dele_sent > 0) {
		f.count = s->counts.dele_sent;
		f.server_said = a->text;
		f.why = "QUIT was refused";
		session_tell(s, REPORT_DELETION_PENDING, &f);
	}
	session_end(s, s->outcome.kind, "", NOTHING);
}

/* ---- events ----------------------------------------------------------------------- */

/* Who takes the first line of an answer: a row a command. */
static void (*const takers[POP3_COMMANDS])(
	struct fetch_session *s, const struct pop3_answer *a) = {
	[POP3_STLS] = session_stls_status,
	[POP3_USER] = session_login_status,
	[POP3_PASS] = session_login_status,
	[POP3_AUTH] = session_login_status,
	[POP3_STAT] = session_list_status,
	[POP3_LIST] = session_list_status,
	[POP3_UIDL] = session_list_status,
	[POP3_TOP] = session_top_status,
	[POP3_RETR] = session_mail_status,
	[POP3_DELE] = session_mail_status,
	[POP3_QUIT] = quit_status,
};

static void
on_status(struct fetch_session *s, const struct pop3_answer *a)
{
	session_mail_answered(s, a->command);
	if (a->command == POP3_CAPA) {
		if (!a->more)
			session_capa_end(s, false);
		else
			session_capa_begin(s);
	} else if (a->command < POP3_COMMANDS && takers[a->command]) {
		takers[a->command](s, a);
	}
}

static void
on_row(struct fetch_session *s, const struct pop3_answer *a)
{
	if (a->command == POP3_CAPA)
		session_capa_row(s, a);
	else
		session_list_row(s, a);
}

static void
on_data(struct fetch_session *s, const struct pop3_answer *a)
{
	if (a->command == POP3_RETR) {
		session_mail_data(s, a);
		return;
	}
	s->top_octets += a->data.n;
	if (s->top_octets > SESSION_TOP_MAX) {
		session_end(s, OUTCOME_PROTOCOL, "a header that does not end", NOTHING);
		return;
	}
	struct session_action *action = session_push(s, SESSION_HEADER);
	action->mail = mails_find(s->mails, a->msgno);
	action->data = a->data;
}

static void
on_end(struct fetch_session *s, const struct pop3_answer *a)
{
	if (a->command == POP3_CAPA)
		session_capa_end(s, true);
	else if (a->command == POP3_RETR)
		session_mail_end(s, a);
	else if (a->command == POP3_TOP)
		session_top_end(s, a);
	else
		session_list_end(s, a);
}

static void
challenge(struct fetch_session *s, const struct pop3_answer *a)
{
	struct session_action *action;

	if (a->bad64) {
		session_end(
			s, OUTCOME_PROTOCOL, "a challenge that is no base64", a->text);
		return;
	}
	s->challenged = true;
	action = session_push(s, SESSION_CHALLENGE);
	action->data = a->data;
	/* What was sent behind AUTH was taken for the response; its words count still. */
	action->answered = a->more;
}

static void
on_event(struct fetch_session *s, enum pop3_client_event event,
	const struct pop3_answer *a)
{
	switch (event) {
	case POP3_CLIENT_GREETING: session_greeting(s, a); return;
	case POP3_CLIENT_STATUS: on_status(s, a); return;
	case POP3_CLIENT_CHALLENGE: challenge(s, a); return;
	case POP3_CLIENT_ROW: on_row(s, a); return;
	case POP3_CLIENT_DATA: on_data(s, a); return;
	case POP3_CLIENT_END: on_end(s, a); return;
	case POP3_CLIENT_BROKEN:
		session_end(s, session_was_too_early(s) ? OUTCOME_CUT : OUTCOME_PROTOCOL,
			a->why, a->text);
		return;
	case POP3_CLIENT_NEED_INPUT: return;
	}
}

/* What can be sent without another event. */
static void
drive(struct fetch_session *s)
{
	if (s->step == STEP_LIST)
		session_list_send(s);
	if (s->step == STEP_TOP)
		session_top_drive(s);
	if (s->step == STEP_MAIL)
		session_mail_send(s);
}

void
session_next(struct fetch_session *s, struct view *in, uint8_t *scratch, size_t scratch_n,
	struct session_action *ret)
{
	enum pop3_client_event event;
	struct pop3_answer a;

	for (;;) {
		if (s->queue_n > 0) {
			*ret = s->queue[s->queue_first];
			s->queue_first = (s->queue_first + 1) % SESSION_QUEUE_MAX;
			s->queue_n--;
			return;
		}
		*ret = (struct session_action){.kind = SESSION_WAIT};
		if (s->step == STEP_END || s->step == STEP_TLS)
			return;
		event = pop3_client_next(&s->client, in, scratch, scratch_n, &a);
		if (event == POP3_CLIENT_NEED_INPUT) {
			drive(s);
			if (s->queue_n == 0)
				return;
			continue;
		}
		on_event(s, event, &a);
	}
}
