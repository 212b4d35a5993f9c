#include "ipc/start.h"

#include "base/check.h"

#include <errno.h>
#include <poll.h>

const struct start_words start_words = {.event = "start_failed", .key = "what"};

int
start_receive(
	uint16_t number, size_t fds_max, struct received *r, struct view *ret_payload)
{
	struct pollfd p = {.fd = FD_MONITOR, .events = POLLIN};
	int e;

	while ((e = channel_recv(FD_MONITOR, r, fds_max)) == -EAGAIN)
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -errno;
	if (e < 0)
		return e;
	if (!r->truncated && message_number(r->message, ret_payload) == number)
		return 0;
	received_done(r);
	return -EPROTO;
}

int
start_cage(const struct sandbox_plan *plan, const struct start_words *words,
	uint32_t *ret_parts)
{
	const char *step = "";
	int e = sandbox_enter(plan, ret_parts, &step);

	if (e < 0)
		start_fail(words, step, e);
	return e;
}

int
start_ready(uint32_t parts)
{
	uint8_t storage[16];
	struct buf b = buf_over(storage, sizeof(storage));

	msg_ready_put(&(struct msg_ready){.cage = parts}, &b);
	CHECK(!b.full);
	return channel_send(FD_MONITOR, buf_view(&b), NULL, 0);
}

void
start_fail(const struct start_words *words, const char *step, int error)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, words->event);
	log_str(&r, words->key, step);
	if (error < 0)
		log_error(&r, "error", error);
	if (words->send)
		words->send(words->context, &r);
	else
		log_send(&r);
}
