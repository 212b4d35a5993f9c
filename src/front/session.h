/*
 * session.h: one POP3 session of the server as a value (RFC 1939 s.3 to s.6). Pure:
 * octets, answers of other processes and the time go in; octets and wants come out.
 *
 * The caller (front/main.c, or a test that plays all the outside) does this:
 *
 *     do {
 *             want = session_run(s, now, &in, &out);
 *             ... flush out, do what is wanted, tell the session how it ended ...
 *     } while (...)
 *
 * session_run consumes from the front of `in` what it takes (in.p and in.n move) and
 * appends to `out`. It handles one command at a time: a command that needs the outside is
 * finished before the next line is read, so answers are in order at every depth of a
 * pipeline (RFC 2449 s.6.6). What is left in `in` is the caller's to offer again, in
 * front of what comes later.
 */
#ifndef FRONT_SESSION_H
#define FRONT_SESSION_H

#include "front/session_types.h"

struct session; /* front/session_state.h: plain, so that the caller can embed it */

void session_init(struct session *s, const struct session_options *o,
	const struct session_peer *peer, uint64_t now_ms);
/* Wipes what was secret. The marks (below) are the caller's to free. */
void session_done(struct session *s);

enum session_want session_run(
	struct session *s, uint64_t now_ms, struct view *in, struct buf *out);

/* The moment at which session_expire is due, given what the session is doing. */
uint64_t session_deadline(const struct session *s);
/* The deadline has passed: the next session_run gives WANT_CLOSE. Never deletes. */
void session_expire(struct session *s, uint64_t now_ms);
/* Any progress of a body that is being sent, so that it does not time out. */
void session_progress(struct session *s, uint64_t now_ms);
/* Close for a reason of the caller's; a command that waits is answered first. */
void session_end(struct session *s, enum session_reason why);

/*
 * ---- answers of the outside -------------------------------------------------
 * Each belongs to the want that asked for it. After session_end or session_expire an
 * answer is late and changes nothing (what it brought is the caller's to close).
 */

/* "<...>" for the greeting, or empty: then there is no APOP. Borrowed until session_run.
 */
void session_stamp(struct session *s, struct view stamp);
void session_tls_started(struct session *s, uint64_t now_ms);
/*
 * What the handshake brought: octets of channel binding, a client certificate. After
 * implicit TLS before the first session_run, after STLS before session_tls_started.
 */
void session_bound(struct session *s, bool binding, bool certificate);
/*
 * XCLIENT said this. Then either session_peer_changed (tls of `peer` is not looked at: it
 * stays), which answers +OK, or session_end.
 */
struct pop3_peer session_new_peer(const struct session *s);
void session_peer_changed(struct session *s, const struct session_peer *peer);

/*
 * A login: LOGIN, or, where `continues`, RESPONSE. Then one of _challenge (auth says
 * CHALLENGE), _refused (LOGIN_FAILED, SESSION_REFUSED, REFUSED), or _identified and
 * _attached.
 */
struct session_login session_login(const struct session *s);
/* The question was taken: wipes the scratch. */
void session_login_sent(struct session *s);
/* The random id of this LOGIN (not of its RESPONSEs): a refusal shows it. 0: none. */
void session_set_id(struct session *s, uint32_t id);
/*
 * The client is to be told this, and asked. At most POP3_SASL_MAX octets, borrowed until
 * session_run gives something other than SESSION_WANT_OUTPUT, or session_done. False, and
 * nothing done: auth may not say that now (too long, or no SASL).
 */
[[nodiscard]] bool session_challenge(
	struct session *s, struct view octets, uint64_t now_ms);
/*
 * auth waits for a RESPONSE that will not come: "*", an answer that is no base64, QUIT,
 * the end. Ask after each session_run (before its want is met) and session_end, and
 * before session_done; where it says true, send RESPONSE with `cancelled`, and call
 * _cancelled. A CHALLENGE for a session that has gone while auth was at it is the
 * caller's to cancel.
 */
bool session_owes_cancel(const struct session *s);
void session_cancelled(struct session *s);
/*
 * code: enum refusal; answered after delay_ms. For IN_USE, holder (16 octets or none) and
 * since (0: unknown).
 */
void session_refused(struct session *s, uint8_t code, uint32_t delay_ms,
	struct view holder, uint64_t since, uint64_t now_ms, uint64_t now_unix_s);
/* SESSION_ATTACHED: this user's values, for CAPA. The snapshot is still to come. */
void session_identified(struct session *s, uint32_t expire_days, uint32_t login_delay_s);
/*
 * The maildrop is open. The snapshot is borrowed until session_done. marks: (count + 7) /
 * 8 zeroed octets of the caller's.
 */
void session_attached(struct session *s, const struct snapshot *snap, uint8_t rights,
	uint8_t *marks, uint64_t now_ms);
uint32_t session_msgno(const struct session *s);
/* Of the open maildrop: the size as this client gets the message (RFC 6856 s.2.1). */
uint64_t session_size(const struct session *s, uint32_t msgno);
/* The slice is here and counted: +OK is written with this size. */
void session_slice(struct session *s, uint64_t wire);
/* There is none: -ERR, the session lives on. gone: really removed; else unreadable. */
void session_no_slice(struct session *s, bool gone);
struct session_body session_body(const struct session *s);
/* The body and its terminator were written behind `out`'s octets, in order. */
void session_body_sent(struct session *s, uint64_t now_ms);
/*
 * Marks as in message VERDICT; *ret_count how many are set. WANT_COMMIT comes with none
 * set too: the keeper's answer then says that the lock is free, so that a client which
 * comes back at once after QUIT does not meet its own session.
 */
struct view session_marks(const struct session *s, uint32_t *ret_count);
/* outcome: enum verdict_outcome. */
void session_committed(
	struct session *s, uint8_t outcome, uint32_t removed, uint32_t remain);

/* UTF8 was said: of messages with SNAPSHOT_UTF8 the other form is wanted (WANT, FETCH).
 */
bool session_utf8(const struct session *s);
/* How many messages are marked now; 0 before login. */
uint32_t session_marked(const struct session *s);
uint64_t session_delay_until(const struct session *s);
enum session_reason session_reason(const struct session *s);
const struct session_counts *session_counts(const struct session *s);
/* In TRANSACTION and waiting for the client since this long (for YIELD). 0 if busy. */
uint64_t session_idle_ms(const struct session *s, uint64_t now_ms);

#endif
