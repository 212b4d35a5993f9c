#include "auth/auth.h"
#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void
unlink_front(struct auth_front *f)
{
	struct auth_front **at = &f->auth->fronts;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->auth->fronts_n--;
}

static void
free_front(struct auth_front *f)
{
	free(f->unsent);
	loop_defer_free(f->auth->loop, f);
}

/* Its channel is over: nothing of it is answered any more. */
static void
end_front(struct auth_front *f)
{
	if (f->source.fd < 0)
		return;
	loop_remove(f->auth->loop, &f->source);
	(void)close(f->source.fd);
	f->source.fd = -1;
	unlink_front(f);
	f->attempts++; /* keeps it alive over the next call */
	login_drop_front(f);
	front_release(f);
}

void
front_release(struct auth_front *f)
{
	CHECK(f->attempts > 0);
	f->attempts--;
	if (f->attempts == 0 && f->source.fd < 0)
		free_front(f);
}

static void
front_fault(struct auth_front *f, const char *what, uint16_t number)
{
	struct log_record r;

	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_begin(&r, LOG_LEVEL_ERROR, "protocol_fault");
	log_str(&r, "peer", f->delivers ? "lmtpd" : "front");
	log_number(&r, "front", f->incarnation);
	log_str(&r, "message", message_name(number));
	log_str(&r, "what", what);
	auth_log(&r);
}

static bool
send_failed(struct auth_front *f, const struct unsent *u, int *ret)
{
	uint8_t octets[32];
	struct buf b = buf_over(octets, sizeof(octets));
	struct msg_login_failed login = {.session = u->session, .code = u->code};
	struct msg_lookup_failed lookup = {.session = u->session, .code = u->code};

	if (f->delivers)
		msg_lookup_failed_put(&lookup, &b);
	else
		msg_login_failed_put(&login, &b);
	CHECK(!b.full);
	*ret = channel_send(f->source.fd, buf_view(&b), NULL, 0);
	return *ret == 0;
}

static bool
keep_unsent(struct auth_front *f, const struct unsent *u)
{
	if (f->unsent_n == f->unsent_cap) {
		size_t cap = f->unsent_cap ? 2 * f->unsent_cap : 64;
		struct unsent *more = cap > FRONT_UNSENT_MAX
			? NULL
			: realloc(f->unsent, cap * sizeof(*more));
		if (!more)
			return false;
		f->unsent = more;
		f->unsent_cap = cap;
	}
	f->unsent[f->unsent_n++] = *u;
	return true;
}

void
front_fail(struct auth_front *f, uint64_t session, enum refusal code)
{
	struct unsent u = {session, (uint8_t)code};
	int r = -EAGAIN;

	if (f->source.fd < 0)
		return;
	if (f->unsent_n == 0 && send_failed(f, &u, &r))
		return;
	bool kept = r == -EAGAIN && keep_unsent(f, &u);
	/* It is not read until it has taken its answers. */
	if (!kept || loop_change(f->auth->loop, &f->source, EPOLLOUT) < 0)
		end_front(f);
}

static void
flush_unsent(struct auth_front *f)
{
	size_t sent = 0;
	int r = 0;

	while (sent < f->unsent_n && send_failed(f, &f->unsent[sent], &r))
		sent++;
	f->unsent_n -= sent;
	memmove(f->unsent, f->unsent + sent, f->unsent_n * sizeof(*f->unsent));
	bool broken = r < 0 && r != -EAGAIN;
	if (broken ||
		(f->unsent_n == 0 && loop_change(f->auth->loop, &f->source, EPOLLIN) < 0))
		end_front(f);
}

/* What a front asks, or lmtpd; each of them one kind of question. */
struct question {
	struct msg_login login;
	struct msg_lookup lookup;
};

static bool
read_question(const struct auth_front *f, const struct received *r, struct question *ret,
	uint16_t *ret_number, uint64_t *ret_session)
{
	struct view payload;

	*ret_number = message_number(r->message, &payload);
	if (r->truncated || *ret_number != (f->delivers ? MSG_LOOKUP : MSG_LOGIN))
		return false;
	if (f->delivers) {
		bool good = msg_lookup_get(&ret->lookup, payload);
		*ret_session = good ? ret->lookup.session : 0;
		return good;
	}
	if (!msg_login_get(&ret->login, payload) || !core_login_is_valid(&ret->login))
		return false;
	*ret_session = ret->login.session;
	return true;
}

/* False: the front is gone. */
static bool
one_message(struct auth_front *f, struct received *r)
{
	struct question q;
	uint64_t session;
	uint16_t number;

	if (!read_question(f, r, &q, &number, &session)) {
		front_fault(f, "malformed message; its channel is closed", number);
		end_front(f);
		return false;
	}
	if (!sessions_begin(&f->sessions, session)) {
		front_fault(f, "session asks already or was granted; dropped", number);
		return true;
	}
	if (f->delivers)
		lookup_received(f, &q.lookup);
	else
		login_received(f, &q.login);
	return f->source.fd >= 0;
}

static void
front_ready(struct source *s, uint32_t events)
{
	struct auth_front *f = (struct auth_front *)s;
	struct received *r = f->auth->received;

	f->attempts++; /* so that it stays while we look at it */
	if (events & EPOLLOUT)
		flush_unsent(f);
	for (int i = 0; i < MESSAGES_A_TURN && f->source.fd >= 0 && f->unsent_n == 0;
		i++) {
		int got = channel_recv(f->source.fd, r, 0);
		if (got == -EAGAIN)
			break;
		if (got < 0) {
			end_front(f);
			break;
		}
		bool alive = one_message(f, r);
		explicit_bzero(r->octets, r->message.n);
		if (!alive)
			break;
	}
	front_release(f);
}

int
front_add(struct auth *a, uint64_t incarnation, bool delivers, int take_fd)
{
	struct auth_front *f = a->fronts_n < FRONTS_MAX ? calloc(1, sizeof(*f)) : NULL;

	if (!f) {
		(void)close(take_fd);
		return -ENOMEM;
	}
	f->auth = a;
	f->incarnation = incarnation;
	f->delivers = delivers;
	f->source = (struct source){.fd = take_fd, .ready = front_ready};
	int r = loop_add(a->loop, &f->source, EPOLLIN);
	if (r < 0) {
		(void)close(take_fd);
		free(f);
		return r;
	}
	f->next = a->fronts;
	a->fronts = f;
	a->fronts_n++;
	return 0;
}

void
front_gone(struct auth *a, uint64_t incarnation)
{
	for (struct auth_front *f = a->fronts; f; f = f->next)
		if (f->incarnation == incarnation) {
			end_front(f);
			return;
		}
}
