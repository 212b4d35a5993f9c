/*
 * torture_link.h: one connection, plain or TLS, with a deadline for all that is done on
 * it, and every liberty that an attacker has: octets below TLS, pieces of any size,
 * resets, half-closes, not reading.
 */
#ifndef TORTURE_LINK_H
#define TORTURE_LINK_H

#include "pop3/view.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#define LINK_LINE_MAX  (UINT32_C(64) << 20)
#define LINK_PIECE_GAP 1 /* ms between pieces: so the kernel does not join them */

enum link_state {
	LINK_OPEN,
	LINK_CLOSED, /* in order; for TLS see close_notify */
	LINK_RESET,
	LINK_LATE, /* the deadline passed */
	LINK_TLS,  /* a fault or an alert of TLS */
	LINK_FULL, /* more than we keep */
};

struct link {
	int fd;
	SSL *ssl; /* NULL while plain */
	struct ssl_session_st
		*resume; /* to be taken up again at the handshake; borrowed */
	uint64_t deadline_ms;
	size_t piece; /* octets in one send, or in one record; 0: as they come */
	bool deaf;    /* reads nothing while it sends */
	bool close_notify;
	enum link_state state; /* once not LINK_OPEN, for good; LINK_LATE is never kept */
	uint8_t *in;
	size_t in_at, in_n, in_cap;
};

/* Takes the descriptor (or -1). */
void link_init(struct link *l, int fd, uint64_t deadline_ms);
/* Closes at once, without close_notify. */
void link_close(struct link *l);
/* The same with a reset. */
void link_reset(struct link *l);
/* No more from us: FIN. */
void link_half_close(struct link *l);

/* A handshake as a client; in the error queue of OpenSSL is why it failed. */
[[nodiscard]] enum link_state link_handshake(
	struct link *l, SSL_CTX *with, const char *host);
[[nodiscard]] enum link_state link_send(struct link *l, struct view octets);
/* Octets below TLS. */
[[nodiscard]] enum link_state link_send_raw(struct link *l, struct view octets);
/* What TLS would send for these; nothing is sent. At most cap octets, how many. */
[[nodiscard]] size_t link_seal(
	struct link *l, struct view octets, uint8_t *ret, size_t cap);
/* Sends what TLS has to say by itself (KeyUpdate, close_notify). */
[[nodiscard]] enum link_state link_flush(struct link *l);
/* A line with its LF; the view lives until the next call. What comes before an end
 * without LF is left in the buffer. */
[[nodiscard]] enum link_state link_line(struct link *l, struct view *ret);
/* Takes in what has come, waiting until the deadline for the first octet. */
[[nodiscard]] enum link_state link_fill(struct link *l);
/* Reads and forgets up to the end or the deadline; how many octets came. */
[[nodiscard]] enum link_state link_drain(struct link *l, uint64_t *ret_octets);
/* What lies in the buffer. */
struct view link_rest(const struct link *l);
/* In plain words. */
const char *link_words(enum link_state s);

#endif
