#include "control/client.h"
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

#define OVERFLOW_UID	    65534 /* what the kernel shows for a number without a mapping */
#define ANSWER_OCTETS_FIRST ((size_t)64 * 1024)
#define ANSWER_OCTETS_MAX   ((size_t)16 * 1024 * 1024)
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

static void
client_late(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	client_end(OF(t, struct client, timer));
}

/* ---- answers -------------------------------------------------------------------- */

/* The text of one renderer behind a head, in memory that grows until it fits. -errno. */
static int
answer_render(struct client *c, const char *head,
	void (*render)(const struct core *, struct buf *))
{
	for (size_t cap = ANSWER_OCTETS_FIRST; cap <= ANSWER_OCTETS_MAX; cap *= 2) {
		uint8_t *p = malloc(cap);
		struct buf b = buf_over(p, cap);

		if (!p)
			return -ENOMEM;
		buf_put_str(&b, head);
		if (render)
			render(c->desk->core, &b);
		if (!b.full) {
			free(c->out);
			c->out = p;
			c->out_n = b.n;
			return 0;
		}
		free(p);
	}
	return -EFBIG;
}

/* The head tells the body's length, so it is written when the body is there. */
static int
answer_http(struct client *c, enum core_http outcome)
{
	uint8_t head[512];
	struct buf b = buf_over(head, sizeof(head));
	int r = outcome == CORE_HTTP_METRICS
		? answer_render(c, "", core_render_prometheus)
		: answer_render(c,
			  outcome == CORE_HTTP_BAD ? "bad request\n"
						   : "only /metrics is here\n",
			  NULL);

	if (r < 0)
		return r;
	core_render_http(outcome, c->out_n, &b);
	uint8_t *all = malloc(b.n + c->out_n);
	if (!all)
		return -ENOMEM;
	memcpy(all, head, b.n);
	memcpy(all + b.n, c->out, c->out_n);
	free(c->out);
	c->out = all;
	c->out_n += b.n;
	return 0;
}

static int
answer_told(struct client *c, enum control_command command, const char *name)
{
	uint8_t octets[16];
	struct buf b = buf_over(octets, sizeof(octets));

	msg_control_put(&(struct msg_control){.command = (uint8_t)command}, &b);
	int r = channel_send(FD_MONITOR, buf_view(&b), NULL, 0);

	struct log_record record;
	log_begin(&record, r < 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "control");
	log_str(&record, "command", name);
	if (r < 0)
		log_error(&record, "error", r);
	log_send(&record);
	stat_set(STAT_LOG_DROPPED, log_dropped());
	return answer_render(
		c, r < 0 ? "error: the monitor is busy: try again\n" : "ok\n", NULL);
}

static int
answer_command(struct client *c, struct view line)
{
	switch (core_command(line)) {
	case CORE_COMMAND_STAT: return answer_render(c, "ok\n", core_render_stat);
	case CORE_COMMAND_PROMETHEUS:
		return answer_render(c, "ok\n", core_render_prometheus);
	case CORE_COMMAND_JSON: return answer_render(c, "ok\n", core_render_json);
	case CORE_COMMAND_PROCESSES:
		return answer_render(c, "ok\n", core_render_processes);
	case CORE_COMMAND_RELOAD: return answer_told(c, CONTROL_RELOAD, "reload");
	case CORE_COMMAND_DRAIN: return answer_told(c, CONTROL_DRAIN, "drain");
	case CORE_COMMAND_UNKNOWN: break;
	}
	return answer_render(c,
		"error: unknown command: send stat, stat prometheus, stat json, "
		"processes, "
		"reload or drain\n",
		NULL);
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
	c->answered = true;
	client_write(c);
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
	size_t room = c->answered ? sizeof(c->in) : sizeof(c->in) - c->in_n;
	uint8_t *to = c->answered ? c->in : c->in + c->in_n;
	ssize_t n = recv(c->source.fd, to, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 && c->answered && c->out_sent < c->out_n && n == 0) {
		/* It said all it had to; the rest of the answer is still wanted. */
		if (loop_change(c->desk->loop, &c->source, EPOLLOUT) < 0)
			client_end(c);
		return;
	}
	if (n <= 0) {
		client_end(c);
		return;
	}
	if (c->answered)
		return;
	c->in_n += (size_t)n;
	client_judge(c);
}

static void
client_ready(struct source *s, uint32_t events)
{
	struct client *c = OF(s, struct client, source);

	if (events & EPOLLERR) {
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
desk_ready(struct source *s, uint32_t events)
{
	struct desk *d = OF(s, struct desk, source);

	(void)events;
	while (d->clients_n < CLIENTS_MAX) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return;
		client_begin(d, fd);
	}
	(void)loop_change(d->loop, s, 0); /* until a client ends */
}

int
desk_open(struct desk *d, int listener)
{
	int r = fd_nonblock(listener);

	d->source = (struct source){.fd = listener, .ready = desk_ready};
	return r < 0 ? r : loop_add(d->loop, &d->source, EPOLLIN);
}

void
desk_close(struct desk *d)
{
	if (!d->loop)
		return;
	loop_remove(d->loop, &d->source);
	fd_close(&d->source.fd);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (d->clients[i].desk)
			client_end(&d->clients[i]);
}
