/*
 * live_mail.c: TOP and RETR of many messages, several under way.
 */
#include "move/live_parts.h"
#include "move/show.h"

#include <errno.h>
#include <stdio.h>

#define REFUSED_MAX 200
#define COMMAND_MAX 64

struct asking {
	struct live *l;
	enum pop3_command command;
	const uint32_t *msgnos;
	size_t n, sent, done;
	uint32_t lines, window;
	uint64_t octets, octets_max; /* of the message that comes */
	struct live_sink *sink;
};

/* Half of the window at a time, so that commands leave together. */
static int
ask_ahead(struct asking *a)
{
	struct buf out = buf_over(a->l->out, sizeof(a->l->out));

	if (a->sent - a->done > a->window / 2)
		return 0;
	while (a->sent < a->n && a->sent - a->done < a->window &&
		buf_room(&out) >= COMMAND_MAX) {
		if (!pop3_client_send(&a->l->client, a->command, a->msgnos[a->sent],
			    a->lines, &out))
			return live_fail(a->l, -EPROTO, "nothing can be asked any more",
				LIVE_NOTHING);
		a->sent++;
	}
	return out.n > 0 ? live_send(a->l, &out) : 0;
}

static void
refused(struct asking *a, struct view words)
{
	char shown[REFUSED_MAX + 8];
	struct buf b = buf_over(shown, sizeof(shown) - 1);

	show_printable(&b, words, REFUSED_MAX);
	shown[b.n] = '\0';
	a->sink->end(a->sink, a->done++, shown);
}

static int
take_data(struct asking *a, struct view data)
{
	char what[80];

	a->octets += data.n;
	if (a->octets > a->octets_max) {
		(void)snprintf(what, sizeof(what),
			"the message has no end within %llu octets",
			(unsigned long long)a->octets_max);
		return live_fail(a->l, -E2BIG, what, LIVE_NOTHING);
	}
	a->sink->take(a->sink, a->done, data);
	return 0;
}

static int
take_event(struct asking *a, enum pop3_client_event e, const struct pop3_answer *answer)
{
	switch (e) {
	case POP3_CLIENT_STATUS:
		a->octets = 0;
		if (!answer->ok)
			refused(a, answer->text);
		return 0;
	case POP3_CLIENT_DATA: return take_data(a, answer->data);
	case POP3_CLIENT_END: a->sink->end(a->sink, a->done++, NULL); return 0;
	case POP3_CLIENT_NEED_INPUT:
	case POP3_CLIENT_GREETING:
	case POP3_CLIENT_CHALLENGE:
	case POP3_CLIENT_ROW:
	case POP3_CLIENT_BROKEN: break;
	}
	return live_fail(
		a->l, -EPROTO, "the server answers something else", answer->text);
}

static int
run(struct asking *a)
{
	enum pop3_client_event e;
	struct pop3_answer answer;

	a->window = a->l->facts.after.has & POP3_CAPA_PIPELINING ? LIVE_WINDOW : 1;
	while (a->done < a->n) {
		int r = ask_ahead(a);
		a->l->msgno = a->msgnos[a->done];
		if (r == 0)
			r = live_next(a->l, &e, &answer);
		if (r == 0)
			r = take_event(a, e, &answer);
		if (r < 0)
			return r;
	}
	a->l->msgno = 0;
	return 0;
}

int
live_top(struct live *l, const uint32_t *msgnos, size_t n, uint32_t lines,
	struct live_sink *sink)
{
	struct asking a = {.l = l,
		.command = POP3_TOP,
		.msgnos = msgnos,
		.n = n,
		.lines = lines,
		.octets_max = LIVE_TOP_MAX,
		.sink = sink};

	l->step = "TOP";
	return run(&a);
}

int
live_retr(struct live *l, const uint32_t *msgnos, size_t n, struct live_sink *sink)
{
	struct asking a = {.l = l,
		.command = POP3_RETR,
		.msgnos = msgnos,
		.n = n,
		.octets_max = LIVE_RETR_MAX,
		.sink = sink};

	l->step = "RETR";
	return run(&a);
}
