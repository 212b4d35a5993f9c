/*
 * restante-log: reads records of all programs, each on a channel of its own, and writes
 * them as lines. It can open nothing and call nobody.
 */
#include "base/check.h"
#include "ipc/channel.h"
#include "ipc/log.h"
#include "ipc/start.h"
#include "log/core.h"
#include "log/out.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/loop.h"
#include "stat/stat.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#define EXIT_SOFTWARE 70
/* No source is read for longer while others wait. */
#define RECORDS_A_ROUND 256
/*
 * After records came, so long nobody is listened to: a busy server's lines gather in the
 * channels, senders need not wake this process for each, and one write takes many. A
 * channel holds more than a program says in this time.
 */
#define GATHER_MS 5
/* At the end, what is left in the channels is still written. */
#define RECORDS_AT_THE_END 4096
#define SOURCES_MAX	   16384
#define NOTICE_MS	   1000
#define ASK_MS		   5000

struct program;

struct log_source {
	struct source source;
	struct program *program;
	struct log_from from;
	struct log_limit limit;
	struct log_source *next, **link;
};

struct program {
	struct loop *loop;
	struct source monitor;
	struct timer notice; /* set while something is to be told of */
	struct log_out out;
	struct log_from self;
	struct log_source *sources;
	size_t sources_n;
	uint64_t asked_ms;
	uint8_t level;
	bool heard;  /* records came in this round */
	bool behind; /* and there are more at once */
	bool ended;
	struct received received;
	uint8_t line[LOG_LINE_MAX];
	/* Lines of this round that are not written yet; not for syslog. */
	size_t gathered_n;
	unsigned int gathered_lines;
	uint8_t gathered[LOG_LINE_MAX];
};

static struct program *
program_of(struct source *s)
{
	return (struct program *)((uint8_t *)s - offsetof(struct program, monitor));
}

static struct log_source *
source_of(struct source *s)
{
	return (struct log_source *)((uint8_t *)s - offsetof(struct log_source, source));
}

/* ---- lines ------------------------------------------------------------------------- */

static void
notice_soon(struct program *p)
{
	if (!p->notice.slot)
		/* Without memory for a timer nothing is told; the counters tell. */
		(void)loop_timer_set(
			p->loop, &p->notice, loop_now_ms(p->loop) + NOTICE_MS);
}

static void
ask_for_output(struct program *p, uint64_t now_ms)
{
	uint8_t storage[8];
	struct buf b = buf_over(storage, sizeof(storage));

	if (p->asked_ms && now_ms - p->asked_ms < ASK_MS)
		return;
	p->asked_ms = now_ms;
	msg_log_ask_put(&(struct msg_log_ask){0}, &b);
	(void)channel_send(
		FD_MONITOR, buf_view(&b), NULL, 0); /* asked again if it is lost */
}

static void
put_lines(struct program *p, struct view text, unsigned int lines)
{
	if (text.n == 0 || log_out_write(&p->out, text))
		return;
	p->out.lost += lines - 1;
	stat_add(STAT_LOG_DROPPED, lines);
	notice_soon(p);
	if (p->out.refused)
		ask_for_output(p, loop_now_ms(p->loop));
}

static void
put_gathered(struct program *p)
{
	put_lines(p, (struct view){p->gathered, p->gathered_n}, p->gathered_lines);
	p->gathered_n = p->gathered_lines = 0;
}

/* A syslog datagram is one line; what else takes lines takes many in one write. */
static void
put_line(struct program *p, struct view line)
{
	if (p->out.form == LOG_FORM_SYSLOG) {
		put_lines(p, line, 1);
		return;
	}
	if (line.n > sizeof(p->gathered) - p->gathered_n)
		put_gathered(p);
	memcpy(p->gathered + p->gathered_n, line.p, line.n);
	p->gathered_n += line.n;
	p->gathered_lines++;
}

/* False: the record is malformed. */
static bool
write_record(
	struct program *p, const struct log_from *from, const struct msg_log_record *m)
{
	struct buf line = buf_over(p->line, sizeof(p->line));
	uint64_t ms = clock_unix_ns() / 1000000;

	if (m->level > p->level && m->level <= LOG_LEVEL_DEBUG)
		return true;
	if (log_format(p->out.form, from, ms, m, &line) == LOG_MALFORMED)
		return false;
	put_line(p, buf_view(&line));
	return true;
}

/* A record of our own about another's; from tells whose. */
static void
write_own(struct program *p, const struct log_from *from, struct log_record *r)
{
	struct msg_log_record m = {.level = r->level, .pairs = buf_view(&r->buf)};

	m.event = (struct view){(const uint8_t *)r->event, strlen(r->event)};
	CHECK(write_record(p, from, &m));
}

static void
tell_of_lost(struct program *p)
{
	struct log_record r;
	uint64_t lost = p->out.lost;

	if (lost == 0)
		return;
	log_begin(&r, LOG_LEVEL_WARNING, "dropped");
	log_number(&r, "lines", lost);
	log_str(&r, "reason", "output was full or gone");
	write_own(p, &p->self, &r);
	put_gathered(p);
	/* Unless this one was lost, too. */
	if (p->out.lost == lost)
		p->out.lost = 0;
}

static void
tell_of_source(struct log_source *s)
{
	struct log_record r;
	struct log_limit *l = &s->limit;

	if (l->dropped == 0 && l->malformed == 0)
		return;
	log_begin(&r, LOG_LEVEL_WARNING, "dropped");
	log_number(&r, "records", l->dropped);
	log_number(&r, "malformed", l->malformed);
	log_str(&r, "reason",
		l->dropped ? "more than the limit in a second" : "not a record");
	l->dropped = l->malformed = 0;
	write_own(s->program, &s->from, &r);
}

static void
fire_notice(struct timer *t, uint64_t now_ms)
{
	struct program *p =
		(struct program *)((uint8_t *)t - offsetof(struct program, notice));

	(void)now_ms;
	tell_of_lost(p);
	for (struct log_source *s = p->sources; s; s = s->next)
		tell_of_source(s);
	if (p->out.lost > 0)
		notice_soon(p);
}

/* ---- sources ------------------------------------------------------------------------
 */

static void
source_free(struct log_source *s)
{
	struct program *p = s->program;

	tell_of_source(s);
	loop_remove(p->loop, &s->source);
	fd_close(&s->source.fd);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	p->sources_n--;
	loop_defer_free(p->loop, s);
}

static void
take_record(struct log_source *s, const struct received *r)
{
	struct program *p = s->program;
	struct msg_log_record m;
	struct view payload;
	bool sound = !r->truncated &&
		message_number(r->message, &payload) == MSG_LOG_RECORD &&
		msg_log_record_get(&m, payload);

	if (!log_limit_take(&s->limit, loop_now_ms(p->loop))) {
		stat_add(STAT_LOG_DROPPED, 1);
		notice_soon(p);
		return;
	}
	if (sound && write_record(p, &s->from, &m))
		return;
	s->limit.malformed++;
	stat_add(STAT_PROTOCOL_FAULTS, 1);
	notice_soon(p);
}

/* False: the source is at its end. */
static bool
read_records(struct log_source *s, unsigned int max)
{
	struct received *r = &s->program->received;

	for (unsigned int i = 0; i < max; i++) {
		int err = channel_recv(s->source.fd, r, 0);
		if (err == -EAGAIN)
			return true;
		if (err < 0)
			return false;
		s->program->heard = true;
		take_record(s, r);
	}
	s->program->behind = true;
	return true;
}

static void
source_ready(struct source *source, uint32_t events)
{
	struct log_source *s = source_of(source);

	(void)events;
	if (!read_records(s, RECORDS_A_ROUND))
		source_free(s);
}

static void
source_new(struct program *p, int fd, const struct msg_log_source *m)
{
	AUTO_FD channel = fd;
	struct log_source *s;

	if (p->sources_n >= SOURCES_MAX)
		return;
	s = calloc(1, sizeof(*s));
	/* Whose lines would be lost has all that is open told to the log that comes next.
	 */
	if (!s || fd_nonblock(channel) < 0)
		_exit(EX_OSERR);
	s->program = p;
	s->source = (struct source){.fd = channel, .ready = source_ready};
	log_from_set(&s->from, m->program, m->pid);
	if (loop_add(p->loop, &s->source, EPOLLIN) < 0)
		_exit(EX_OSERR);
	(void)fd_take(&channel);
	s->next = p->sources;
	s->link = &p->sources;
	if (s->next)
		s->next->link = &s->next;
	p->sources = s;
	p->sources_n++;
}

/* ---- the monitor ----------------------------------------------------------------------
 */

/* The set-up, first or again: level and output. The empty directory is *ret_dir's. */
static bool
take_setup(struct program *p, struct received *r, struct view payload,
	struct msg_log_setup *ret, int *ret_dir)
{
	if (!msg_log_setup_get(ret, payload) || r->nfds != 2)
		return false;
	*ret_dir = received_take(r, 0);
	put_gathered(p);
	log_out_set(&p->out, received_take(r, 1), ret->syslog != 0);
	p->level = ret->level;
	return true;
}

static bool
take_message(struct program *p, struct received *r)
{
	struct view payload;
	struct msg_log_setup setup;
	struct msg_log_source source;
	AUTO_FD dir = -1;

	switch (message_number(r->message, &payload)) {
	case MSG_LOG_SETUP:
		return !r->truncated && take_setup(p, r, payload, &setup, &dir);
	case MSG_LOG_SOURCE:
		if (r->truncated || r->nfds != 1 || !msg_log_source_get(&source, payload))
			return false;
		source_new(p, received_take(r, 0), &source);
		return true;
	default: return false;
	}
}

static void
finish(struct program *p)
{
	for (struct log_source *s = p->sources, *next; s; s = next) {
		next = s->next;
		(void)read_records(s, RECORDS_AT_THE_END);
		tell_of_source(s);
	}
	tell_of_lost(p);
	p->ended = true;
}

static void
monitor_ready(struct source *source, uint32_t events)
{
	struct program *p = program_of(source);
	int err;

	(void)events;
	for (int i = 0; i < RECORDS_A_ROUND; i++) {
		err = channel_recv(source->fd, &p->received, 2);
		if (err < 0)
			break;
		if (!take_message(p, &p->received))
			stat_add(STAT_PROTOCOL_FAULTS, 1);
		received_done(&p->received);
	}
	/* The monitor ended, or wants us to: in both cases nobody will send any more. */
	if (err < 0 && err != -EAGAIN)
		finish(p);
}

/* ---- the start ------------------------------------------------------------------------
 */

static bool
first_setup(struct program *p, struct msg_log_setup *ret, int *ret_dir)
{
	struct view payload;

	if (start_receive(MSG_LOG_SETUP, 2, &p->received, &payload) < 0)
		return false;
	bool ok = take_setup(p, &p->received, payload, ret, ret_dir);
	received_done(&p->received);
	return ok;
}

static void
write_failure(void *context, struct log_record *r)
{
	struct program *p = context;

	write_own(p, &p->self, r);
}

static bool
enter_cage(struct program *p, const struct msg_log_setup *setup, int empty_dir)
{
	struct sandbox_plan plan = {.profile = SANDBOX_LOG,
		.uid = setup->uid,
		.gid = setup->uid,
		.empty_dir = empty_dir,
		.fsize_max = UINT64_MAX};
	struct start_words words = {
		.event = "cage", .key = "step", .send = write_failure, .context = p};
	struct log_record r;
	uint8_t text[128];
	struct buf names = buf_over(text, sizeof(text));
	uint32_t parts;

	if (start_cage(&plan, &words, &parts) < 0)
		return false;
	sandbox_parts_text(parts, &names);
	log_begin(&r, LOG_LEVEL_DEBUG, "cage");
	log_text(&r, "parts", buf_view(&names));
	write_own(p, &p->self, &r);
	return start_ready(parts) == 0;
}

static int
serve(struct program *p)
{
	while (!p->ended) {
		p->heard = p->behind = false;
		int err = loop_once(p->loop, -1);
		put_gathered(p);
		if (err < 0)
			return EXIT_SOFTWARE;
		if (p->heard && !p->behind && !p->ended)
			(void)poll(NULL, 0, GATHER_MS);
	}
	return 0;
}

static int
run(struct program *p)
{
	struct msg_log_setup setup;
	AUTO_FD empty_dir = -1;

	if (stat_open(FD_STAT) < 0 || fd_nonblock(FD_MONITOR) < 0)
		return EXIT_SOFTWARE;
	bool ok = first_setup(p, &setup, &empty_dir) && enter_cage(p, &setup, empty_dir);
	put_gathered(p);
	if (!ok)
		return EXIT_SOFTWARE;
	fd_close(&empty_dir);
	if (loop_add(p->loop, &p->monitor, EPOLLIN) < 0)
		return EXIT_SOFTWARE;
	return serve(p);
}

int
main(void)
{
	sandbox_first();
	struct program *p = calloc(1, sizeof(*p));
	if (!p)
		return EXIT_SOFTWARE;
	p->out.fd = -1;
	p->monitor = (struct source){.fd = FD_MONITOR, .ready = monitor_ready};
	p->notice.fire = fire_notice;
	log_from_set(&p->self, VIEW("restante-log"), (uint32_t)getpid());
	p->loop = loop_new();
	return p->loop ? run(p) : EXIT_SOFTWARE;
}
