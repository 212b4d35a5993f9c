/*
 * kpop.h: how a connection to port 1109 begins: the server's side of Kerberos 5 sendauth,
 * as the clients of MIT and Heimdal speak it. Behind it comes POP3, greeting first.
 *
 *     client   length u32 (big-endian), "KRB5_SENDAUTH_V1.0" NUL
 *     client   length, "KPOPV1.0" NUL
 *     server   one octet: 0 go on, 1 not this sendauth, 2 not this application
 *     client   length, AP-REQ
 *     server   length 0, or length, KRB-ERROR (then it ends)
 *     server   length, AP-REP; only if the client asked for mutual authentication
 */
#ifndef WIRE_KPOP_H
#define WIRE_KPOP_H

#include "pop3/output.h"
#include "pop3/view.h"

#include <stdint.h>

/* Of an AP-REQ, which must fit message LOGIN. */
#define KPOP_REQUEST_MAX 12288
/* What a cut message in `in` may grow to. */
#define KPOP_INPUT_MAX (4 + KPOP_REQUEST_MAX)
/* Room that the calls below want in `out`, beside an AP-REP. */
#define KPOP_PUT_MAX 256

enum kpop_outcome {
	KPOP_MORE,    /* what is left in `in` is a part of a message */
	KPOP_REQUEST, /* the AP-REQ; nothing more comes from the client before the answer
		       */
	KPOP_BAD,     /* not KPOP, or too long: send what is in `out`, close */
};

struct kpop {
	uint8_t step; /* messages of the client that were taken */
};

/*
 * Takes messages from the front of `in` (in->p and in->n move), writes the status octet
 * into `out`. *ret_request lies in `in`'s octets. Not to be called after KPOP_REQUEST or
 * KPOP_BAD.
 */
[[nodiscard]] enum kpop_outcome kpop_read(
	struct kpop *k, struct view *in, struct buf *out, struct view *ret_request);

/* The ticket was good. ap_rep: empty where the client did not ask for it. */
void kpop_put_yes(struct view ap_rep, struct buf *out);
/* A KRB-ERROR (RFC 4120 s.5.9.1), generic; `why` for people, up to 100 octets of ASCII.
 */
void kpop_put_no(uint64_t now_unix_s, struct view why, struct buf *out);

#endif
