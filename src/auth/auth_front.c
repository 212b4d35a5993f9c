#include "auth/auth_parts.h"
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
	front_drop_unsent(f);
	loop_defer_free(f->auth->loop, f);
}

/* Its channel is over: nothing of it is answered any more. */
void
front_end(struct auth_front *f)
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

/* What a front asks, or lmtpd; each of them its own kinds of question. */
union question {
	struct msg_login login;
	struct msg_lookup lookup;
	struct msg_response response;
	struct msg_stamp_ask stamp;
	struct msg_login_lost lost;
};

static bool
get_login(union question *q, struct view payload)
{
	return msg_login_get(&q->login, payload) && core_login_is_valid(&q->login);
}

static bool
get_lookup(union question *q, struct view payload)
{
	return msg_lookup_get(&q->lookup, payload);
}

static bool
get_response(union question *q, struct view payload)
{
	return msg_response_get(&q->response, payload);
}

static bool
get_stamp_ask(union question *q, struct view payload)
{
	return msg_stamp_ask_get(&q->stamp, payload);
}

static bool
get_lost(union question *q, struct view payload)
{
	return msg_login_lost_get(&q->lost, payload) &&
		q->lost.code >= REFUSAL_CREDENTIALS && q->lost.code <= REFUSAL_TOO_MANY;
}

static bool
may_begin(struct auth_front *f, uint64_t session, uint16_t number)
{
	if (sessions_begin(&f->sessions, session))
		return true;
	front_fault(f, "session asks already or was granted; dropped", number);
	return false;
}

static void
on_login(struct auth_front *f, union question *q)
{
	struct msg_login *m = &q->login;

	/* The front's word counts as far as its listeners may say such a thing. */
	if (m->certificate.n > 0 && !(f->asserts & ASSERT_CERTIFICATE)) {
		front_fault(
			f, "a certificate that it may not assert; left out", MSG_LOGIN);
		m->certificate.n = 0;
	}
	talk_supersede(f, m->session, m->connection);
	if (may_begin(f, m->session, MSG_LOGIN))
		login_received(f, m);
}

static void
on_lookup(struct auth_front *f, union question *q)
{
	if (may_begin(f, q->lookup.session, MSG_LOOKUP))
		lookup_received(f, &q->lookup);
}

static void
on_response(struct auth_front *f, union question *q)
{
	talk_hear(f, &q->response);
}

static void
on_stamp_ask(struct auth_front *f, union question *q)
{
	uint8_t octets[512], stamp[APOP_STAMP_MAX];
	struct buf b = buf_over(octets, sizeof(octets));
	struct buf s = buf_over(stamp, sizeof(stamp));

	/* Without one there is no APOP for that connection; an empty one says so. */
	if (!apop_give(f->auth->apop, f->incarnation, q->stamp.connection, &s))
		s.n = 0;
	struct msg_stamp m = {.connection = q->stamp.connection, .stamp = buf_view(&s)};
	msg_stamp_put(&m, &b);
	CHECK(!b.full);
	front_send(f, buf_view(&b));
}

static void
on_lost(struct auth_front *f, union question *q)
{
	refusal_lost(f, &q->lost);
}

static const struct {
	uint16_t number;
	bool delivers; /* lmtpd says it, else a front */
	bool (*get)(union question *q, struct view payload);
	void (*on)(struct auth_front *f, union question *q);
} words[] = {
	{MSG_LOGIN, false, get_login, on_login},
	{MSG_RESPONSE, false, get_response, on_response},
	{MSG_STAMP_ASK, false, get_stamp_ask, on_stamp_ask},
	{MSG_LOGIN_LOST, false, get_lost, on_lost},
	{MSG_LOOKUP, true, get_lookup, on_lookup},
};

/* False: the front is gone. */
static bool
one_message(struct auth_front *f, struct received *r)
{
	struct view payload;
	uint16_t number = message_number(r->message, &payload);
	union question q;

	for (size_t i = 0; i < ARRAY_SIZE(words) && !r->truncated; i++)
		if (words[i].number == number && words[i].delivers == f->delivers &&
			words[i].get(&q, payload)) {
			words[i].on(f, &q);
			return f->source.fd >= 0;
		}
	front_fault(f, "malformed message; its channel is closed", number);
	front_end(f);
	return false;
}

static void
front_ready(struct source *s, uint32_t events)
{
	struct auth_front *f = (struct auth_front *)s;
	struct received *r = f->auth->received;

	f->attempts++; /* so that it stays while we look at it */
	if (events & EPOLLOUT)
		if (f->source.fd >= 0 && !front_flush(f))
			front_end(f);
	/* Who waits must be known with all who wait behind him: order is by suspicion. */
	bool all = f->attempts > 1, dry = false;
	unsigned asked =
		all ? MESSAGES_A_TURN : channel_pace_begin(&f->pace, MESSAGES_A_TURN);
	for (unsigned i = 0; i < asked && f->source.fd >= 0 && !f->unsent_first; i++) {
		int got = channel_recv(f->source.fd, r, 0);
		dry = got == -EAGAIN;
		if (dry)
			break;
		if (got < 0) {
			front_end(f);
			break;
		}
		bool alive = one_message(f, r);
		explicit_bzero(r->octets, r->message.n);
		if (!alive)
			break;
	}
	if (!all)
		channel_pace_end(&f->pace, asked, dry);
	front_release(f);
}

int
front_add(struct auth *a, const struct msg_auth_front *m, int take_fd)
{
	struct auth_front *f = a->fronts_n < FRONTS_MAX ? calloc(1, sizeof(*f)) : NULL;

	if (!f) {
		(void)close(take_fd);
		return -ENOMEM;
	}
	f->auth = a;
	f->incarnation = m->front;
	f->delivers = m->delivers != 0;
	f->asserts = m->asserts;
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
	offer_tell(f);
	return 0;
}

void
front_gone(struct auth *a, uint64_t incarnation)
{
	for (struct auth_front *f = a->fronts; f; f = f->next)
		if (f->incarnation == incarnation) {
			front_end(f);
			return;
		}
}
