/*
 * One connection on its way. All steps are taken from the loop: a name is looked up
 * (dial_resolve.c), its addresses are tried side by side, and the first that stands
 * either is the connection or leads to a proxy that makes it (dial_socks.c). Two timers:
 * the next attempt, and the end of all patience.
 */
#include "os/dial.h"

#include "base/buf.h"
#include "base/check.h"
#include "os/clock.h"
#include "os/dial_parts.h"
#include "os/fd.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define STAGGER_MS	  250 /* RFC 8305 s.5, "Connection Attempt Delay" */
#define UNIX_RETRY_MS	  50
#define KEEPALIVE_IDLE_S  60
#define KEEPALIVE_EVERY_S 20
#define KEEPALIVE_TRIES	  5

/* ---- the end ----------------------------------------------------------------------- */

static void
close_source(struct dial *d, struct source *s)
{
	loop_remove(d->loop, s);
	fd_close(&s->fd);
}

/* Takes everything back from loop, kernel and thread. */
static void
undo(struct dial *d)
{
	d->over = true;
	loop_timer_clear(d->loop, &d->tick);
	loop_timer_clear(d->loop, &d->deadline);
	loop_remove(d->loop, &d->answer); /* its descriptor is the lookup's */
	dial_lookup_drop(&d->lookup);
	for (size_t i = 0; i < DIAL_ADDRESSES_MAX; i++)
		close_source(d, &d->attempts[i].source);
	close_source(d, &d->proxy);
	socks_done(&d->socks);
}

void
dial_cancel(struct dial **d)
{
	struct dial *gone = *d;

	*d = NULL;
	if (!gone || gone->over)
		return;
	undo(gone);
	loop_defer_free(gone->loop, gone);
}

void
dial_finish(struct dial *d, int fd, bool temporary, const char *why)
{
	CHECK(!d->over);
	undo(d);
	loop_defer_free(d->loop, d);
	d->done->done(d->done, fd, temporary, why);
}

static void
put_place(struct buf *b, const struct dial *d)
{
	if (d->proxied) {
		buf_put_str(b, d->target);
		buf_put_str(b, ": SOCKS5 proxy ");
		buf_put_str(b, d->host);
		buf_put_str(b, " port ");
		buf_put_dec(b, d->port);
	} else {
		buf_put_str(b, d->target);
	}
	buf_put_str(b, ": ");
}

/* With one reason for all. */
void
dial_fail(struct dial *d, int err, bool temporary, const char *reason)
{
	struct buf b = buf_over(d->why, sizeof(d->why) - 1);

	put_place(&b, d);
	buf_put_str(&b, reason);
	d->why[b.n] = '\0';
	dial_finish(d, err, temporary, (const char *)d->why);
}

static void
put_seconds(struct buf *b, uint64_t ms)
{
	buf_put_dec(b, ms / 1000);
	if (ms % 1000 >= 100) {
		buf_put_str(b, ".");
		buf_put_dec(b, ms % 1000 / 100);
	}
	buf_put_str(b, " s");
}

/* With each address and what became of it. */
static void
fail_attempts(struct dial *d, int err, bool temporary)
{
	struct buf b = buf_over(d->why, sizeof(d->why) - 1);
	char text[INET6_ADDRSTRLEN];

	put_place(&b, d);
	for (size_t i = 0; i < d->next; i++) {
		const char *error = strerrordesc_np(d->attempts[i].error);
		if (i > 0)
			buf_put_str(&b, "; ");
		if (!d->is_unix) {
			dial_address_text(&d->found.at[i], text, sizeof(text));
			buf_put_str(&b, text);
			buf_put_str(&b, ": ");
		}
		if (d->attempts[i].error != 0) {
			buf_put_str(&b, error ? error : "an unknown error");
			continue;
		}
		buf_put_str(&b, "no answer within ");
		put_seconds(&b, d->timeout_ms);
	}
	d->why[b.n] = '\0';
	dial_finish(d, err, temporary, (const char *)d->why);
}

/* ---- connecting -------------------------------------------------------------------- */

/* The socket of an attempt stands. */
static void
won(struct dial *d, struct dial_attempt *a)
{
	loop_remove(d->loop, &a->source);
	if (!d->proxied) {
		dial_finish(d, fd_take(&a->source.fd), false, "");
		return;
	}
	d->proxy.fd = fd_take(&a->source.fd);
	loop_timer_clear(d->loop, &d->tick);
	for (size_t i = 0; i < d->next; i++)
		close_source(d, &d->attempts[i].source);
	socks_begin(&d->socks);
	int err = loop_add(d->loop, &d->proxy, EPOLLOUT);
	if (err < 0)
		dial_fail(d, err, true, "no memory to wait for the proxy");
}

static void try_next(struct dial *d);

/* The attempt is lost: the next one need not wait (RFC 8305 s.5). */
static void
lost(struct dial *d, struct dial_attempt *a, int error)
{
	a->error = error;
	close_source(d, &a->source);
	if (d->next < d->found.n) {
		if (loop_timer_set(d->loop, &d->tick, 0) < 0)
			dial_fail(d, -ENOMEM, true, "no memory");
		return;
	}
	for (size_t i = 0; i < d->next; i++)
		if (d->attempts[i].source.fd >= 0)
			return;
	bool temporary = error != ENAMETOOLONG && (!d->is_unix || error != EACCES);
	fail_attempts(d, -error, temporary);
}

static void
attempt_ready(struct source *s, uint32_t events)
{
	struct dial_attempt *a = (struct dial_attempt *)(void *)s;
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error == 0 && !(events & EPOLLOUT))
		error = ECONNRESET;
	if (error == 0)
		won(a->dial, a);
	else
		lost(a->dial, a, error);
}

/* Small lines that wait for answers; and a dead peer is noticed. What a kernel does not
 * know is no reason to fail. */
static void
set_options(int fd)
{
	int one = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S,
	    tries = KEEPALIVE_TRIES;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof(tries));
}

/* 1: stands at once; 0: under way; or -errno. */
static int
begin_connect(struct dial *d, struct dial_attempt *a, const struct dial_address *to)
{
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

	a->source.fd = socket(to->a.any.sa_family, type, 0);
	if (a->source.fd < 0)
		return -errno;
	if (!d->is_unix)
		set_options(a->source.fd);
	if (connect(a->source.fd, &to->a.any, to->n) == 0)
		return 1;
	/* EINTR: it goes on behind our back, like EINPROGRESS. */
	if (errno != EINPROGRESS && errno != EINTR)
		return -errno;
	return loop_add(d->loop, &a->source, EPOLLOUT);
}

static void
try_next(struct dial *d)
{
	struct dial_attempt *a = &d->attempts[d->next];
	int r = begin_connect(d, a, &d->found.at[d->next]);

	/* unix(7): the queue of a listener is full; there is no event for room in it. */
	if (d->is_unix && r == -EAGAIN) {
		fd_close(&a->source.fd);
		if (loop_timer_set(d->loop, &d->tick, clock_ms() + UNIX_RETRY_MS) < 0)
			dial_fail(d, -ENOMEM, true, "no memory");
		return;
	}
	d->next++;
	if (r == 1) {
		won(d, a);
	} else if (r < 0) {
		lost(d, a, -r);
	} else if (d->next < d->found.n &&
		loop_timer_set(d->loop, &d->tick, clock_ms() + STAGGER_MS) < 0) {
		dial_fail(d, -ENOMEM, true, "no memory");
	}
}

/* ---- the beginning ----------------------------------------------------------------- */

static void
answer_ready(struct source *s, uint32_t events)
{
	struct dial *d = DIAL_OF(s, answer);
	bool temporary;

	(void)events;
	if (!dial_lookup_answer(d->lookup, &d->found))
		return;
	loop_remove(d->loop, s);
	dial_lookup_drop(&d->lookup);
	if (d->found.eai == 0) {
		try_next(d);
		return;
	}
	const char *why = dial_lookup_why(&d->found, &temporary);
	dial_fail(d, -EHOSTUNREACH, temporary, why);
}

static void
find_path(struct dial *d)
{
	struct dial_address *to = &d->found.at[0];
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n = strlen(d->host);

	if (n >= sizeof(un.sun_path)) {
		dial_fail(d, -ENAMETOOLONG, false,
			"the path is too long for a socket (107 octets are the limit)");
		return;
	}
	memcpy(un.sun_path, d->host, n + 1);
	static_assert(sizeof(un) <= sizeof(to->a), "the union holds a path");
	memcpy(&to->a, &un, sizeof(un));
	to->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	d->found.n = 1;
	try_next(d);
}

static void
begin(struct dial *d)
{
	if (d->bad < 0) {
		dial_fail(d, d->bad, false, d->bad_why);
		return;
	}
	if (d->is_unix) {
		find_path(d);
		return;
	}
	if (dial_numeric(d->host, d->port, &d->found)) {
		try_next(d);
		return;
	}
	memset(&d->found, 0, sizeof(d->found));
	int err = dial_lookup_start(d->host, d->port, &d->lookup, &d->answer.fd);
	if (err == 0)
		err = loop_add(d->loop, &d->answer, EPOLLIN);
	if (err < 0)
		dial_fail(d, err, true, "no thread can be started to look up the name");
}

static void
tick_fires(struct timer *t, uint64_t now_ms)
{
	struct dial *d = DIAL_OF(t, tick);

	(void)now_ms;
	if (d->found.n == 0)
		begin(d);
	else
		try_next(d);
}

static void
deadline_fires(struct timer *t, uint64_t now_ms)
{
	struct dial *d = DIAL_OF(t, deadline);

	(void)now_ms;
	if (d->lookup)
		dial_fail(d, -ETIMEDOUT, true, "looking up the name took too long");
	else if (d->proxy.fd >= 0)
		dial_fail(d, -ETIMEDOUT, true, "it did not make the connection in time");
	else if (d->next > 0)
		fail_attempts(d, -ETIMEDOUT, true);
	else
		dial_fail(d, -ETIMEDOUT, true,
			d->is_unix ? "its listener takes no connections"
				   : "there was no time to begin");
}

int
dial_start(struct loop *l, const struct dial_target *t, uint64_t timeout_ms,
	struct dial_done *done, struct dial **ret)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->loop = l;
	d->done = done;
	d->timeout_ms = timeout_ms;
	d->tick.fire = tick_fires;
	d->deadline.fire = deadline_fires;
	d->answer = (struct source){.fd = -1, .ready = answer_ready};
	d->proxy = (struct source){.fd = -1, .ready = dial_proxy_ready};
	for (size_t i = 0; i < DIAL_ADDRESSES_MAX; i++)
		d->attempts[i] = (struct dial_attempt){
			.source = {.fd = -1, .ready = attempt_ready}, .dial = d};
	dial_aim(d, t);
	uint64_t now = clock_ms();
	uint64_t end = timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;
	/* The first step is taken by the loop, so that done never comes from in here. */
	if (loop_timer_set(l, &d->tick, 0) < 0 ||
		loop_timer_set(l, &d->deadline, end) < 0) {
		loop_timer_clear(l, &d->tick);
		socks_done(&d->socks);
		free(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}
