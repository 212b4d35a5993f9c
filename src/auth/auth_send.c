#include "auth/auth_parts.h"
#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static bool
keep_unsent(struct auth_front *f, struct view message)
{
	struct unsent *u = f->unsent_octets + message.n > FRONT_UNSENT_MAX
		? NULL
		: malloc(sizeof(*u) + message.n);

	if (!u)
		return false;
	u->next = NULL;
	u->n = message.n;
	memcpy(u->octets, message.p, message.n);
	if (f->unsent_last)
		f->unsent_last->next = u;
	else
		f->unsent_first = u;
	f->unsent_last = u;
	f->unsent_octets += message.n;
	return true;
}

void
front_send(struct auth_front *f, struct view message)
{
	int r = -EAGAIN;

	if (f->source.fd < 0)
		return;
	if (!f->unsent_first)
		r = channel_send(f->source.fd, message, NULL, 0);
	if (r == 0)
		return;
	bool kept = r == -EAGAIN && keep_unsent(f, message);
	/* It is not read until it has taken its answers. */
	if (!kept || loop_change(f->auth->loop, &f->source, EPOLLOUT) < 0)
		front_end(f);
}

void
front_fail(struct auth_front *f, uint64_t session, enum refusal code, uint32_t delay_ms)
{
	uint8_t octets[32];
	struct buf b = buf_over(octets, sizeof(octets));
	struct msg_login_failed login = {
		.session = session, .code = (uint8_t)code, .delay_ms = delay_ms};
	struct msg_lookup_failed lookup = {.session = session, .code = (uint8_t)code};

	if (f->delivers)
		msg_lookup_failed_put(&lookup, &b);
	else
		msg_login_failed_put(&login, &b);
	CHECK(!b.full);
	front_send(f, buf_view(&b));
}

static void
drop_first(struct auth_front *f)
{
	struct unsent *u = f->unsent_first;

	f->unsent_first = u->next;
	if (!f->unsent_first)
		f->unsent_last = NULL;
	f->unsent_octets -= u->n;
	explicit_bzero(u->octets, u->n);
	free(u);
}

bool
front_flush(struct auth_front *f)
{
	while (f->unsent_first) {
		struct unsent *u = f->unsent_first;
		int r = channel_send(
			f->source.fd, (struct view){u->octets, u->n}, NULL, 0);
		if (r < 0)
			return r == -EAGAIN;
		drop_first(f);
	}
	return loop_change(f->auth->loop, &f->source, EPOLLIN) == 0;
}

void
front_drop_unsent(struct auth_front *f)
{
	while (f->unsent_first)
		drop_first(f);
}
