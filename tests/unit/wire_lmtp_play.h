/*
 * wire_lmtp_play.h: an LMTP session played into a server in pieces of any size, by a
 * caller that keeps the contract and checks that the server does. What it saw and what
 * the server said is written down, so that two runs can be compared.
 */
#ifndef WIRE_LMTP_PLAY_H
#define WIRE_LMTP_PLAY_H

#include "base/check.h"
#include "wire/lmtp_server.h"

#include <stdlib.h>
#include <string.h>

#define PLAY_MAX (1U << 18)

struct play {
	struct lmtp_server s;
	struct lmtp_limits limits;
	struct buf events, replies, message, out;
	size_t accepted;
	bool open, over;
	struct view names[LMTP_RECIPIENTS_MAX]; /* into events */
	uint8_t events_p[PLAY_MAX], replies_p[PLAY_MAX], message_p[PLAY_MAX];
	uint8_t out_p[LMTP_REPLY_MAX + 100];
};

/* What the server wrote leaves: whole lines, short and printable. */
static inline void
play_flush(struct play *p)
{
	size_t start = 0;

	CHECK(!p->out.full && p->out.n <= p->out.cap);
	for (size_t i = 0; i < p->out.n; i++) {
		uint8_t c = p->out.p[i];
		CHECK((c >= 0x20 && c <= 0x7E) || c == '\r' || c == '\n');
		if (c != '\n')
			continue;
		CHECK(i - start < 512 && i > start && p->out.p[i - 1] == '\r');
		start = i + 1;
	}
	CHECK(start == p->out.n);
	buf_put_view(&p->replies, buf_view(&p->out));
	p->out.n = 0;
}

/* The first letters of a recipient say what becomes of it. */
static inline bool
play_is(struct view v, const char *word)
{
	return v.n >= strlen(word) && memcmp(v.p, word, strlen(word)) == 0;
}

static inline void
play_rcpt(struct play *p, struct view path)
{
	struct view name = {p->events.p + p->events.n - path.n - 1, path.n};
	enum lmtp_recipient_answer a = play_is(path, "no") ? LMTP_RECIPIENT_NO_USER
		: play_is(path, "later")		   ? LMTP_RECIPIENT_TEMPORARY
							   : LMTP_RECIPIENT_ACCEPTED;

	CHECK(p->open && lmtp_server_asks(&p->s) && path.n > 0);
	if (a == LMTP_RECIPIENT_ACCEPTED)
		p->names[p->accepted++] = name;
	while (!lmtp_server_recipient(&p->s, a, &p->out))
		play_flush(p);
}

static inline void
play_end(struct play *p)
{
	CHECK(p->open && p->accepted > 0);
	for (size_t i = 0; i < p->accepted; i++) {
		CHECK(lmtp_server_owed(&p->s) == p->accepted - i);
		while (!lmtp_server_outcome(&p->s,
			play_is(p->names[i], "full") ? LMTP_OUTCOME_FULL
						     : LMTP_OUTCOME_STORED,
			p->names[i], &p->out))
			play_flush(p);
	}
	CHECK(lmtp_server_owed(&p->s) == 0 && !lmtp_server_in_transaction(&p->s));
	buf_put_view(&p->events, buf_view(&p->message));
	buf_put_str(&p->events, "$\n");
}

static inline void
play_event(struct play *p, const struct lmtp_event *e)
{
	static const char *const names[] = {
		"", "", "MAIL ", "RCPT ", "", "END ", "RESET", "QUIT", "CLOSE"};

	buf_put_str(&p->events, names[e->kind]);
	CHECK(e->path.n <= LMTP_PATH_MAX);
	if (e->utf8)
		buf_put_str(&p->events, "utf8 ");
	if (e->declared > 0)
		buf_put_dec(&p->events, e->declared);
	buf_put_view(&p->events, e->path);
	if (e->kind != LMTP_EVENT_DATA && e->kind != LMTP_EVENT_END)
		buf_put_str(&p->events, "\n");
	CHECK(!p->events.full || e->kind == LMTP_EVENT_END);
	CHECK((e->kind == LMTP_EVENT_DATA) == (e->octets.n > 0));
	CHECK(e->kind != LMTP_EVENT_DATA || p->accepted > 0);
	if (e->kind == LMTP_EVENT_DATA)
		return buf_put_view(&p->message, e->octets);
	if (e->kind == LMTP_EVENT_RCPT)
		return play_rcpt(p, e->path);
	if (e->kind == LMTP_EVENT_END)
		play_end(p);
	p->over = e->kind == LMTP_EVENT_QUIT || e->kind == LMTP_EVENT_CLOSE;
	CHECK(p->over || p->open == (e->kind != LMTP_EVENT_MAIL));
	p->open = e->kind == LMTP_EVENT_MAIL;
	p->accepted = 0;
	p->message = buf_over(p->message_p, PLAY_MAX);
}

/* `first` octets, then pieces of `step`, each in a block of its own. */
static inline void
play(struct play *p, const struct lmtp_limits *limits, struct view all, size_t first,
	size_t step)
{
	struct lmtp_event e;

	memset(p, 0, offsetof(struct play, names));
	p->limits = *limits;
	p->events = buf_over(p->events_p, PLAY_MAX);
	p->replies = buf_over(p->replies_p, PLAY_MAX);
	p->message = buf_over(p->message_p, PLAY_MAX);
	p->out = buf_over(p->out_p, sizeof(p->out_p));
	lmtp_server_init(&p->s, &p->limits);
	CHECK(lmtp_server_greet(&p->s, &p->out));
	for (size_t at = 0, n = first; at < all.n && !p->over; at += n, n = step) {
		n = n < all.n - at ? n : all.n - at;
		uint8_t *copy = malloc(n ? n : 1);
		memcpy(copy, all.p + at, n);
		struct view in = {copy, n};
		while (!p->over) {
			lmtp_server_next(&p->s, &in, &p->out, &e);
			if (e.kind == LMTP_EVENT_NEED_ROOM)
				play_flush(p);
			else if (e.kind == LMTP_EVENT_NEED_INPUT)
				break;
			else
				play_event(p, &e);
		}
		CHECK(p->over || in.n == 0);
		free(copy);
	}
	play_flush(p);
}

#endif
