/*
 * login.h: how to prove who we are: GNU SASL, and by hand APOP, USER/PASS, OAUTHBEARER
 * and XOAUTH2 (RFC 7628 and its de-facto elder).
 *
 * Choosing is pure (login_choose); a chosen login is stepped with the server's
 * challenges.
 */
#ifndef FETCH_LOGIN_H
#define FETCH_LOGIN_H

#include "fetch/account.h"
#include "fetch/secret.h"
#include "pop3/client.h"

struct login;

/* What a choice depends on. */
struct login_facts {
	const struct pop3_capabilities
		*capabilities; /* NULL: CAPA is unknown to the server */
	bool tls;	       /* verified */
	bool has_binding;      /* for -PLUS */
	bool has_stamp;	       /* a usable stamp for APOP */
	bool has_password, has_token;
	const char
		*tried; /* words: mechanisms that were refused by this server as such */
	const char *worked; /* where nothing better did: taken if it may be; NULL */
	bool only_shown, never_shown; /* of those by which the password travels */
};
struct login_choice {
	const char *mechanism; /* static: "SCRAM-SHA-256-PLUS" ... "USER", "APOP"; NULL:
				  none */
	bool plain;	       /* the password itself travels */
	bool one_flight;       /* all of it can be sent ahead of any answer */
	char why[200];	       /* where there is none: what is missing and what to do */
};
/* SCRAM-SHA-256-PLUS, SCRAM-SHA-1-PLUS, SCRAM-SHA-256, SCRAM-SHA-1, GSSAPI (only where
 * asked for by name, or where there is no password), CRAM-MD5, OAUTHBEARER and XOAUTH2
 * (with a token, then only these), EXTERNAL (with a client certificate and no password),
 * PLAIN, USER, LOGIN; APOP only where the account says so. None that shows the password
 * without TLS unless the account says so. Pure. */
void login_choose(const struct fetch_account *a, const struct login_facts *f,
	struct login_choice *ret);

/* Who is proved to whom; borrowed for the call. */
struct login_party {
	const char *service; /* "pop", "smtp" */
	const char *host;
	uint16_t port;
	const char *user;
	size_t line_max; /* of an AUTH line with its CRLF: LOGIN_LINE_POP, ... */
};
#define LOGIN_LINE_POP	255 /* RFC 2449 s.4 */
#define LOGIN_LINE_SMTP 512 /* RFC 5321 s.4.5.3.1.4 */

/*
 * The user is recent:USER where the account says recent (USER is the caller's).
 * secret: the password or the token; may be NULL for GSSAPI and EXTERNAL. stream: for
 * channel binding; may be NULL. stamp: for APOP. -errno and why. "APOP" and "USER" may be
 * given too: login_next then gives the digest for APOP, or the password for PASS.
 * -ENOTSUP, -EILSEQ: not this mechanism (no channel binding; octets it cannot carry):
 * choose again with it among `tried`. Nothing blocks but GSSAPI, which may ask the
 * realm's servers.
 */
[[nodiscard]] int login_start(const char *mechanism, const struct fetch_account *a,
	const struct secret *secret, const struct stream *stream, struct view stamp,
	struct login **ret, char *why, size_t why_n);
/* The same for another server than the account's, such as an SMTP target. */
[[nodiscard]] int login_start_for(const char *mechanism, const struct login_party *party,
	const struct secret *secret, const struct stream *stream, struct view stamp,
	struct login **ret, char *why, size_t why_n);
/* Before the first login_next: this server wants the initial response as a line of its
 * own, however short it is (Exchange). */
void login_two_lines(struct login *l);
void login_free(struct login **l); /* wipes */

enum login_step {
	LOGIN_SEND,   /* *ret is to be sent: as initial response or response */
	LOGIN_EMPTY,  /* AUTH without initial response; or an empty response */
	LOGIN_FAILED, /* why: e.g. the server could not prove that it knows the password
		       */
};
/*
 * The first call (challenge NULL) gives the initial response, later ones answer a
 * challenge. Views live until the next call. two_line: the initial response must not be
 * on the AUTH line (Exchange, or longer than 255 octets): the caller sends AUTH alone and
 * gives the empty challenge to login_next, which then hands the response out again. An
 * error document of OAUTHBEARER is answered as RFC 7628 s.3.2.3 says and kept in plain
 * words for login_words.
 */
enum login_step login_next(struct login *l, const struct view *challenge,
	struct view *ret, bool *ret_two_line, char *why, size_t why_n);
/* At +OK: false where the mechanism is not done (a server that skips its proof). */
[[nodiscard]] bool login_complete(const struct login *l, char *why, size_t why_n);
/* What the server's error document said; "" nothing. */
const char *login_words(const struct login *l);
/* APOP's digest, 32 hex digits and NUL. */
[[nodiscard]] int login_apop(
	struct view stamp, const struct secret *secret, char ret[33]);

#endif
