#include "base/cursor.h"
#include "monitor/monitor.h"
#include "stat/stat.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
put_printable(struct buf *line, struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		buf_put_u8(line, v.p[i] >= 0x20 && v.p[i] < 0x7F ? v.p[i] : '?');
}

/* While no restante-log is there: the record as one line on stderr. */
static void
to_stderr(const struct log_record *r)
{
	char text[4096];
	struct buf line = buf_over(text, sizeof(text) - 1);
	struct cursor c = cursor_over(buf_view(&r->buf));

	buf_put_str(&line, "restanted: event=");
	buf_put_str(&line, r->event);
	while (c.n > 0 && !c.bad) {
		struct view key = cursor_take(&c, cursor_u8(&c));
		struct view value = cursor_take(&c, cursor_u16(&c));
		bool quote = value.n == 0 || memchr(value.p, ' ', value.n);
		buf_put_u8(&line, ' ');
		put_printable(&line, key);
		buf_put_str(&line, quote ? "=\"" : "=");
		put_printable(&line, value);
		buf_put_str(&line, quote ? "\"" : "");
	}
	line.cap++;
	line.full = false;
	buf_put_u8(&line, '\n');
	/* Nobody is there to be told if this fails. */
	(void)!write(STDERR_FILENO, line.p, line.n);
}

static void
send_record(struct log_record *r)
{
	log_send(r);
	stat_set(STAT_LOG_DROPPED, log_dropped());
}

void
report(struct monitor *m, struct log_record *r)
{
	/* At the start good news waits for restante-log; bad news might wait in vain. */
	if (m->log_up || r->level >= LOG_LEVEL_INFO)
		send_record(r);
	else
		to_stderr(r);
}

void
report_text(struct monitor *m, enum log_level level, const char *fmt, ...)
{
	char text[1600];
	struct log_record r;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!m->log_up) {
		/* Before it runs, the operator is at the terminal: plain words. */
		(void)dprintf(STDERR_FILENO, "restanted: %s\n", text);
		return;
	}
	log_begin(&r, level, level == LOG_LEVEL_ERROR ? "fault" : "notice");
	log_str(&r, "text", text);
	send_record(&r);
}
