/*
 * session_guess.c: RETR of the message that would be new, sent with the questions whether
 * there is one. Where the guess is right it saves a turn; where it is wrong it costs an
 * -ERR, or the octets of one message.
 *
 * Its answer comes behind those of the questions, but before the plan is made: the letter
 * is written, and when its last octet has come it waits for the plan. No other RETR is
 * answered before it, so while s->guess is set every answer to RETR is this one's.
 */
#include "fetch/session_parts.h"

#include <string.h>

/* Not where something else may be decided about a new message than to fetch it, nor where
 * one that is known may have come back in its place. */
bool
session_may_guess(const struct fetch_session *s)
{
	const struct fetch_account *a = s->account;

	return s->quick && s->pipelining && a->keep && s->memory->all_listed &&
		!a->filter && !a->adopt && a->skip_larger == FETCH_NEVER &&
		a->keep_newest == FETCH_NEVER;
}

void
session_guess_send(struct fetch_session *s)
{
	uint32_t number = s->memory->count + 1;
	enum pop3_stuffing stuffing = s->memory->unstuffed ? POP3_RAW : POP3_STUFFED;

	s->guess_due = false;
	if (session_may_send(s) &&
		pop3_client_retrieve(&s->client, number, stuffing, &s->out))
		s->guess = number;
}

/* What was asked with it has been answered by now. */
static bool
is_good_guess(const struct fetch_session *s)
{
	const struct mail *m = mails_find(s->mails, s->guess);

	return m && m->uid_n > 0 && s->probes_wrong == 0 && s->has_stat &&
		s->stat_count >= s->guess;
}

void
session_guess_status(struct fetch_session *s, const struct pop3_answer *a)
{
	if (!a->more) {
		s->guess = 0;
		return;
	}
	s->guess_dropped = s->guess_dropped || !is_good_guess(s);
	if (s->guess_dropped)
		return;
	s->guess_open = true;
	session_push(s, SESSION_LETTER)->mail = mails_find(s->mails, s->guess);
}

void
session_guess_data(struct fetch_session *s, const struct pop3_answer *a)
{
	if (!s->guess_open)
		return;
	s->counts.octets += a->data.n;
	session_push(s, SESSION_DATA)->data = a->data;
}

void
session_guess_end(struct fetch_session *s, const struct pop3_answer *a)
{
	if (s->guess_dropped) {
		s->guess = 0;
		return;
	}
	s->guess_whole = true;
	s->guess_octets = a->octets;
	s->guess_dots = a->dots;
	s->guess_lone_dots = a->lone_dots;
}

void
session_guess_drop(struct fetch_session *s)
{
	if (s->guess == 0)
		return;
	if (s->guess_open)
		session_push(s, SESSION_LETTER_CUT);
	if (s->guess_whole)
		s->guess = 0;
	s->guess_dropped = true;
	s->guess_open = s->guess_whole = false;
}

static bool
move_to_front(struct mails *m, uint32_t place)
{
	for (uint32_t i = 0; i < m->order_n; i++) {
		if (m->order[i] != place)
			continue;
		memmove(m->order + 1, m->order, i * sizeof(*m->order));
		m->order[0] = place;
		return true;
	}
	return false;
}

void
session_guess_adopt(struct fetch_session *s)
{
	struct pop3_answer whole = {.command = POP3_RETR,
		.octets = s->guess_octets,
		.dots = s->guess_dots,
		.lone_dots = s->guess_lone_dots};
	struct mail *m = mails_find(s->mails, s->guess);
	bool open = s->guess_open, came = s->guess_whole;

	if (s->guess == 0 || s->guess_dropped)
		return;
	if (!m || !move_to_front(s->mails, (uint32_t)(m - s->mails->at))) {
		session_guess_drop(s);
		return;
	}
	s->guess = 0;
	s->guess_open = s->guess_whole = false;
	m->raw = s->memory->unstuffed;
	m->stage = open ? MAIL_COMING : MAIL_ASKED;
	s->coming = open ? m : NULL;
	s->order_sent = s->retrievals = 1;
	s->counts.fetched++;
	s->asked_octets += m->size == MAIL_NO_SIZE ? 0 : m->size;
	if (came)
		session_mail_end(s, &whole);
}
