/*
 * ways.h: the ways in: how a client proves who it is, and what a listener lets
 * connections claim. Numbers that cross between processes, as those of permit.h do, which
 * includes this.
 */
#ifndef IPC_WAYS_H
#define IPC_WAYS_H

/* How the client proves who it is; LOGIN.mechanism. A new one is a new row. */
enum mechanism {
	MECHANISM_PASS = 1,  /* name and password as such: USER and PASS */
	MECHANISM_PLAIN = 2, /* RFC 4616: response is [authzid] NUL authcid NUL passwd */
	MECHANISM_LOGIN = 3, /* two challenges: the name, the password */
	MECHANISM_CRAM_MD5 = 4,		/* RFC 2195 */
	MECHANISM_SCRAM_SHA_1 = 5,	/* RFC 5802 */
	MECHANISM_SCRAM_SHA_1_PLUS = 6, /* with the binding of LOGIN */
	MECHANISM_SCRAM_SHA_256 = 7,	/* RFC 7677 */
	MECHANISM_SCRAM_SHA_256_PLUS = 8,
	MECHANISM_EXTERNAL = 9,	    /* RFC 4422 A: the certificate of LOGIN */
	MECHANISM_GSSAPI = 10,	    /* RFC 4752 */
	MECHANISM_OAUTHBEARER = 11, /* RFC 7628 */
	MECHANISM_XOAUTH2 = 12,
	MECHANISM_APOP = 13, /* RFC 1939 s.7: name and digest (32 hex digits) */
	/*
	 * A Kerberos AP-REQ (RFC 4120 s.5.5.1) came before the greeting: it is the
	 * response of LOGIN; the CHALLENGE is the AP-REP or empty, and the RESPONSE is
	 * the name that USER gave, which must be the ticket's.
	 */
	MECHANISM_KPOP = 14,
	MECHANISMS_END /* one beyond the last */
};

/* What the connections of a listener may claim; bits. */
enum assertion {
	ASSERT_ADDRESS = 1,	/* PROXY or XCLIENT: another address than the socket's */
	ASSERT_CERTIFICATE = 2, /* a client certificate */
};

/* Channel binding of SCRAM-...-PLUS; LOGIN.binding_kind. */
enum binding {
	BINDING_NONE = 0,
	BINDING_TLS_EXPORTER = 1, /* RFC 9266, TLS 1.3: 32 octets */
	BINDING_TLS_UNIQUE = 2,	  /* RFC 5929 s.3, TLS 1.2 with extended master secret */
};

/* Which handshakes a listener takes. */
enum tls_profile {
	TLS_PROFILE_DEFAULT = 0, /* TLS 1.2 with ECDHE and AEAD, and 1.3 */
	TLS_PROFILE_MODERN = 1,	 /* TLS 1.3 */
	TLS_PROFILE_OLD = 2,	 /* TLS 1.0 and newer, ECDHE still; for old programs */
};

#endif
