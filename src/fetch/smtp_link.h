/*
 * smtp_link.h: a connection to an SMTP or LMTP server, ready for messages: dialled,
 * greeted, TLS where wanted, logged in. Blocking, with a deadline for whatever is waited
 * for. Results are 0 or -errno, with the reason in link->why.
 */
#ifndef FETCH_SMTP_LINK_H
#define FETCH_SMTP_LINK_H

#include "fetch/account.h"
#include "fetch/letter.h"
#include "os/tls.h"
#include "wire/smtp_client.h"

/* RFC 5321 s.4.5.3.2; all but the last are cut to the account's timeout. */
#define SMTP_COMMAND_MS (UINT64_C(300) * 1000)
#define SMTP_DATA_MS	(UINT64_C(120) * 1000)
#define SMTP_BLOCK_MS	(UINT64_C(180) * 1000)
/* Whoever gives up earlier makes a message come twice (s.4.5.3.2.6). */
#define SMTP_ANSWER_MS (UINT64_C(600) * 1000)
#define SMTP_QUIT_MS   2000

struct smtp_peer {
	const struct fetch_account *account;
	bool lmtp;
	char host[256]; /* or the path of a unix socket */
	uint16_t port;
	bool trusts_loopback; /* its certificate was refused before: no TLS on loopback */
};

struct smtp_link {
	struct stream stream;
	struct smtp_client client;
	uint64_t timeout_ms;
	bool loopback, secured, refused_certificate;
	bool closing;	 /* the server said 421 */
	bool needs_rset; /* a message was begun and not sent */
	uint64_t handed; /* messages whose octets were sent */
	uint64_t used_ms;
	struct view rest; /* read, not yet looked at */
	char why[LETTER_WHY_MAX];
	uint8_t in[4096];
};

/* *ret is NULL on failure; why and *ret_certificate (the server's was not accepted, on
 * loopback) are set then. */
[[nodiscard]] int smtp_link_open(const struct smtp_peer *p, struct smtp_link **ret,
	char *why, size_t why_n, bool *ret_certificate);
/* QUIT, if the link is in order, and no longer than SMTP_QUIT_MS. */
void smtp_link_close(struct smtp_link **l);
/* Whether a link that rested can still be used. */
[[nodiscard]] bool smtp_link_is_alive(struct smtp_link *l);

/* The next reply or challenge. */
[[nodiscard]] int smtp_link_reply(
	struct smtp_link *l, uint64_t timeout_ms, struct smtp_reply *ret);
/* What the server says though nothing was asked is an error; nothing is waited for. */
[[nodiscard]] int smtp_link_glance(struct smtp_link *l);
/* Sends all; timeout_ms without progress. */
[[nodiscard]] int smtp_link_send(
	struct smtp_link *l, const void *p, size_t n, uint64_t timeout_ms);
[[nodiscard]] int smtp_link_flush(struct smtp_link *l, uint64_t timeout_ms);

/* AUTH as smtp_user. */
[[nodiscard]] int smtp_link_login(struct smtp_link *l, const struct smtp_peer *p);

/* The smaller of the two. */
static inline uint64_t
smtp_link_limit(const struct smtp_link *l, uint64_t ms)
{
	return l->timeout_ms < ms ? l->timeout_ms : ms;
}

#endif
