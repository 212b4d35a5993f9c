/*
 * watched.h: a child that works as somebody else, who may stop it, or hold up its files
 * for ever: it has limits, and its parent does not wait for one that does nothing.
 */
#ifndef MOVE_WATCHED_H
#define MOVE_WATCHED_H

#include <stdint.h>
#include <sys/types.h>

#define WATCHED_DATA_MAX   ((uint64_t)1 << 30) /* octets of memory */
#define WATCHED_SILENCE_MS 60000

/* In the child, first of all: at most WATCHED_DATA_MAX, and no core. 0 or -errno. */
[[nodiscard]] int watched_limits(void);
/*
 * Waits for a child of ours that was not waited for yet. 0 and what waitpid(2) gives.
 * -ETIME: it used no processor for silence_ms, and was killed; one that the kernel does
 * not let go is left behind. Or -errno.
 */
[[nodiscard]] int watched_wait(pid_t pid, uint32_t silence_ms, int *ret_status);

#endif
