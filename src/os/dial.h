/*
 * dial.h: a connection to a name and port: resolved in a thread, addresses tried side by
 * side (RFC 8305), directly, through a SOCKS5 proxy (RFC 1928, 1929; the proxy resolves
 * the name) or to a unix socket.
 */
#ifndef OS_DIAL_H
#define OS_DIAL_H

#include "os/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dial;

struct dial_target {
	const char *host; /* a name, an address, or the path of a unix socket ("/...") */
	uint16_t port;
	const char *socks5; /* "[USER:PASSWORD@]HOST:PORT", or NULL; not for paths */
};

/*
 * Calls done exactly once, from the loop, unless dial_cancel comes first. fd >= 0: a
 * connected non-blocking socket with TCP_NODELAY, now the callee's. Else -errno in fd and
 * a reason in plain words that names host, port and each address tried (it lives during
 * the call). *temporary: trying later may help (a name that does not exist: no).
 *
 * At most 16 addresses are tried, families by turns, the next one 250 ms after the last
 * or at once when that failed. -EHOSTUNREACH: the name was not resolved; -ETIMEDOUT: all
 * of it took longer than timeout_ms; -EINVAL: the target itself is wrong.
 */
struct dial_done {
	void (*done)(struct dial_done *d, int fd, bool temporary, const char *why);
};
/* 0 or -errno; *ret may be cancelled until done was called. Copies the target. */
[[nodiscard]] int dial_start(struct loop *l, const struct dial_target *t,
	uint64_t timeout_ms, struct dial_done *done, struct dial **ret);
void dial_cancel(struct dial **d);

/* The same, waiting: for the blocking code of the delivery threads. The descriptor is
 * blocking, with SO_RCVTIMEO and SO_SNDTIMEO of timeout_ms. -errno and why. */
[[nodiscard]] int dial_wait(
	const struct dial_target *t, uint64_t timeout_ms, char *why, size_t why_n);

/* "HOST:PORT", "HOST", "[V6]:PORT"; host gets at most cap octets with its NUL. */
[[nodiscard]] bool dial_split(const char *text, uint16_t default_port, char *host,
	size_t cap, uint16_t *ret_port);

#endif
