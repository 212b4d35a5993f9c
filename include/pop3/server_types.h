/*
 * server_types.h: what goes into the server's side of POP3 and comes out of it
 * (pop3/server.h).
 */
#ifndef POP3_SERVER_TYPES_H
#define POP3_SERVER_TYPES_H

#include "pop3/reply.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

POP3_C_BEGIN
enum pop3_state {
	POP3_AUTHORIZATION,
	POP3_SASL, /* within AUTH: the next line is a response */
	POP3_TRANSACTION,
	POP3_UPDATE, /* QUIT was read: nothing more is */
};

enum pop3_command {
	POP3_CAPA,
	POP3_STLS,
	POP3_USER,
	POP3_PASS,
	POP3_AUTH,
	POP3_QUIT,
	POP3_STAT,
	POP3_LIST,
	POP3_RETR,
	POP3_DELE,
	POP3_NOOP,
	POP3_RSET,
	POP3_TOP,
	POP3_UIDL,
	POP3_LAST,
	POP3_APOP,
	POP3_UTF8,
	POP3_LANG,
	POP3_XCLIENT,
	POP3_COMMANDS, /* how many */
};

/* Rows of wire/pop3_mechanisms.def, in the order in which they are announced. */
enum pop3_mechanism {
	POP3_MECHANISM_SCRAM_SHA_256_PLUS,
	POP3_MECHANISM_SCRAM_SHA_1_PLUS,
	POP3_MECHANISM_SCRAM_SHA_256,
	POP3_MECHANISM_SCRAM_SHA_1,
	POP3_MECHANISM_EXTERNAL,
	POP3_MECHANISM_GSSAPI,
	POP3_MECHANISM_OAUTHBEARER,
	POP3_MECHANISM_XOAUTH2,
	POP3_MECHANISM_CRAM_MD5,
	POP3_MECHANISM_PLAIN,
	POP3_MECHANISM_LOGIN,
	POP3_MECHANISMS, /* how many */
};

#define POP3_EXPIRE_NEVER UINT32_C(0xFFFFFFFF)

/* Does not change during a session; borrowed. */
struct pop3_server_options {
	struct view hostname;	    /* for the greeting; may be empty */
	struct view implementation; /* for CAPA; empty: not announced */
	uint32_t expire_days;	    /* RFC 2449 s.6.7; POP3_EXPIRE_NEVER */
	uint32_t login_delay_s;	    /* RFC 2449 s.6.5; 0: not announced */
	bool expire_differs,
		login_delay_differs; /* between users: " USER" before login */
	bool last;		     /* LAST of RFC 1460 is a command */
	bool utf8;		     /* UTF8 and LANG of RFC 6856 are */
	enum pop3_language language; /* until LANG, and of "LANG *" */
	uint32_t max_bad_commands;   /* in a row; 0: no limit */
};

/* What is true of the connection, and what may be offered on it. */
struct pop3_link {
	bool tls;
	bool tls_available; /* STLS can be done */
	bool plaintext;	    /* passwords may be sent without TLS */
	bool user;	    /* USER and PASS may be offered */
	bool apop;	    /* the greeting has a stamp: APOP is a command */
	bool xclient;	  /* this peer may say for whom it speaks: XCLIENT is a command */
	bool binding;	  /* channel binding data is there */
	bool certificate; /* the client has shown a certificate */
	uint32_t mechanisms; /* bit i: enum pop3_mechanism i may be offered */
};

/* Where a client is that comes through another server (XCLIENT). */
struct pop3_peer {
	bool has_address, has_port;
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
};

enum pop3_event {
	POP3_NEED_INPUT, /* no whole line yet: what is left must be offered again */
	POP3_COMMAND,	 /* a command that is legal here, its arguments are sound */
	POP3_RESPONSE, /* request->text is the client's SASL response, not yet decoded */
	POP3_BAD,      /* request->reply is the answer; it counts as a bad command */
	POP3_REFUSED,  /* request->reply is the answer; it does not */
	POP3_FLOOD,    /* a line without end: close */
};

/* Views lie in `in` (text) or in the server (name); both live until the next call. */
struct pop3_request {
	enum pop3_command command;
	enum pop3_reply reply;
	bool has_msgno;	    /* LIST and UIDL may come without */
	bool has_mechanism; /* AUTH without one lists them */
	bool has_text;	    /* AUTH with an initial response, LANG with a language */
	bool is_response;   /* POP3_RESPONSE: the AUTH line came before */
	enum pop3_mechanism mechanism;
	uint64_t msgno;		     /* as written, so it may be 0 or no message's */
	uint64_t lines;		     /* TOP */
	struct view name;	     /* PASS: the name of USER; APOP: its name */
	struct view text;	     /* USER, PASS, AUTH: byte-exact; APOP: the digest */
	enum pop3_language language; /* LANG with has_text; it counts already */
	struct pop3_peer peer;	     /* XCLIENT */
};
POP3_C_END
#endif
