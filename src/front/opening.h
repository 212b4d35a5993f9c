/*
 * opening.h: what comes before the session of a connection: whose it is (PROXY header,
 * XCLIENT), TLS as its listener wants it, and the Kerberos ticket of KPOP.
 */
#ifndef FRONT_OPENING_H
#define FRONT_OPENING_H

#include "front/conn.h"

/* The session as a value, for the address that the connection has now. */
void opening_session(struct conn *c, bool kpop);
/* What is true of the connection, for the session. */
struct session_peer opening_peer(const struct conn *c);
/* The address is known: TLS, Kerberos, or the session. 0 or -errno. */
[[nodiscard]] int opening_begin(struct conn *c);
/* TLS on the server's side, as the listener's rules want it. */
[[nodiscard]] enum stream_result opening_tls(struct conn *c);
/* TLS stands: tells the session what it brought. */
void opening_bound(struct conn *c);
enum step opening_proxy(struct conn *c, struct turn *t);
enum step opening_kpop(struct conn *c, struct turn *t);
enum step opening_kpop_yes(struct conn *c, struct turn *t);
enum step opening_kpop_no(struct conn *c, struct turn *t);
/* Auth's word on an AP-REQ; the connection is to be looked at again. */
void opening_kpop_refused(struct conn *c, uint8_t code, uint32_t delay_ms);
/* XCLIENT: the session's client is another. */
enum step opening_peer_said(struct conn *c);

#endif
