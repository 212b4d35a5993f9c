/*
 * collect.c: the connection of a session: connect, TLS, read, write, time.
 */
#include "fetch/collect.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#define ROUND_OCTETS (128 * 1024) /* then other accounts and jobs have their turn */
#define AHEAD_MS     5000	  /* for what was sent with the login */
#define LOOK_MS	     10000	  /* whether a NOOP is due */
#define PROGRESS_MIN 256	  /* octets in one time-out, or a whole answer */
#define STREAM_WORDS "the connection broke"
#define STOP_MS	     5000 /* for what is under way when a signal comes */

static struct collect *
of_source(struct source *s)
{
	return (struct collect *)((char *)s - offsetof(struct collect, source));
}

/* ---- the end
 * ---------------------------------------------------------------------------- */

/* Wiped: who has a ticket can be taken for us. */
static void
drop_ticket(struct collect *c)
{
	if (c->memory.tls_session)
		explicit_bzero(c->memory.tls_session, c->memory.tls_session_n);
	free(c->memory.tls_session);
	c->memory.tls_session = NULL;
	c->memory.tls_session_n = 0;
}

static void
disconnect(struct collect *c)
{
	loop_timer_clear(c->run->loop, &c->idle);
	dial_cancel(&c->dial);
	if (!c->connected)
		return;
	drop_ticket(c);
	if (stream_session_save(
		    &c->stream, &c->memory.tls_session, &c->memory.tls_session_n) != 0)
		c->memory.tls_session_n = 0;
	loop_remove(c->run->loop, &c->source);
	stream_done(&c->stream);
	c->connected = false;
}

/* After SESSION_FINISH: once no job works for this session any more. */
static void
look_for_end(struct collect *c)
{
	if (!c->over || c->told)
		return;
	/* Its end, while jobs work on, would turn the loop without a pause. */
	loop_remove(c->run->loop, &c->source);
	if (c->jobs > 0)
		return;
	if (c->batch && c->batch->n > 0) {
		collect_commit(c, true);
		return;
	}
	c->told = true;
	c->run->sessions--;
	disconnect(c);
	c->finished(c);
}

/* ---- in and out
 * ------------------------------------------------------------------------- */

static void
watch(struct collect *c)
{
	uint32_t events = EPOLLIN;

	if (!c->connected || !c->source.on)
		return;
	if (c->stream.want_write || stream_unsent(&c->stream) > 0)
		events |= EPOLLOUT;
	if (events != c->source.events &&
		loop_change(c->run->loop, &c->source, events) != 0)
		session_fail(c->session, OUTCOME_LOCAL, "epoll failed");
}

static void
send_out(struct collect *c)
{
	struct fetch_session *s = c->session;
	enum stream_result r;

	if (s->out.n == 0 || !c->connected)
		return;
	r = stream_send(&c->stream, s->out.p, s->out.n);
	/* There may be a password among it. */
	explicit_bzero(s->out.p, s->out.n);
	s->out.n = 0;
	s->out.full = false;
	if (r == STREAM_ERROR)
		session_closed(s, STREAM_WORDS);
}

static void
tls_failed(struct collect *c)
{
	char why[LETTER_WHY_MAX];
	bool certificate = false;

	stream_why(&c->stream, why, sizeof(why), &certificate);
	session_fail(c->session,
		stream_may_do_later(&c->stream) ? OUTCOME_UNREACHABLE : OUTCOME_PROTOCOL,
		why[0] ? why : "the TLS handshake failed");
}

static void
start_tls(struct collect *c, struct view session)
{
	enum stream_result r =
		stream_connect_tls(&c->stream, c->tls, c->account->host, false, session);

	c->securing = r != STREAM_ERROR;
	if (r == STREAM_ERROR)
		tls_failed(c);
}

static void
stls(struct collect *c, struct view rest)
{
	if (rest.n > 0 || stream_has_pending(&c->stream)) {
		session_fail(c->session, OUTCOME_PROTOCOL,
			"text came behind the answer to STLS, before TLS: somebody may "
			"be "
			"tampering with the connection");
		return;
	}
	send_out(c);
	start_tls(c, (struct view){c->memory.tls_session, c->memory.tls_session_n});
}

static void
round_of_actions(struct collect *c, struct view *in)
{
	struct session_action a;

	for (;;) {
		session_next(c->session, in, c->scratch, COLLECT_IN_MAX + 1, &a);
		if (a.kind == SESSION_WAIT)
			return;
		if (a.kind == SESSION_START_TLS)
			stls(c, *in);
		else
			collect_perform(c, &a);
		/* So many commands may be written that there is no room for more. */
		if (c->session->out.n > SESSION_OUT_MAX / 2)
			send_out(c);
	}
}

static void
handshake(struct collect *c)
{
	uint8_t binding[64];
	const char *name;
	size_t n;
	enum stream_result r = stream_handshake(&c->stream);

	if (r == STREAM_AGAIN)
		return;
	c->securing = false;
	if (r != STREAM_OK) {
		tls_failed(c);
		return;
	}
	c->session->has_binding = stream_channel_binding(&c->stream, &name, binding,
					  sizeof(binding), &n) == 0;
	if (c->account->tls == FETCH_TLS_STLS) {
		session_secured(c->session);
	} else {
		c->session->tls = true;
		session_connected(c->session);
	}
}

/* The timer looks more often than the server's patience ends, which may be shorter than
 * ours. */
static void
look_again(struct collect *c)
{
	uint64_t at_ms = clock_ms() + LOOK_MS;

	if (at_ms > c->patience_ms)
		at_ms = c->patience_ms;
	if (loop_timer_set(c->run->loop, &c->idle, at_ms) != 0)
		session_fail(c->session, OUTCOME_LOCAL, "no memory");
}

static void
set_idle(struct collect *c)
{
	uint64_t ms = c->account->timeout_ms;

	if (c->session && session_is_ahead(c->session) && ms > AHEAD_MS)
		ms = AHEAD_MS;
	c->progress = 0;
	c->patience_ms = clock_ms() + ms;
	look_again(c);
}

void
collect_step(struct collect *c)
{
	struct view in;
	uint32_t waits;

	if (!c->session || c->told)
		return;
	in = (struct view){c->in, c->in_n};
	waits = pop3_client_waits(&c->session->client);
	session_time(c->session, clock_ms(), clock_unix_s());
	if (!c->securing || c->session->step == STEP_END)
		round_of_actions(c, &in);
	if (c->securing && c->session->step == STEP_TLS)
		handshake(c);
	if (in.n > 0 && in.p != c->in)
		memmove(c->in, in.p, in.n);
	c->in_n = in.n;
	if (pop3_client_waits(&c->session->client) != waits)
		c->progress += PROGRESS_MIN;
	send_out(c);
	if (session_is_ahead(c->session) && !c->ahead) {
		c->ahead = true;
		set_idle(c);
	}
	if (c->session->queue_n > 0)
		round_of_actions(c, &in); /* sending failed */
	watch(c);
	look_for_end(c);
}

/*
 * The session may wait for its deliveries still, maybe for long: its socket, which is
 * readable for ever now, would turn the loop without a pause.
 */
static void
hear_no_more(struct collect *c, const char *why)
{
	session_closed(c->session, why);
	loop_remove(c->run->loop, &c->source);
}

/* False: nothing more now. */
static bool
read_some(struct collect *c)
{
	char why[LETTER_WHY_MAX];
	bool certificate;
	size_t got = 0;
	enum stream_result r;

	if (c->in_n == COLLECT_IN_MAX) {
		session_fail(c->session, OUTCOME_PROTOCOL, "an answer that is too long");
		return false;
	}
	r = stream_read(&c->stream, c->in + c->in_n, COLLECT_IN_MAX - c->in_n, &got);
	switch (r) {
	case STREAM_OK:
		c->in_n += got;
		c->progress += got;
		return true;
	case STREAM_AGAIN: return false;
	case STREAM_END:
		hear_no_more(c, "the server closed the connection");
		return false;
	case STREAM_ERROR: break;
	}
	stream_why(&c->stream, why, sizeof(why), &certificate);
	hear_no_more(c, why[0] ? why : STREAM_WORDS);
	return false;
}

static void
show_progress(const struct collect *c)
{
	const struct run *r = c->run;

	report_progress(r->report, r->come, r->come_octets, r->sessions, clock_ms());
}

static void
ready(struct source *source, uint32_t events)
{
	struct collect *c = of_source(source);
	uint64_t got = c->progress;

	if (!c->session || c->over)
		return;
	if (events & EPOLLOUT && !c->securing && stream_flush(&c->stream) == STREAM_ERROR)
		session_closed(c->session, STREAM_WORDS);
	if (c->securing)
		handshake(c);
	collect_step(c);
	while (c->connected && !c->over && !c->securing && read_some(c)) {
		collect_step(c);
		if (c->progress - got > ROUND_OCTETS && !stream_has_pending(&c->stream))
			break;
	}
	show_progress(c);
	collect_step(c);
}

/* ---- time
 * ------------------------------------------------------------------------------- */

static void
idle_fired(struct timer *t, uint64_t now_ms)
{
	struct collect *c =
		(struct collect *)((char *)t - offsetof(struct collect, idle));
	bool waiting = c->securing || !c->connected ||
		pop3_client_waits(&c->session->client) > 0;

	if (c->over)
		return;
	/* What came is kept, what is half here comes again; nothing is lost. */
	if (c->run->ending && c->session->step != STEP_QUIT)
		session_fail(c->session, OUTCOME_LOCAL, "stopped by a signal");
	else if (!c->run->ending && waiting && now_ms < c->patience_ms)
		look_again(c);
	else if (c->run->ending || (waiting && c->progress < PROGRESS_MIN))
		session_timed_out(c->session);
	else
		set_idle(c);
	collect_step(c);
}

/* ---- the beginning
 * ---------------------------------------------------------------------- */

static void
dialled(struct dial_done *d, int fd, bool temporary, const char *why)
{
	struct collect *c =
		(struct collect *)((char *)d - offsetof(struct collect, dialled));

	(void)temporary;
	c->dial = NULL;
	if (fd < 0) {
		session_fail(c->session, OUTCOME_UNREACHABLE, why);
		collect_step(c);
		return;
	}
	stream_init(&c->stream, fd);
	c->connected = true;
	c->source = (struct source){fd, 0, ready, false};
	if (loop_add(c->run->loop, &c->source, EPOLLIN) != 0)
		session_fail(c->session, OUTCOME_LOCAL, "epoll failed");
	else if (c->account->tls == FETCH_TLS_TLS)
		start_tls(
			c, (struct view){c->memory.tls_session, c->memory.tls_session_n});
	else
		session_connected(c->session);
	if (c->securing)
		handshake(c);
	collect_step(c);
}

static bool
mails_room(struct mails *m, uint32_t rows, size_t text, size_t known)
{
	const struct collect *c = m->lender;
	uint64_t most = c->account->messages_max;

	if (rows > 0) {
		uint64_t cap = m->cap < 64 ? 64 : m->cap + m->cap / 2;
		void *at, *order;

		if ((uint64_t)m->n + rows > most)
			return false;
		if (cap < (uint64_t)m->n + rows)
			cap = (uint64_t)m->n + rows;
		if (!(at = realloc(m->at, cap * sizeof(*m->at))))
			return false;
		m->at = at;
		if (!(order = realloc(m->order, cap * sizeof(*m->order))))
			return false;
		m->order = order;
		m->cap = (uint32_t)cap;
	}
	if (text > 0) {
		size_t cap = 2 * m->text_cap + text + 4096;
		uint8_t *p = cap <= COLLECT_UIDLS_MAX ? realloc(m->text, cap) : NULL;

		if (!p)
			return false;
		m->text = p;
		m->text_cap = cap;
	}
	if (known > 0) {
		uint8_t *p = realloc(m->listed, (known + 7) / 8);

		if (!p)
			return false;
		m->listed = p;
		m->listed_cap = (known + 7) / 8;
	}
	return true;
}

int
collect_start(struct collect *c)
{
	struct dial_target t = {c->account->host, c->account->port, c->account->socks5};
	uint64_t seed;

	c->told = true; /* until it begins */
	c->session = calloc(1, sizeof(*c->session));
	c->in = malloc(COLLECT_IN_MAX);
	c->scratch = malloc(COLLECT_IN_MAX + 1);
	if (!c->session || !c->in || !c->scratch)
		return -ENOMEM;
	c->mails = (struct mails){.lender = c, .room = mails_room};
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = clock_unix_ns();
	session_init(c->session, c->account, &c->memory, &c->mails, seed);
	collect_room(c);
	c->session->has_password = c->has_password;
	c->session->has_token = c->has_token;
	c->session->list_only = c->run->task == RUN_LIST;
	c->over = c->securing = c->syncing = c->committing = c->commit_wanted = false;
	c->stocking = false;
	c->jobs = 0;
	c->in_n = 0;
	c->run->sessions++;
	c->told = c->ahead = false;
	c->idle = (struct timer){.fire = idle_fired};
	c->dialled = (struct dial_done){dialled};
	set_idle(c);
	return dial_start(
		c->run->loop, &t, c->account->timeout_ms, &c->dialled, &c->dial);
}

void
collect_stop(struct collect *c)
{
	if (!c->session || c->over)
		return;
	session_stop(c->session);
	if (c->session->step != STEP_END &&
		loop_timer_set(c->run->loop, &c->idle, clock_ms() + STOP_MS) != 0)
		session_fail(c->session, OUTCOME_LOCAL, "stopped by a signal");
	collect_step(c);
}

void
collect_done(struct collect *c)
{
	if (c->session && !c->told) /* it never began */
		c->run->sessions--;
	disconnect(c);
	collect_letter_drop(c);
	collect_top_drop(c);
	collect_batch_drop(c);
	if (c->spool)
		spool_stock_drop(c->spool);
	login_free(&c->login);
	if (c->session) /* there may be a password in what was not sent */
		explicit_bzero(c->session, sizeof(*c->session));
	free(c->session);
	c->session = NULL;
	free(c->in);
	free(c->scratch);
	free(c->mails.at);
	free(c->mails.order);
	free(c->mails.text);
	free(c->mails.listed);
	c->mails = (struct mails){0};
	c->in = c->scratch = NULL;
	known_free(&c->known);
}
