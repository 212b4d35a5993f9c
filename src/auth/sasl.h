/*
 * sasl.h: one login as a conversation: octets of the client go in; what is to be said,
 * and what must be known for it, come out. GNU SASL speaks for the mechanisms that it
 * has; PASS, APOP, OAUTHBEARER, XOAUTH2 and KPOP are ours. It makes no system call after
 * sasl_new; it allocates (bounded for each conversation).
 *
 *     talk = sasl_begin(s, &facts);
 *     act = sasl_start(talk, has_response, response, &r);
 *     ... act on it, and go on with the function that its row names ...
 *
 * Every name that comes out is prepared (SASLprep, RFC 4013, where it is UTF-8) and at
 * most 255 octets without NUL. One that cannot be comes out empty in SASL_CHECK and
 * SASL_USER: ask no database for it; it is as unknown as any other, and costs as much
 * (its dummy is that of the empty name). In SASL_TOKEN an empty name says that none was
 * claimed. In SASL_YES a name is never empty.
 */
#ifndef AUTH_SASL_H
#define AUTH_SASL_H

#include "auth/scheme.h"
#include "auth/users_line.h"
#include "ipc/permit.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

struct sasl; /* the library's context and our keys: one a process, made before the cage */
struct sasl_talk; /* one login */

struct sasl_facts {
	enum mechanism mechanism;
	bool utf8;
	struct view name; /* USER, or of APOP; else empty */
	enum binding binding_kind;
	struct view binding;
	struct view certificate; /* SHA-256, or empty */
	struct view stamp;	 /* of APOP, as it stood in the greeting */
	bool plus_offered; /* -PLUS was offered on this connection (then binding data is
			      given to SCRAM without it too, against downgrades) */
};

enum sasl_act {
	SASL_SAY,   /* CHALLENGE with out; then sasl_heard */
	SASL_CHECK, /* is `secret` the password of `name`? then sasl_checked */
	SASL_USER,  /* the stored password of `name` is needed; then sasl_user */
	SASL_TOKEN, /* whose is the token `secret`? `name`: as claimed, may be empty; then
		       sasl_named */
	SASL_DERIVE, /* some ms of CPU: sasl_derive on a thread of the pool (or here);
			then sasl_derived */
	SASL_TICKET, /* octets for the Kerberos helper: `secret`; then sasl_ticket */
	SASL_YES,    /* this is `name`: look it up (if it was not) and grant */
	SASL_NO,     /* wrong; `reason` for the log */
	SASL_BAD, /* the client broke the mechanism's rules; `reason`. He is told the same
		   */
	SASL_LATER, /* temporary: memory, or a helper that does not answer */
};

/* The views live until the next call for that conversation. */
struct sasl_result {
	enum sasl_act act;
	struct view name, secret, out;
	const char *reason;
};

/*
 * NULL where there is no memory or the library does not work. hostname: copied; realm:
 * for a mechanism that has one. key: copied; the salts of passwords that are stored as
 * such, and of unknown names, hang on it. It has to live longer than a process that can
 * be made to end: a salt that is stored does not change then, and so would be known.
 */
#define SASL_KEY_OCTETS 32
struct sasl *sasl_new(
	struct view hostname, struct view realm, const uint8_t key[SASL_KEY_OCTETS]);
void sasl_free(struct sasl **s); /* after the last talk */
/* NULL: no memory. Facts are copied. */
struct sasl_talk *sasl_begin(struct sasl *s, const struct sasl_facts *facts);
void sasl_end(struct sasl_talk **t); /* wiped */

void sasl_start(struct sasl_talk *t, bool has_response, struct view response,
	struct sasl_result *ret);
void sasl_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void sasl_checked(
	struct sasl_talk *t, enum scheme_answer answer, struct sasl_result *ret);
/*
 * known: the user is there and may succeed; else `stored` is the dummy of that name, and
 * the conversation goes on as if, to the same end at the same cost. Of his record it
 * looks at has_stored, stored, policy.certificates and policy.apop; `stored` is copied as
 * far as it is needed.
 */
void sasl_user(struct sasl_talk *t, bool known, const struct user *user,
	struct sasl_result *ret);
/*
 * The keys of SCRAM out of a password that is stored as such (or out of none: a user who
 * is not there costs the same): 4096 rounds, 1 to 3 ms. It touches nothing but the talk,
 * so any thread may do it while nobody else touches that talk; sasl_end must wait for it.
 */
void sasl_derive(struct sasl_talk *t);
void sasl_derived(struct sasl_talk *t, struct sasl_result *ret);
/* yes: the token is good and `name` its user. no: the error JSON goes out first (RFC 7628
 * s.3.2.2). */
void sasl_named(struct sasl_talk *t, bool yes, struct view name, struct sasl_result *ret);
/* What the helper said: outcome (CHALLENGE, NAME, WRONG, TEMPORARY), its octets and name.
 */
void sasl_ticket(struct sasl_talk *t, enum ask_outcome outcome, struct view octets,
	struct view name, struct sasl_result *ret);

/*
 * The client was told already that it failed and only its answer to that is missing
 * (RFC 7628 s.3.2.2): who goes away now has failed all the same.
 */
bool sasl_is_refused(const struct sasl_talk *t);

/*
 * Which mechanisms a stored password can serve: bits 1 << enum mechanism. A plain one:
 * all but those of tokens, tickets and certificates. A SCRAM key: its own, PASS, PLAIN,
 * LOGIN. Any other hash: PASS, PLAIN, LOGIN.
 */
uint32_t sasl_mechanisms_of(const struct stored *stored);

#endif
