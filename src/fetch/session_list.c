/*
 * session_list.c: what is there? STAT and a few `UIDL n` where the drop was seen before,
 * LIST and UIDL whole otherwise.
 */
#include "base/check.h"
#include "fetch/session_parts.h"

#include <string.h>

#define NOTHING	      ((struct view){0})
#define PROBES_ASKED  4	 /* of the remembered ones, in one poll */
#define UIDL_REFUSALS 3	 /* sessions, before a server is one without UIDL */
#define TAIL_MAX      32 /* new messages that are asked for one by one */

static void
ask(struct fetch_session *s, enum pop3_command command, uint32_t msgno)
{
	CHECK(s->todo_n < SESSION_TODO_MAX);
	s->todo[s->todo_n].command = (uint8_t)command;
	s->todo[s->todo_n].msgno = msgno;
	s->todo_n++;
}

static uint32_t
random_below(struct fetch_session *s, uint32_t n)
{
	s->seed ^= s->seed << 13;
	s->seed ^= s->seed >> 7;
	s->seed ^= s->seed << 17;
	return (uint32_t)(s->seed % n);
}

/* May a look at the end of the listing tell that nothing else is to be done? */
static bool
may_be_quick(const struct fetch_session *s)
{
	const struct fetch_account *a = s->account;
	const struct remembered *r = s->memory;

	if (s->list_only || a->dry_run || a->adopt || r->has_no_uidl ||
		r->count == UINT32_MAX || r->policy != plan_fingerprint(a))
		return false;
	if (r->next_delete_s != 0 && r->next_delete_s <= s->now_s)
		return false;
	if (r->count == 0)
		return true;
	/* The last message is the first probe. */
	return a->keep && r->probes_n > 0 && r->probes[0].msgno == r->count &&
		r->count < UINT32_MAX - TAIL_MAX - 1;
}

void
session_list_begin(struct fetch_session *s)
{
	s->step = STEP_LIST;
	s->todo_n = s->todo_sent = s->todo_done = 0;
	if (!s->memory->has_capabilities && (s->has_caps || !s->caps_fresh)) {
		ask(s, POP3_CAPA, 0);
	} else if (!s->memory->has_capabilities) {
		s->memory->has_capabilities = true; /* that it has none */
	} else if (!s->caps_fresh) {
		session_use_remembered(s);
	}
	ask(s, POP3_STAT, 0);
	s->quick = may_be_quick(s);
	if (!s->quick) {
		ask(s, POP3_LIST, 0);
		ask(s, POP3_UIDL, 0);
		return;
	}
	const struct remembered *r = s->memory;
	uint32_t others = r->count > 0 && r->probes_n > 1 ? r->probes_n - 1u : 0;
	uint32_t start = others > 0 ? random_below(s, others) : 0;

	if (r->count > 0)
		ask(s, POP3_UIDL, r->count);
	for (uint32_t i = 0; s->pipelining && i < PROBES_ASKED - 1 && i < others; i++)
		ask(s, POP3_UIDL, r->probes[1 + (start + i) % others].msgno);
	if (s->pipelining) {
		ask(s, POP3_UIDL, r->count + 1);
		ask(s, POP3_LIST, r->count + 1);
		s->guess_due = session_may_guess(s);
	}
}

static void
list_whole(struct fetch_session *s)
{
	s->quick = false;
	s->guess_due = false;
	if (s->probes_wrong > 0)
		session_guess_drop(s);
	s->mails->base = s->mails->n = s->mails->count = 0;
	s->mails->text_n = 0;
	s->todo_n = s->todo_sent = s->todo_done = 0;
	ask(s, POP3_LIST, 0);
	ask(s, POP3_UIDL, 0);
}

/* ---- when all was answered
 * --------------------------------------------------------------- */

static void
load_or_end(struct fetch_session *s)
{
	if (s->mails->count == 0 && !s->whole) {
		session_quit(s);
		return;
	}
	s->step = STEP_LOAD;
	session_push(s, SESSION_LOAD);
}

static bool
tail_is_named(const struct fetch_session *s)
{
	uint32_t first = s->memory->count + 1;

	for (uint32_t n = first; n <= s->stat_count; n++) {
		const struct mail *m = mails_find(s->mails, n);

		if (!m || m->uid_n == 0)
			return false;
	}
	return true;
}

static bool
was_asked(const struct fetch_session *s, uint32_t number)
{
	for (uint32_t i = 0; i < s->todo_n; i++) {
		if (s->todo[i].command == POP3_UIDL && s->todo[i].msgno == number)
			return true;
	}
	return false;
}

/* The new ones are all that was added, by their sizes. A UIDL that two messages share
 * could make a probe agree that should not. */
static bool
tail_adds_up(const struct fetch_session *s)
{
	uint64_t octets = s->memory->octets;

	for (uint32_t n = s->memory->count + 1; n <= s->stat_count; n++) {
		const struct mail *m = mails_find(s->mails, n);

		if (octets == MAIL_NO_SIZE || !m || m->size == MAIL_NO_SIZE)
			return true;
		octets += m->size;
	}
	return octets == s->stat_octets;
}

/* Unchanged, grown at its end, or something else. */
static void
decide_quick(struct fetch_session *s)
{
	const struct remembered *r = s->memory;
	uint32_t first = r->count + 1;

	if (s->has_stat && s->stat_count == r->count && s->probes_wrong == 0 &&
		s->mails->count == 0 &&
		(r->octets == MAIL_NO_SIZE || s->stat_octets == r->octets)) {
		s->mails->n = s->mails->count = 0;
		load_or_end(s);
		return;
	}
	if (s->stat_count <= r->count || s->stat_count - r->count > TAIL_MAX ||
		s->probes_wrong > 0 || s->stat_count > s->account->keep_newest) {
		list_whole(s);
		return;
	}
	if (tail_is_named(s) && !tail_adds_up(s)) {
		list_whole(s);
		return;
	}
	if (tail_is_named(s)) {
		s->whole = r->count == 0;
		load_or_end(s);
		return;
	}
	if (s->tail_asked) {
		list_whole(s);
		return;
	}
	s->tail_asked = true;
	/* The first of them may have been asked for with the probes. */
	if (was_asked(s, first)) {
		if (!mails_find(s->mails, first) || !mails_find(s->mails, first)->uid_n) {
			list_whole(s);
			return;
		}
		first++;
	}
	s->todo_n = s->todo_sent = s->todo_done = 0;
	for (uint32_t n = first; n <= s->stat_count; n++) {
		ask(s, POP3_UIDL, n);
		ask(s, POP3_LIST, n);
	}
}

static void
decide(struct fetch_session *s)
{
	struct report_facts f = REPORT_NOTHING;

	if (s->quick) {
		decide_quick(s);
		if (s->step == STEP_LIST)
			return;
	} else {
		/* Without it messages get other names, and would come twice. */
		if (s->uidl_failed && !s->memory->has_no_uidl &&
			(s->uidl_later ||
				((s->memory->last_success_s != 0 ||
					 s->caps.has & POP3_CAPA_UIDL) &&
					s->memory->uidl_refusals < UIDL_REFUSALS))) {
			s->memory->uidl_refusals += !s->uidl_later;
			session_end(s, OUTCOME_TEMPORARY,
				"UIDL was refused, which the server has", NOTHING);
			return;
		}
		s->memory->has_no_uidl = s->uidl_failed;
		if (s->uidl_failed && s->list_failed && s->stat_count > 0) {
			session_end(s, OUTCOME_PROTOCOL,
				"neither UIDL nor LIST can be had", NOTHING);
			return;
		}
		s->whole = true;
		load_or_end(s);
	}
	s->memory->uidl_refusals = 0;
	f.count = s->has_stat ? s->stat_count : s->mails->count;
	f.octets = s->has_stat ? s->stat_octets : UINT64_MAX;
	session_tell(s, REPORT_LISTED, &f);
}

void
session_list_send(struct fetch_session *s)
{
	if (!s->ready && !s->pipelining)
		return;
	while (s->todo_sent < s->todo_n && session_may_send(s)) {
		if (!pop3_client_send(&s->client, s->todo[s->todo_sent].command,
			    s->todo[s->todo_sent].msgno, 0, &s->out))
			return;
		s->todo_sent++;
	}
	if (s->guess_due && s->todo_sent == s->todo_n)
		session_guess_send(s);
	while (s->step == STEP_LIST && s->ready && s->todo_done == s->todo_n) {
		decide(s);
		if (s->step == STEP_LIST && s->todo_sent < s->todo_n) {
			session_list_send(s);
			return;
		}
	}
}

/* ---- answers
 * ----------------------------------------------------------------------------- */

static bool
equal(struct view a, const uint8_t *p, size_t n)
{
	return a.n == n && (n == 0 || memcmp(a.p, p, n) == 0);
}

/* UIDL of one: is it the one that we remember, or one more? */
static void
probe_status(struct fetch_session *s, const struct pop3_answer *a)
{
	const struct remembered *r = s->memory;
	struct mail *m;

	for (size_t i = 0; i < r->probes_n; i++) {
		const struct probe *p = &r->probes[i];

		if (p->msgno == a->msgno && a->msgno <= r->count) {
			s->probes_wrong += !a->ok || !equal(a->uid, p->uid, p->uid_n);
			return;
		}
	}
	if (!a->ok || a->msgno <= r->count)
		return;
	s->mails->base = r->count;
	m = mails_add(s->mails, a->msgno);
	if (m && m->uid_n == 0 && !mails_set_uid(s->mails, m, a->uid))
		s->probes_wrong++;
}

static void
one_size(struct fetch_session *s, const struct pop3_answer *a)
{
	struct mail *m;

	if (!a->ok || a->msgno <= s->memory->count)
		return;
	s->mails->base = s->memory->count;
	m = mails_add(s->mails, a->msgno);
	if (m)
		m->size = a->value;
}

void
session_list_status(struct fetch_session *s, const struct pop3_answer *a)
{
	s->ahead = false;
	if (a->command == POP3_STAT) {
		s->todo_done++;
		if (!a->ok) {
			session_refused(s, a, OUTCOME_TEMPORARY, "STAT was refused");
			return;
		}
		s->has_stat = !a->bad_row;
		s->stat_count = a->bad_row ? 0 : a->msgno;
		s->stat_octets = a->value;
		return;
	}
	if (s->quick) {
		s->todo_done++;
		if (a->command == POP3_UIDL)
			probe_status(s, a);
		else
			one_size(s, a);
		return;
	}
	if (a->more)
		return;
	s->todo_done++;
	s->uidl_failed = s->uidl_failed || a->command == POP3_UIDL;
	s->uidl_later = s->uidl_later ||
		(a->command == POP3_UIDL &&
			(a->code == POP3_CODE_SYS_TEMP || a->code == POP3_CODE_IN_USE));
	s->list_failed = s->list_failed || a->command == POP3_LIST;
}

static void
too_many(struct fetch_session *s)
{
	session_end(s, OUTCOME_PROTOCOL, "the listing is longer than messages_max allows",
		NOTHING);
}

static void
odd_row(struct fetch_session *s, struct view row)
{
	struct report_facts f = REPORT_NOTHING;

	if (s->odd_rows++ > 0)
		return;
	f.why = "a row of its listing makes no sense and is left out";
	f.server_said = row;
	session_tell(s, REPORT_ODD_SERVER, &f);
}

void
session_list_row(struct fetch_session *s, const struct pop3_answer *a)
{
	struct mail *m;

	if (a->bad_row || a->msgno == 0) {
		odd_row(s, a->text);
		return;
	}
	if (++s->rows > 2 * s->account->messages_max) {
		too_many(s);
		return;
	}
	if (a->msgno > s->account->messages_max) {
		odd_row(s, a->text);
		return;
	}
	m = mails_add(s->mails, a->msgno);
	if (!m && a->msgno > s->mails->base) {
		session_end(s, OUTCOME_LOCAL, "no memory for the listing", NOTHING);
		return;
	}
	if (!m) {
		too_many(s);
		return;
	}
	if (a->command == POP3_LIST)
		m->size = a->value;
	else if (m->uid_n == 0 && !mails_set_uid(s->mails, m, a->uid))
		odd_row(s, a->text);
}

void
session_list_end(struct fetch_session *s, const struct pop3_answer *a)
{
	(void)a;
	s->todo_done++;
}
