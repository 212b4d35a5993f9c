/*
 * monitor_send.h: a message for a child, written and sent in one go.
 */
#ifndef MONITOR_MONITOR_SEND_H
#define MONITOR_MONITOR_SEND_H

#include "base/check.h"
#include "monitor/monitor.h"

#include <string.h>

static inline struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* Whole seconds, never less than what was asked for; the messages have 32 bits. */
static inline uint32_t
seconds(uint64_t ms)
{
	uint64_t s = ms / 1000 + (ms % 1000 > 0);

	return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

/* name: of the message; m, slot, fds and n as in child_send. */
#define SEND(name, message, slot, fds, fds_n)                                            \
	({                                                                               \
		uint8_t storage_[MESSAGE_OCTETS_MAX / 4];                                \
		struct buf out_ = buf_over(storage_, sizeof(storage_));                  \
		msg_##name##_put((message), &out_);                                      \
		CHECK(!out_.full);                                                       \
		int rc_ = child_send(m, (slot), buf_view(&out_), (fds), (fds_n));        \
		/* There may be keys in it. */                                           \
		explicit_bzero(storage_, buf_view(&out_).n);                             \
		rc_;                                                                     \
	})

#endif
