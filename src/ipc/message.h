/*
 * message.h: the rows of messages.def as structs, and their one encoding.
 *
 * For each row NAME/name there is
 *     struct msg_name                  its fields; BYTES are views
 *     MSG_NAME                         its number
 *     msg_name_put(&m, buf)            appends number and fields
 *     msg_name_get(&m, payload)        true and *m filled if the payload (without
 *                                      the number) is exactly one such message with
 *                                      every BYTES within its limit; else false and
 *                                      *m untouched. Views borrow from the payload.
 * Lengths, never delimiters; a message must be read to its end.
 */
#ifndef IPC_MESSAGE_H
#define IPC_MESSAGE_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

/* The largest message on any channel, number included. */
#define MESSAGE_OCTETS_MAX 36864
/* The most descriptors in one message (a row of messages.def may say less). */
#define MESSAGE_FDS_MAX 64

#define FIELD_U8(name)	       uint8_t name;
#define FIELD_U16(name)	       uint16_t name;
#define FIELD_U32(name)	       uint32_t name;
#define FIELD_U64(name)	       uint64_t name;
#define FIELD_BYTES(name, max) struct view name;
#define MESSAGE(NAME, name, number, fds, FIELDS)                                         \
	struct msg_##name {                                                              \
		FIELDS(FIELD_U8, FIELD_U16, FIELD_U32, FIELD_U64, FIELD_BYTES)           \
		uint8_t unused_; /* a struct may not be empty */                         \
	};                                                                               \
	void msg_##name##_put(const struct msg_##name *m, struct buf *out);              \
	[[nodiscard]] bool msg_##name##_get(struct msg_##name *m, struct view payload);
#include "ipc/messages.def"
#undef MESSAGE

enum message_number {
#define MESSAGE(NAME, name, number, fds, FIELDS) MSG_##NAME = number,
#include "ipc/messages.def"
#undef MESSAGE
};

/* The number at the start of a message, 0 if there is none; *payload is what follows. */
uint16_t message_number(struct view message, struct view *payload);
/* "LOGIN", or "?" for a number that no row has. */
const char *message_name(uint16_t number);
/* How many descriptors a message of this number may carry. */
size_t message_fds_max(uint16_t number);

#endif
