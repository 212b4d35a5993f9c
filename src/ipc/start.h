/*
 * start.h: the start of every caged program, in this order: sandbox_first (os/sandbox.h),
 * the first message on FD_MONITOR, what must be made before the cage, the cage, READY.
 * For programs with a cage: who links this links os_sandbox, too.
 */
#ifndef IPC_START_H
#define IPC_START_H

#include "ipc/channel.h"
#include "ipc/log.h"
#include "os/sandbox.h"

/* How a program tells of a step that failed. */
struct start_words {
	const char *event; /* of its record */
	const char *key;   /* which step it was */
	/* NULL: log_send. restante-log has nobody to send to, and writes it itself. */
	void (*send)(void *context, struct log_record *r);
	void *context;
};

/* What programs mostly say: start_failed what="..." error="..." */
extern const struct start_words start_words;

/*
 * Waits for the first message; it must be this one, with at most fds_max descriptors,
 * which are *r's. -EPIPE: the monitor wants us no more, which is no failure. -EPROTO: it
 * is another one; *r still says which. *ret_payload borrows from *r.
 */
[[nodiscard]] int start_receive(
	uint16_t number, size_t fds_max, struct received *r, struct view *ret_payload);
/* Enters the cage. -errno: the record was sent. */
[[nodiscard]] int start_cage(const struct sandbox_plan *plan,
	const struct start_words *words, uint32_t *ret_parts);
/* READY, with the parts of the cage that are in force. */
[[nodiscard]] int start_ready(uint32_t parts);
/* Sends the record of a failed step; error 0: there is none. */
void start_fail(const struct start_words *words, const char *step, int error);

#endif
