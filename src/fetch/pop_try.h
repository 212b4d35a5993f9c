/*
 * pop_try.h: one look at a POP3 server for --configure: connected, secured, asked what it
 * can do, and logged in to. Blocking, with a limit of time for each answer. Nothing on
 * the server is changed.
 */
#ifndef FETCH_POP_TRY_H
#define FETCH_POP_TRY_H

#include "fetch/account.h"
#include "fetch/secret.h"
#include "pop3/capabilities.h"

#define POP_WHY_MAX 512 /* a certificate that is not good needs many words */

struct pop_try;

/* What was seen. Texts are the server's words: not to be shown as they are. */
struct pop_found {
	bool secured;	       /* TLS stands and the certificate is good */
	bool bad_certificate;  /* it was not accepted; why says it */
	const char *tls;       /* "TLSv1.3", or NULL */
	char pin[65];	       /* SHA-256 of the key in hex, "" */
	char certificate[200]; /* the name in it, "" */
	bool has_capabilities; /* else CAPA is unknown to it */
	struct pop3_capabilities capabilities;
	char why[POP_WHY_MAX]; /* what went wrong last */
};

/* Host, port, tls, tls_options and socks5 of the account count. -errno and found->why. */
[[nodiscard]] int pop_try_open(const struct fetch_account *a, uint64_t timeout_ms,
	struct pop_try **ret, struct pop_found *found);
/*
 * With the best mechanism offered, and never the password itself without verified TLS
 * unless the account says so. One of the secrets may be NULL. 0 with the mechanism and
 * how many messages there are (UINT32_MAX: it did not say); -EACCES: the server refused;
 * -ENOTSUP: no mechanism can be used; other -errno: the connection. found->why says it.
 */
[[nodiscard]] int pop_try_login(struct pop_try *t, const struct fetch_account *a,
	const struct secret *password, const struct secret *token,
	const char **ret_mechanism, uint32_t *ret_messages);
/* QUIT where the connection is in order. */
void pop_try_close(struct pop_try **t);

#endif
