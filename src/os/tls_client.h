/*
 * tls_client.h: TLS as a client, over the streams of tls.h.
 *
 * A server may close without close_notify. On TLS stream_read then says STREAM_ERROR, not
 * STREAM_END, and stream_was_cut is true. Inside a message that is fatal: somebody on the
 * way may have cut it. After QUIT's answer, or between answers, it is a sloppy server and
 * harmless. END is the server's own word.
 *
 * STLS (RFC 2595 s.4): the caller makes sure that nothing follows STLS's answer in what
 * it has read; stream_connect_tls fails if more plain octets wait in the socket.
 */
#ifndef OS_TLS_CLIENT_H
#define OS_TLS_CLIENT_H

#include "os/tls.h"

#define TLS_PIN_OCTETS 32
#define TLS_PINS_MAX   8

struct tls_client_options {
	const char *ca_file;	 /* PEM; NULL: the system's certificates */
	const char *certificate; /* PEM files for client certificates; NULL: none */
	const char *key;
	/* SHA-256 of the SubjectPublicKeyInfo of the server's own certificate. With pins
	 * the pin alone decides (a self-signed or expired certificate is then good). */
	uint8_t pins[TLS_PINS_MAX][TLS_PIN_OCTETS];
	size_t pins_n;
};

/*
 * Starts OpenSSL: before the first use of it and before there are threads. 0 or -ENOMEM.
 * Left to the first use, the start goes unchecked: what failed in it for want of memory
 * is used nevertheless, and the process dies of a lock that was never made.
 */
[[nodiscard]] int tls_client_begin(void);
/* 0, or -errno and a reason, with option, file and what to do, in why[]; -EINVAL where a
 * file does not hold what it should. Freed by tls_context_unref. */
[[nodiscard]] int tls_client_context_new(const struct tls_client_options *o,
	struct tls_context **ret, char *why, size_t why_n);

/*
 * Client side of stream_start_tls; the handshake goes on in stream_handshake, which also
 * tells of plain octets that came too early. ERROR: no memory, or the host is no name.
 * host: for SNI and for the certificate's name (an address is compared as one). session:
 * what stream_session_save gave before for this host, or an empty view; it is dropped in
 * silence if it is damaged, old, or was made under another host, ca_file, pins or client
 * certificate (so a resumption never stands on rules that no longer hold). ALPN "pop3"
 * where alpn; servers without ALPN are fine. A host "/..." (unix socket) is "localhost".
 */
[[nodiscard]] enum stream_result stream_connect_tls(struct stream *s,
	struct tls_context *c, const char *host, bool alpn, struct view session);
/*
 * The reason of a failed handshake or connection in plain words: which certificate, whose
 * name, what is wrong, the pin that it would have. *ret_certificate: the server's
 * certificate was not accepted (not a broken connection).
 */
void stream_why(const struct stream *s, char *why, size_t why_n, bool *ret_certificate);
/*
 * It failed for a moment's reason: a broken connection, or the alert internal_error (RFC
 * 8446, 6.2), with which a server that has no room says so. What the server is does not
 * change so.
 */
bool stream_may_do_later(const struct stream *s);
/* STREAM_ERROR came because the server closed without close_notify (see above). */
bool stream_was_cut(const struct stream *s);
/*
 * The newest session ticket as octets (malloc'ed, the caller frees); -ENOENT: none. May
 * change after each read: TLS 1.3 sends tickets after the handshake. The octets hold the
 * session's secret: keep them where only the owner reads, wipe before free.
 */
[[nodiscard]] int stream_session_save(
	const struct stream *s, uint8_t **ret, size_t *ret_n);
/* For SASL -PLUS: tls-exporter (RFC 9266) on TLS 1.3, tls-unique on TLS 1.2 with extended
 * master secret, else -ENOTSUP. *ret_name is static. */
[[nodiscard]] int stream_channel_binding(const struct stream *s, const char **ret_name,
	uint8_t *ret, size_t cap, size_t *ret_n);
/* Hex SHA-256 of the server's key, for messages and --configure. */
[[nodiscard]] int stream_peer_pin(
	const struct stream *s, char ret[2 * TLS_PIN_OCTETS + 1]);

#endif
