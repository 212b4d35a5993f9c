/*
 * pop3_xclient.h: the arguments of XCLIENT, as Postfix and Dovecot write them:
 *
 *     ADDR=192.0.2.7 PORT=40000        ADDR=IPV6:2001:db8::7        PORT=[UNAVAILABLE]
 *
 * Values are xtext (RFC 3461 s.4). Only a peer that the operator listed may say it.
 */
#ifndef WIRE_POP3_XCLIENT_H
#define WIRE_POP3_XCLIENT_H

#include "pop3/server_types.h"

/*
 * False: an attribute that is not ADDR or PORT (LOGIN above all: nobody is logged in by
 * somebody's word), one that stands twice, a value that is none, or nothing at all. What
 * is [UNAVAILABLE] or [TEMPUNAVAIL] is as if it were not there.
 */
[[nodiscard]] bool xclient_parse(struct view arguments, struct pop3_peer *ret);

#endif
