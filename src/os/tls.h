/*
 * tls.h: TLS over a non-blocking socket, OpenSSL 3, and plain sockets behind the same
 * calls.
 *
 * Output is gathered: stream_write encrypts into one buffer and stream_flush sends it, so
 * that one reply is one record and one write, and about 64 KiB of a message are one send.
 * An idle stream holds no buffers (SSL_MODE_RELEASE_BUFFERS; ours are freed when empty),
 * but for the few of struct stream_room.
 *
 * What only servers have (certificates by name, signers, rules of a listener, channel
 * binding, client certificates) is in tls_server.h.
 */
#ifndef OS_TLS_H
#define OS_TLS_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_context; /* certificate, key, settings; counted, shared by its streams */

/*
 * From PEM text. TLS 1.2 and newer, ALPN "pop3", session tickets under ticket_keys (80
 * octets, or NULL for none). NULL and a reason in why[] on failure.
 */
struct tls_context *tls_context_new(struct view cert_pem, struct view key_pem,
	const uint8_t *ticket_keys, char *why, size_t why_n);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context **c);
/* All that OpenSSL would load late (a whole handshake with itself), before the cage is
 * shut. */
[[nodiscard]] int tls_warm_up(void);

#define STREAMS_WARM 8

/*
 * Room that the streams of one thread share, for records on their way out: who has it
 * gives it back with stream_keep at the end of its turn; whoever finds it taken, or too
 * small, takes memory of its own. The TLS streams that spoke last keep OpenSSL's buffers,
 * 33 KiB each: to get, wipe and free them for each record takes longer than the record.
 */
struct stream_room {
	uint8_t *p;
	size_t n;
	bool taken;
	void *warm[STREAMS_WARM]; /* SSL *, the last one first; behind them NULL */
};

/* A connection: plain until stream_start_tls. */
struct stream {
	int fd;
	void *ssl;    /* SSL *, or NULL */
	uint8_t *out; /* gathered, not yet sent; NULL when empty */
	size_t out_n, out_sent, out_cap;
	uint8_t reads; /* that are left to this call */
	bool handshaking;
	bool want_write; /* the last call stopped because the socket was full */
	bool dry;	 /* the last read took all that had come */
	bool broken;	 /* no close_notify any more */
	bool cut;	 /* TLS: the socket ended without close_notify */
	bool was_plain;	 /* octets came before TLS began */
	bool last;	 /* what is sent now leaves together with the end */
	int error;	 /* errno of the socket's fault, or 0 */
	struct tls_context *context; /* counted; NULL while plain */
	struct tls_peer *peer;	     /* client side (tls_client.h), else NULL */
	struct tls_guest *guest;     /* server side: what its listener's rules are */
	struct stream_room *room;    /* NULL: none is shared */
};

enum stream_result {
	STREAM_OK,    /* done; *ret_n octets where there is one */
	STREAM_AGAIN, /* wait for the socket: readable, or writable if want_write */
	STREAM_END,   /* the peer closed in order */
	STREAM_ERROR, /* reset, or a TLS fault: close without more */
};

void stream_init(struct stream *s, int fd);
/* Frees; closes the descriptor. Sends what is gathered if that does not wait, then
 * close_notify. */
void stream_done(struct stream *s);
/* Server side. From now on all octets are TLS; the handshake goes on in stream_handshake.
 */
[[nodiscard]] enum stream_result stream_start_tls(
	struct stream *s, struct tls_context *c);
/*
 * OK: TLS stands; all that the client waits for is sent, a ticket of TLS 1.3 may still be
 * gathered, so that it leaves with what is written next (or with stream_flush). ERROR:
 * the alert was sent if that did not wait.
 */
[[nodiscard]] enum stream_result stream_handshake(struct stream *s);
/* After OK: whether the handshake was a resumption, and "TLSv1.3" or the like (static).
 */
bool stream_resumed(const struct stream *s);
const char *stream_version(const struct stream *s);
/* Up to n octets. STREAM_OK with *ret_n > 0, or AGAIN, END, ERROR. */
[[nodiscard]] enum stream_result stream_read(
	struct stream *s, void *p, size_t n, size_t *ret_n);
/*
 * Octets taken from the socket but not yet read: poll says nothing about them, so
 * stream_read must be called again without waiting. Never true after stream_read said
 * AGAIN.
 */
bool stream_has_pending(const struct stream *s);
/*
 * Takes all n octets into the gather buffer (grows it; -ENOMEM is STREAM_ERROR). The
 * caller bounds what it writes between two flushes.
 */
[[nodiscard]] enum stream_result stream_write(struct stream *s, const void *p, size_t n);
/*
 * Plain streams only, to save a copy: room for n octets at the end of the gather buffer;
 * stream_commit says how many of them were written. NULL where the stream is TLS (or
 * there is no memory): then stream_write. Lives until the next call.
 */
uint8_t *stream_reserve(struct stream *s, size_t n);
void stream_commit(struct stream *s, size_t n);
/* Sends. OK: all gone and the buffer released. AGAIN: want_write is set. */
[[nodiscard]] enum stream_result stream_flush(struct stream *s);
/*
 * stream_write and stream_flush in one: what goes at once on a plain stream is never
 * copied. Any result but OK says the same as there; all n octets were taken unless ERROR.
 */
[[nodiscard]] enum stream_result stream_send(struct stream *s, const void *p, size_t n);
/* Octets gathered and not yet sent. */
size_t stream_unsent(const struct stream *s);
/* The end of a turn: what is gathered moves out of the shared room. ERROR: no memory. */
[[nodiscard]] enum stream_result stream_keep(struct stream *s);
/* Drops (and wipes) them. */
void stream_discard(struct stream *s);
/* close_notify into the gather buffer (TLS), so that it leaves with the last octets. */
void stream_goodbye(struct stream *s);
/* Nothing but the end follows: octets of less than a segment wait for stream_shutdown or
 * stream_done, so that they and the end are one packet, and the peer wakes once. */
void stream_last(struct stream *s);
/* Flushes, then close_notify, then shutdown of the sending side. Call again after AGAIN.
 */
[[nodiscard]] enum stream_result stream_shutdown(struct stream *s);

#endif
