/*
 * tls_server.h: TLS of a server's side: several certificates by name, private keys that
 * live in another process, OCSP, tickets, profiles for old clients, client certificates.
 *
 * A generation is built in a tls_setup (FRONT_TLS, then each FRONT_CERTIFICATE) and
 * becomes a tls_context; streams that stand keep theirs. What differs from listener to
 * listener is told for each connection (struct tls_rules).
 */
#ifndef OS_TLS_SERVER_H
#define OS_TLS_SERVER_H

#include "os/tls.h"

#define TLS_TICKET_KEY_OCTETS  80
#define TLS_TICKET_KEYS_MAX    3
#define TLS_BINDING_OCTETS_MAX 64
#define TLS_FINGERPRINT_OCTETS 32
#define TLS_SIGNED_CONTENT_MAX 512
#define TLS_SIGNATURE_MAX      1024
#define TLS_SERVER_NAME_MAX    253
#define TLS_LISTENER_NAME_MAX  64

/* ---- keys that are not here ------------------------------------------------------- */

/*
 * Signs content as TLS has it signed (never a digest) with key `index` of a generation;
 * scheme: SignatureScheme of RFC 8446 s.4.2.3, or 0x0001 for MD5 and SHA-1 with RSA. *n
 * is the room at sig (at least TLS_SIGNATURE_MAX), then what was put there. 0, or -errno:
 * the handshake fails. May wait, and nothing else goes on meanwhile.
 */
typedef int tls_sign_fn(void *arg, uint32_t generation, uint8_t index, uint16_t scheme,
	struct view content, uint8_t *sig, size_t *n);

struct tls_signer;
/* Before the cage is shut; lives longer than all that is made with it. NULL: no memory.
 */
struct tls_signer *tls_signer_new(tls_sign_fn *sign, void *arg);
void tls_signer_free(struct tls_signer **s);

/* ---- a generation ----------------------------------------------------------------- */

struct tls_setup;

/*
 * certificates: how many will come (1 to 255). ticket_keys: none, or one to three of 80
 * octets; tickets are made under the first. signer: for certificates without key, or
 * NULL. NULL and a reason in why[] on failure.
 */
struct tls_setup *tls_setup_new(uint32_t generation, uint8_t certificates,
	struct view ticket_keys, struct tls_signer *signer, char *why, size_t why_n);
void tls_setup_free(struct tls_setup **s);
uint32_t tls_setup_generation(const struct tls_setup *s);

enum tls_added {
	TLS_ADDED,
	TLS_ADDED_WITHOUT_OCSP, /* the response is not good; why[] says what is wrong */
	TLS_NOT_ADDED,		/* why[] says it; the set-up can only be freed */
};
/*
 * Certificate number `index` (each once, in any order; 0 serves all names that no other
 * has): its chain in PEM, its key in PEM (n 0: the signer has it), an OCSP response in
 * DER (n 0: none). All are copied. RSA, P-256, P-384 and Ed25519; of several for one name
 * the client's abilities choose.
 */
[[nodiscard]] enum tls_added tls_setup_add(struct tls_setup *s, uint8_t index,
	struct view chain_pem, struct view key_pem, struct view ocsp_der, char *why,
	size_t why_n);
/* Whether all certificates have come. */
bool tls_setup_is_complete(const struct tls_setup *s);
/* Consumes a complete set-up. NULL and a reason in why[] on failure. */
struct tls_context *tls_setup_finish(struct tls_setup **s, char *why, size_t why_n);

/* ---- a connection ----------------------------------------------------------------- */

/* The same numbers as enum tls_profile of ipc/permit.h. */
enum tls_floor {
	TLS_FLOOR_12 = 0,
	TLS_FLOOR_13 = 1,
	TLS_FLOOR_10 = 2, /* ECDHE still, SHA-1 too; never static RSA */
};

struct tls_rules {
	uint8_t floor;		     /* enum tls_floor */
	uint8_t client_certificates; /* 0 not asked for, 1 asked for, 2 needed */
	struct view
		listener; /* tickets of others are not opened; borrowed for the call */
};

/* stream_start_tls under these rules; NULL: TLS 1.2, no client certificates. */
[[nodiscard]] enum stream_result stream_start_server(
	struct stream *s, struct tls_context *c, const struct tls_rules *rules);

/* The same numbers as enum binding of ipc/permit.h. */
enum tls_binding {
	TLS_BINDING_NONE = 0,
	TLS_BINDING_EXPORTER = 1,
	TLS_BINDING_UNIQUE = 2
};
/*
 * Channel binding: tls-exporter (RFC 9266) on TLS 1.3; tls-unique (RFC 5929 s.3) on
 * TLS 1.2 with extended master secret; else none. After the handshake.
 */
enum tls_binding stream_binding(
	const struct stream *s, uint8_t ret[TLS_BINDING_OCTETS_MAX], size_t *ret_n);
/* Whether there will be one: this computes nothing. */
bool stream_may_bind(const struct stream *s);
/* SHA-256 of the client's certificate (DER), whose key it has; false: it sent none. */
bool stream_certificate(const struct stream *s, uint8_t ret[TLS_FINGERPRINT_OCTETS]);
/* Whether the handshake needed TLS_FLOOR_10. */
bool stream_is_old(const struct stream *s);
/* The name that the client asked for, in small letters; n 0: none, or none of ours. Lives
 * as long as the stream. */
struct view stream_server_name(const struct stream *s);

#endif
