#include "fetch/mboxrd.h"

#include "base/ascii.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SENDER_MAX 256
#define PIECE	   4096

static const char from[] = "From ";
#define FROM_N (sizeof(from) - 1)

static void
put(struct mboxrd_sink *sink, const void *p, size_t n)
{
	if (n > 0)
		sink->take(sink, (struct view){p, n});
}

/* The line's start is known: what was held back is written. */
static void
decide(struct mboxrd *m, bool quote, struct mboxrd_sink *sink)
{
	static const char many[] = ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>";

	m->quotes += quote;
	while (m->quotes > 0) {
		size_t n = m->quotes < sizeof(many) - 1 ? (size_t)m->quotes
							: sizeof(many) - 1;

		put(sink, many, n);
		m->quotes -= n;
	}
	put(sink, from, m->from_at);
	m->from_at = 0;
	m->in_line = true;
}

static void
take_lf(struct mboxrd *m, struct view in, struct mboxrd_sink *sink)
{
	while (in.n > 0) {
		size_t n = 0;

		if (m->in_line) {
			const uint8_t *end = memchr(in.p, '\n', in.n);

			n = end ? (size_t)(end + 1 - in.p) : in.n;
			put(sink, in.p, n);
			m->in_line = !end;
		} else if (m->from_at == 0 && in.p[0] == '>') {
			m->quotes++;
			n = 1;
		} else if (in.p[0] == (uint8_t)from[m->from_at]) {
			m->from_at++;
			n = 1;
			if (m->from_at == FROM_N)
				decide(m, true, sink);
		} else {
			decide(m, false, sink);
		}
		if (n > 0)
			m->met = in.p[n - 1] != '\n';
		in.p += n;
		in.n -= n;
	}
}

void
mboxrd_take(struct mboxrd *m, struct view in, struct mboxrd_sink *sink)
{
	uint8_t lf[PIECE + 1];

	while (in.n > 0) {
		size_t n = in.n < PIECE ? in.n : PIECE;
		size_t out = line_ends_to_lf(&m->ends, in.p, n, lf);

		take_lf(m, (struct view){lf, out}, sink);
		in.p += n;
		in.n -= n;
	}
}

void
mboxrd_finish(struct mboxrd *m, struct mboxrd_sink *sink)
{
	uint8_t last[1];

	take_lf(m, (struct view){last, line_ends_finish(&m->ends, last)}, sink);
	if (!m->in_line && (m->quotes > 0 || m->from_at > 0))
		decide(m, false, sink);
	put(sink, "\n\n", m->met ? 2 : 1);
}

/* What stands in <> of a Return-Path field among the first lines. */
static struct view
return_path(struct view head)
{
	const struct view name = VIEW("return-path:");

	while (head.n > 0) {
		const uint8_t *end = memchr(head.p, '\n', head.n);
		size_t n = end ? (size_t)(end - head.p) : head.n;

		if (n == 0 || (n == 1 && head.p[0] == '\r'))
			break;
		if (n > name.n &&
			ascii_equal_nocase((struct view){head.p, name.n}, name)) {
			const uint8_t *open = memchr(head.p, '<', n);
			size_t rest = open ? (size_t)(head.p + n - open) : 0;
			const uint8_t *close = open ? memchr(open, '>', rest) : NULL;

			return close ? (struct view){open + 1, (size_t)(close - open) - 1}
				     : (struct view){NULL, 0};
		}
		if (!end)
			break;
		head.p += n + 1;
		head.n -= n + 1;
	}
	return (struct view){NULL, 0};
}

size_t
mboxrd_from_line(struct view head, uint64_t now_s, char ret[MBOXRD_FROM_MAX])
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
		"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct view path = return_path(head);
	char sender[SENDER_MAX + 1] = "MAILER-DAEMON";
	time_t now = (time_t)now_s;
	struct tm t = {.tm_mday = 1};
	bool good = path.n > 0 && path.n <= SENDER_MAX;

	for (size_t i = 0; good && i < path.n; i++)
		good = ascii_is_graph(path.p[i]);
	if (good) {
		memcpy(sender, path.p, path.n);
		sender[path.n] = 0;
	}
	(void)gmtime_r(&now, &t);
	int n = snprintf(ret, MBOXRD_FROM_MAX, "From %s %s %s %2d %02d:%02d:%02d %d\n",
		sender, days[t.tm_wday % 7], months[t.tm_mon % 12], t.tm_mday, t.tm_hour,
		t.tm_min, t.tm_sec, t.tm_year + 1900);
	return n < 0 ? 0 : (size_t)n;
}
