/*
 * session_letters.c: RETR, DELE for what is durable, and the end.
 */
#include "base/check.h"
#include "fetch/session_parts.h"

#include <string.h>

#define NOTHING		 ((struct view){0})
#define ASKED_OCTETS_MAX (16 * 1024 * 1024) /* of messages whose RETR is under way */
#define NOOP_MS		 30000 /* some servers wait for no more than a minute */

/* ---- what goes out
 * ----------------------------------------------------------------------- */

static bool
session_is_long_enough(const struct fetch_session *s)
{
	const struct fetch_account *a = s->account;

	if (s->begins_anew)
		return s->stopping;
	return s->stopping ||
		(a->commit_messages != FETCH_NEVER &&
			s->counts.fetched >= a->commit_messages) ||
		(a->commit_after_ms != FETCH_NEVER && s->counts.fetched > 0 &&
			s->now_ms - s->logged_in_ms >= a->commit_after_ms);
}

static bool
has_more_to_fetch(const struct fetch_session *s)
{
	return s->order_sent < s->mails->order_n;
}

/* Each letter that was asked for will be an open file until it is committed. */
static uint32_t
room_left(const struct fetch_session *s)
{
	uint32_t used = s->retrievals + s->counts.uncommitted + s->doubted;

	return used < s->room ? s->room - used : 0;
}

/* Commands leave many at a time, once half of the window is free: one by one each would
 * be a packet of its own. */
static bool
is_worth_sending(const struct fetch_session *s)
{
	uint32_t window = s->pipelining ? s->account->window : 1;
	uint32_t most = window < s->room ? window : s->room;

	return s->retrievals <= window / 2 && room_left(s) >= most / 4 &&
		s->asked_octets <= ASKED_OCTETS_MAX / 2;
}

static void
send_retrievals(struct fetch_session *s)
{
	if (!is_worth_sending(s))
		return;
	while (has_more_to_fetch(s) && !s->held && room_left(s) > 0 &&
		session_may_send(s) && !session_is_long_enough(s)) {
		struct mails *all = s->mails;
		struct mail *m = &all->at[all->order[s->order_sent % all->cap]];
		uint64_t octets = m->size == MAIL_NO_SIZE ? 0 : m->size;
		bool raw = m->raw || s->memory->unstuffed;

		if (s->asked_octets > 0 && s->asked_octets + octets > ASKED_OCTETS_MAX)
			return;
		if (!pop3_client_retrieve(&s->client, m->number,
			    raw ? POP3_RAW : POP3_STUFFED, &s->out))
			return;
		m->raw = raw;
		m->stage = MAIL_ASKED;
		s->asked_octets += octets;
		s->counts.fetched++;
		s->retrievals++;
		s->order_sent++;
	}
}

static bool
wants_deletion(const struct mail *m)
{
	return m->number &&
		((m->plan == MAIL_DELETE && m->stage == MAIL_LISTED) ||
			(m->plan == MAIL_FETCH && m->delete_too &&
				m->stage == MAIL_COMMITTED));
}

static void
send_deletions(struct fetch_session *s)
{
	while (s->deletions_due && session_may_send(s)) {
		for (; s->dele_next < s->mails->n; s->dele_next++) {
			if (wants_deletion(&s->mails->at[s->dele_next]))
				break;
		}
		if (s->dele_next == s->mails->n) {
			s->deletions_due = false;
			return;
		}
		struct mail *m = &s->mails->at[s->dele_next];
		if (!pop3_client_send(&s->client, POP3_DELE, m->number, 0, &s->out))
			return;
		m->stage = MAIL_DELE_SENT;
		s->counts.dele_waiting++;
	}
}

/* All that can be done in this session is done. */
static void
end_mail(struct fetch_session *s)
{
	if (has_more_to_fetch(s) || s->counts.suspects > 0)
		s->outcome.kind = OUTCOME_MORE;
	session_quit(s);
}

void
session_keep_awake(struct fetch_session *s)
{
	if (s->now_ms - s->noop_ms >= NOOP_MS && pop3_client_waits(&s->client) == 0 &&
		pop3_client_send(&s->client, POP3_NOOP, 0, 0, &s->out))
		s->noop_ms = s->now_ms;
}

void
session_mail_send(struct fetch_session *s)
{
	if (!s->deletions_looked) {
		s->deletions_looked = s->deletions_due = true;
		s->dele_next = 0;
	}
	send_retrievals(s);
	send_deletions(s);
	if (s->doubted) {
		/* Any answer will do. */
		if (pop3_client_waits(&s->client) == 0 &&
			!pop3_client_send(&s->client, POP3_NOOP, 0, 0, &s->out))
			session_end(s, OUTCOME_CUT, "NOOP could not be sent", NOTHING);
		return;
	}
	if (s->retrievals > 0 || s->counts.dele_waiting > 0 || s->deletions_due)
		return;
	if (s->counts.uncommitted > 0) {
		if (!s->commit_asked) {
			s->commit_asked = true;
			session_push(s, SESSION_COMMIT);
		}
		session_keep_awake(s);
		return;
	}
	/* An answer to NOOP may be due yet. */
	if ((!has_more_to_fetch(s) || session_is_long_enough(s)) && session_may_send(s))
		end_mail(s);
}

/* ---- answers
 * ----------------------------------------------------------------------------- */

void
session_mail_fail(struct fetch_session *s, struct mail *m, struct view said)
{
	struct report_facts f = REPORT_NOTHING;

	m->stage = MAIL_FAILED;
	m->tried = true;
	s->counts.failed++;
	f.uid = mail_uid(s->mails, m);
	f.msgno = m->number;
	f.server_said = said;
	session_tell(s, REPORT_FAILED_MESSAGE, &f);
}

static void
retrieval_over(struct fetch_session *s, const struct mail *m)
{
	s->retrievals--;
	s->noop_ms = s->now_ms;
	if (m->size != MAIL_NO_SIZE)
		s->asked_octets -= m->size < s->asked_octets ? m->size : s->asked_octets;
}

/* Once more in this session, at the end. */
static void
ask_again(struct fetch_session *s, struct mail *m)
{
	struct mails *all = s->mails;

	/* The order goes round: those that were sent have made room. */
	all->order[all->order_n++ % all->cap] = (uint32_t)(m - all->at);
	m->stage = MAIL_LISTED;
	m->retried = true;
}

/* What the server said to the first DELE that it refused. */
static void
keep_words(struct fetch_session *s, struct view said)
{
	size_t n = said.n < sizeof(s->words) ? said.n : sizeof(s->words) - 1;

	if (n > 0)
		memcpy(s->words, said.p, n);
	s->words[n] = 0;
}

void
session_mail_status(struct fetch_session *s, const struct pop3_answer *a)
{
	struct mail *m = mails_find(s->mails, a->msgno);

	if (a->command == POP3_RETR && s->guess != 0) {
		session_guess_status(s, a);
		return;
	}
	if (!m)
		return;
	if (a->command == POP3_DELE) {
		s->counts.dele_waiting--;
		m->stage = a->ok ? MAIL_DELETED : MAIL_FAILED;
		s->counts.dele_sent += a->ok;
		if (!a->ok && s->counts.undeleted++ == 0)
			keep_words(s, a->text);
		return;
	}
	if (a->more) {
		m->stage = MAIL_COMING;
		s->coming = m;
		session_push(s, SESSION_LETTER)->mail = m;
		return;
	}
	retrieval_over(s, m);
	if (a->code == POP3_CODE_SYS_TEMP && !m->retried)
		ask_again(s, m);
	else
		session_mail_fail(s, m, a->text);
	/* Not the message's fault. */
	if (m->tried && a->code == POP3_CODE_SYS_TEMP) {
		m->tried = false;
		s->counts.temporary++;
	}
}

void
session_mail_data(struct fetch_session *s, const struct pop3_answer *a)
{
	struct session_action *action;

	if (s->guess != 0) {
		session_guess_data(s, a);
		return;
	}
	if (!s->coming)
		return;
	s->counts.octets += a->data.n;
	action = session_push(s, SESSION_DATA);
	action->mail = s->coming;
	action->data = a->data;
}

/*
 * A server that does not stuff dots loses the first dot of a line here. One that stuffs
 * never sends a lone dot at the start of a line, and LIST has counted those dots.
 */
static bool
is_unstuffed(const struct mail *m, const struct pop3_answer *a)
{
	return !m->raw && a->lone_dots > 0 && m->size != MAIL_NO_SIZE &&
		a->octets != m->size && a->octets + a->dots == m->size;
}

/* It did not stuff once, and now it does: each line that begins with a dot came with one
 * more than LIST has counted. */
static bool
is_stuffed(const struct mail *m, const struct pop3_answer *a)
{
	return m->raw && !m->restuffed && a->dots > 0 && a->lone_dots == 0 &&
		m->size != MAIL_NO_SIZE && a->octets == m->size + a->dots;
}

/* The same message again, read the other way. */
static void
read_again(struct fetch_session *s, struct mail *m, bool unstuffed)
{
	struct report_facts f = REPORT_NOTHING;

	f.why = unstuffed ? "it does not stuff dots; its messages are taken as they come"
			  : "it stuffs dots now; they are taken off again";
	if (s->memory->unstuffed != unstuffed) /* else it is one of those on their way */
		session_tell(s, REPORT_ODD_SERVER, &f);
	s->memory->unstuffed = unstuffed;
	session_push(s, SESSION_LETTER_CUT)->mail = m;
	s->coming = NULL;
	ask_again(s, m);
	m->retried = false;
	m->raw = unstuffed;
	m->restuffed = m->restuffed || !unstuffed;
}

static void
letter_end(struct fetch_session *s)
{
	struct mail *m = s->coming;

	s->coming = NULL;
	m->stage = MAIL_COME;
	s->counts.uncommitted++;
	s->commit_asked = false;
	session_push(s, SESSION_LETTER_END)->mail = m;
}

static void
sizes_lie(struct fetch_session *s)
{
	struct report_facts f = REPORT_NOTHING;

	s->memory->sizes_lie = true;
	f.why = "LIST does not tell the size that RETR sends";
	session_tell(s, REPORT_ODD_SERVER, &f);
}

void
session_mail_answered(struct fetch_session *s, enum pop3_command command)
{
	/* To DELE an empty line is an answer, and messages have many of them. */
	if (!s->doubted || command == POP3_DELE)
		return;
	s->doubted = false;
	if (!s->memory->sizes_lie)
		sizes_lie(s);
	letter_end(s);
}

void
session_mail_end(struct fetch_session *s, const struct pop3_answer *a)
{
	struct mail *m = s->coming;

	if (s->guess != 0) {
		session_guess_end(s, a);
		return;
	}
	if (!m)
		return;
	retrieval_over(s, m);
	if (is_unstuffed(m, a) || is_stuffed(m, a)) {
		read_again(s, m, !m->raw);
		return;
	}
	/* A line of one dot ends a message of a server that does not stuff dots, and it
	 * goes on. Then no answer begins behind it: until one does this is no letter. */
	s->doubted =
		m->size != MAIL_NO_SIZE && a->octets < m->size && !s->memory->sizes_lie;
	if (s->doubted)
		return;
	if (m->size != MAIL_NO_SIZE && a->octets != m->size && !s->memory->sizes_lie)
		sizes_lie(s);
	letter_end(s);
}

void
session_committed(struct fetch_session *s, struct mail *m, enum letter_fate fate)
{
	s->counts.uncommitted--;
	switch (fate) {
	case LETTER_DELIVERED:
	case LETTER_KNOWN:
		m->stage = MAIL_COMMITTED;
		s->counts.committed++;
		m->delete_too = m->delete_too || (fate == LETTER_KNOWN && m->dele_same);
		s->counts.again += fate == LETTER_KNOWN && m->unsure && !m->delete_too;
		if (m->delete_too) {
			uint32_t place = (uint32_t)(m - s->mails->at);

			s->deletions_due = true;
			if (place < s->dele_next)
				s->dele_next = place;
		}
		break;
	case LETTER_REFUSED:
		m->stage = MAIL_FAILED;
		m->put_aside = m->told = true;
		s->counts.quarantined++;
		break;
	case LETTER_TEMPORARY:
	case LETTER_UNKNOWN:
	case LETTER_COMING:
		m->stage = MAIL_FAILED;
		s->counts.temporary++;
		break;
	}
}

void
session_hold(struct fetch_session *s, bool hold)
{
	s->held = hold;
}

void
session_room(struct fetch_session *s, uint32_t letters)
{
	s->room = letters;
}
