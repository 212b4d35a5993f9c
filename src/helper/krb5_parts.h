/* krb5_parts.h: the parts of restante-auth-krb5. */
#ifndef HELPER_KRB5_PARTS_H
#define HELPER_KRB5_PARTS_H

#include "base/buf.h"
#include "helper/helper.h"
#include "helper/krb5_replay.h"
#include "pop3/view.h"

#include <gsasl.h>
#include <krb5.h>
#include <stdbool.h>
#include <stdint.h>

#define KRB5_SERVICE	 "pop"
#define KRB5_TALKS_MAX	 256
#define KRB5_TALK_MS	 60000 /* from the first to the last octet of a conversation */
#define KRB5_DISPLAY_MAX 512

/* One conversation of GSSAPI. */
struct krb5_talk {
	uint64_t number; /* 0: free */
	uint64_t until_ms;
	Gsasl_session *session;
	char display[KRB5_DISPLAY_MAX]; /* the principal, once it is known */
	char authzid[KRB5_DISPLAY_MAX];
	bool is_named;
};

struct krb5_helper {
	krb5_context context;
	krb5_keytab keytab; /* in memory */
	Gsasl *gsasl;
	const char *realm, *hostname;
	bool full_names;
	uint64_t start_us;
	struct krb5_replays replays;
	struct krb5_talk talks[KRB5_TALKS_MAX];
};

/* Whose principal this is: NULL and the name, or why nobody's (static). */
const char *krb5_user_of(
	const struct krb5_helper *k, krb5_const_principal principal, struct buf *ret);

/* Before the cage: loads what GNU SASL loads late. NULL, or what is wrong. */
const char *krb5_gssapi_start(struct helper *h, struct krb5_helper *k);
void krb5_gssapi_step(
	struct krb5_helper *k, const struct helper_ask *a, struct helper_answer *ret);
void krb5_gssapi_end(struct krb5_helper *k, uint64_t talk);
/* Ends those whose time is over; all: every one. */
void krb5_gssapi_sweep(struct krb5_helper *k, bool all);

/* One AP-REQ (RFC 4120 s.3.2). */
void krb5_kpop(
	struct krb5_helper *k, const struct helper_ask *a, struct helper_answer *ret);

#endif
