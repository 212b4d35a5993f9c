#include "control/answers.h"
#include "ipc/channel.h"
#include "ipc/log.h"
#include "ipc/permit.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define PAUSE_MS     100
#define OVERFLOW_UID 65534 /* what the kernel shows for a number without a mapping */
#define OF(pointer, type, member)                                                        \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static void
client_end(struct client *c)
{
	struct desk *d = c->desk;

	loop_timer_clear(d->loop, &c->timer);
	loop_remove(d->loop, &c->source);
	fd_close(&c->source.fd);
	free(c->out);
	c->out = NULL;
	c->desk = NULL;
	d->clients_n--;
	if (d->source.on)
		(void)loop_change(
			d->loop, &d->source, EPOLLIN); /* the worst is a late accept */
}

/* ---- a connection ---------------------------------------------------------------- */

static void
client_write(struct client *c)
{
	while (c->out_sent < c->out_n) {
		ssize_t n = send(c->source.fd, c->out + c->out_sent,
			c->out_n - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (loop_change(c->desk->loop, &c->source, EPOLLIN | EPOLLOUT) <
				0)
				client_end(c);
			return;
		}
		if (n < 0) {
			client_end(c);
			return;
		}
		c->out_sent += (size_t)n;
	}
	/* Closing with unread octets would reset the connection and could lose the
	 * answer: the peer closes first, or the time is over. */
	(void)shutdown(c->source.fd, SHUT_WR);
	if (loop_change(c->desk->loop, &c->source, EPOLLIN) < 0)
		client_end(c);
}

static void
client_answer(struct client *c, int rendered)
{
	if (rendered < 0) {
		client_end(c);
		return;
	}
	if (c->question != 0)
		return;
	c->answered = true;
	client_write(c);
}

static void
client_late(struct timer *t, uint64_t now_ms)
{
	struct client *c = OF(t, struct client, timer);

	if (c->question == 0 ||
		loop_timer_set(c->desk->loop, t, now_ms + CLIENT_TIME_MS) < 0) {
		client_end(c);
		return;
	}
	c->question = 0;
	client_answer(c, answer_render(c, NO_AUTH, NULL));
}

static void
client_told(struct client *c, const struct msg_why_answer *m, struct buf *text)
{
	c->question = 0;
	/* The time that is left to read it. */
	if (loop_timer_set(c->desk->loop, &c->timer,
		    loop_now_ms(c->desk->loop) + CLIENT_TIME_MS) < 0) {
		client_end(c);
		return;
	}
	buf_put_u8(text, 0);
	client_answer(c,
		m->found ? answer_render(c, (const char *)text->p, NULL)
			 : answer_render(c,
				   "error: nothing is known of that: only the newest "
				   "refusals are remembered\n",
				   NULL));
}

bool
desk_told(struct desk *d, const struct msg_why_answer *m)
{
	/* As large as it can be: a colon, a blank and a line end for each pair. */
	uint8_t storage[2 * 8192 + 64];
	struct buf text = buf_over(storage, sizeof(storage));

	buf_put_str(&text, "ok\n");
	if (!why_render(m->pairs, &text))
		return false;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (d->clients[i].desk && d->clients[i].question == m->question &&
			m->question != 0) {
			client_told(&d->clients[i], m, &text);
			return true;
		}
	return true; /* whoever asked has gone */
}

void
desk_auth_gone(struct desk *d)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &d->clients[i];
		if (!c->desk || c->question == 0)
			continue;
		c->question = 0;
		client_answer(c, answer_render(c, NO_AUTH, NULL));
	}
}

/* Whether the request is whole, and if so its answer. */
static void
client_judge(struct client *c)
{
	struct view in = {c->in, c->in_n};

	if (c->desk->metrics) {
		enum core_http outcome = core_http(in);

		if (outcome == CORE_HTTP_MORE)
			return;
		core_refresh(c->desk->core);
		client_answer(c, answer_http(c, outcome));
		return;
	}

	const uint8_t *lf = memchr(in.p, '\n', in.n);
	if (!lf && in.n < CORE_LINE_OCTETS_MAX)
		return;
	in.n = lf ? (size_t)(lf - in.p) : 0;
	core_refresh(c->desk->core);
	client_answer(c, answer_command(c, in));
}

static void
client_read(struct client *c)
{
	bool done = c->answered || c->question != 0;
	size_t room = done ? sizeof(c->in) : sizeof(c->in) - c->in_n;
	uint8_t *to = done ? c->in : c->in + c->in_n;
	ssize_t n = recv(c->source.fd, to, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 && c->answered && c->out_sent < c->out_n && n == 0) {
		/* It said all it had to; the rest of the answer is still wanted. */
		if (loop_change(c->desk->loop, &c->source, EPOLLOUT) < 0)
			client_end(c);
		return;
	}
	if (n == 0 && c->question != 0) {
		/* It only stopped sending: the timer ends one that has gone. */
		if (loop_change(c->desk->loop, &c->source, 0) < 0)
			client_end(c);
		return;
	}
	if (n <= 0) {
		client_end(c);
		return;
	}
	if (done)
		return;
	c->in_n += (size_t)n;
	client_judge(c);
}

static void
client_ready(struct source *s, uint32_t events)
{
	struct client *c = OF(s, struct client, source);

	/* Who only stopped sending still waits for auth's answer; who has gone does not,
	 * and epoll would tell of that until the answer comes. */
	if ((events & EPOLLERR) || ((events & EPOLLHUP) && c->question != 0)) {
		client_end(c);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP))
		client_read(c);
	if (c->desk && c->answered && (events & EPOLLOUT) && c->out_sent < c->out_n)
		client_write(c);
}

/* ---- accepting ------------------------------------------------------------------- */

static bool
may_ask(const struct desk *d, int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t n = sizeof(peer);

	if (d->metrics)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == d->operator_uid)
		return true;
	/*
	 * In a user namespace all others look like nobody. The socket's mode lets in its
	 * owner and root only, so this one is root.
	 */
	if (d->is_in_user_namespace && peer.uid == OVERFLOW_UID)
		return true;

	struct log_record record;
	log_begin(&record, LOG_LEVEL_WARNING, "control_refused");
	log_number(&record, "uid", peer.uid);
	log_number(&record, "pid", (uint64_t)peer.pid);
	log_send(&record);
	stat_set(STAT_LOG_DROPPED, log_dropped());
	return false;
}

/* fd is the client's from now on. */
static void
client_begin(struct desk *d, int fd)
{
	struct client *c = d->clients;

	while (c->desk)
		c++;
	*c = (struct client){.source = {.fd = fd, .ready = client_ready},
		.timer = {.fire = client_late},
		.desk = d};
	d->clients_n++;
	if (loop_add(d->loop, &c->source, EPOLLIN) < 0 ||
		loop_timer_set(
			d->loop, &c->timer, loop_now_ms(d->loop) + CLIENT_TIME_MS) < 0) {
		client_end(c);
		return;
	}
	if (!may_ask(d, fd))
		client_answer(c,
			answer_render(c,
				"error: only root and the user who started restanted may "
				"ask\n",
				NULL));
}

static void
pause_over(struct timer *t, uint64_t now_ms)
{
	struct desk *d = OF(t, struct desk, pause);

	(void)now_ms;
	if (d->clients_n < CLIENTS_MAX)
		(void)loop_change(d->loop, &d->source, EPOLLIN);
}

/* Who waits there would be told of for ever, and there is nothing to take him with. */
static void
desk_pause(struct desk *d)
{
	if (loop_timer_set(d->loop, &d->pause, loop_now_ms(d->loop) + PAUSE_MS) == 0)
		(void)loop_change(d->loop, &d->source, 0);
}

static void
desk_ready(struct source *s, uint32_t events)
{
	struct desk *d = OF(s, struct desk, source);

	(void)events;
	while (d->clients_n < CLIENTS_MAX) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN)
				desk_pause(d);
			return;
		}
		client_begin(d, fd);
	}
	(void)loop_change(d->loop, s, 0); /* until a client ends */
}

int
desk_open(struct desk *d, int listener)
{
	int r = fd_nonblock(listener);

	d->source = (struct source){.fd = listener, .ready = desk_ready};
	d->pause.fire = pause_over;
	return r < 0 ? r : loop_add(d->loop, &d->source, EPOLLIN);
}

void
desk_close(struct desk *d)
{
	if (!d->loop)
		return;
	loop_timer_clear(d->loop, &d->pause);
	loop_remove(d->loop, &d->source);
	fd_close(&d->source.fd);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (d->clients[i].desk)
			client_end(&d->clients[i]);
}
