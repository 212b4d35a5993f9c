/*
 * permit.h: the small closed sets that cross between processes.
 *
 * The permit itself (contract 1) is the message GRANT from auth to the monitor and
 * ATTACH from the monitor to the keeper: who, which maildrop, which rights.
 */
#ifndef IPC_PERMIT_H
#define IPC_PERMIT_H

#include "ipc/ways.h"

/*
 * A session number of a front: from this bit up a count that rises by one with each login
 * and is never used twice, from 1; below it the front's own place for it. Auth tells by
 * the count whether a session asks or was granted already; the monitor by the whole
 * number.
 */
#define SESSION_COUNT_BIT 24

/* What a session may do; bits of GRANT.rights and ATTACH.rights. */
enum right {
	RIGHT_READ = 1,
	RIGHT_DELETE = 2,
	RIGHT_DELIVER = 4,
};

enum store_kind {
	STORE_MAILDIR = 1,
	STORE_MBOX = 2,
};

/* Where users come from. The system's accounts and all below are asked through a helper.
 */
enum backend {
	BACKEND_FILE = 1,
	BACKEND_SYSTEM = 2,  /* restante-auth-pam: PAM and the name service */
	BACKEND_SQL = 3,     /* restante-auth-sql: SQLite or PostgreSQL */
	BACKEND_LDAP = 4,    /* restante-auth-ldap */
	BACKEND_COMMAND = 5, /* restante-auth-command: the checkpassword interface */
	/* No databases: these say whose a token or a ticket is. */
	BACKEND_OAUTH = 6, /* restante-auth-oauth */
	BACKEND_KRB5 = 7,  /* restante-auth-krb5 */
	BACKENDS_END
};

/* As what a database stores its passwords; bits, so that there may be several. */
enum stored_form {
	STORED_HASH = 1,	  /* crypt(3) and the like: the password must come */
	STORED_SCRAM_SHA_256 = 2, /* keys of SCRAM */
	STORED_SCRAM_SHA_1 = 4,
	STORED_PLAIN = 8, /* the password itself */
	STORED_END = 16	  /* one beyond the last */
};

/* What a helper is asked. */
enum ask_kind {
	ASK_LOOKUP = 1, /* the user of this name; no password is there (delivery, SCRAM,
			   tokens) */
	ASK_VERIFY = 2, /* name and password: FOUND if the line has a hash, or if it was
			   right */
	ASK_TOKEN =
		3, /* an OAuth token (secret); name: as the client claims, may be empty */
	ASK_STEP =
		4, /* the next octets (secret) of a conversation: GSSAPI, or an AP-REQ */
	ASK_END = 5, /* the conversation is over; no answer */
};

enum ask_outcome {
	ANSWER_FOUND =
		1, /* line. To ASK_VERIFY without a hash in it: the password was right */
	ANSWER_NO_USER =
		2, /* this database does not know the name: the next one is asked */
	ANSWER_WRONG = 3, /* known, or not told apart from it, and not let in */
	ANSWER_TEMPORARY =
		4, /* the database does not answer: [SYS/TEMP], nobody else is asked */
	ANSWER_CHALLENGE = 5, /* octets, and the conversation goes on */
	ANSWER_NAME =
		6, /* token or ticket are good, `name` is the user; octets may be there */
};

/*
 * Why a login is refused, and what the client is told (RFC 2449 s.8.1.1, RFC 3206).
 * From 1 up; 0 is never sent.
 */
enum refusal {
	REFUSAL_CREDENTIALS = 1, /* -ERR [AUTH]: name or password, one text for both */
	REFUSAL_TEMPORARY = 2,	 /* -ERR [SYS/TEMP]: try again later */
	REFUSAL_PERMANENT = 3,	 /* -ERR [SYS/PERM]: an operator must act */
	REFUSAL_IN_USE = 4,	 /* -ERR [IN-USE]: another session holds the maildrop */
	REFUSAL_CONNECTIONS = 5, /* -ERR [IN-USE]: too many sessions of this user */
	REFUSAL_BUSY = 6,	 /* -ERR [SYS/TEMP]: queue of logins is full */
	REFUSAL_LOGIN_DELAY = 7, /* -ERR [LOGIN-DELAY]: too soon after the last login */
	REFUSAL_NO_USER = 8,	 /* LMTP only: 550 5.1.1, there is no such user */
	REFUSAL_POLICY = 9, /* -ERR [AUTH]: the password was right, but may not be used
			       so: `restante why` says what forbids it */
	REFUSAL_TOO_MANY =
		10,	      /* -ERR [SYS/TEMP]: too many logins of this user a minute */
	REFUSAL_NOT_NOW = 11, /* a front's own, for a TEMPORARY of auth, or no auth:
				 -ERR [SYS/TEMP]: nobody's maildrop was looked at */
};

enum verdict_outcome {
	VERDICT_DONE = 1,      /* every marked message is durably gone */
	VERDICT_PARTIAL = 2,   /* some are still there: DONE.remain says how many */
	VERDICT_LOST_LOCK = 3, /* nothing was removed */
	VERDICT_UNKNOWN = 4,   /* the removal may not be durable */
	VERDICT_DENIED = 5,    /* the permit lacks RIGHT_DELETE; nothing was removed */
};

/* What became of a message that was handed in; the classes of RFC 3463. */
enum deposit_outcome {
	DEPOSIT_DONE = 1,      /* durable, file and directory */
	DEPOSIT_TEMPORARY = 2, /* 4.3.0: nothing is there, or its directory could not be
				  synced and it was taken out again */
	DEPOSIT_FULL = 3,      /* 4.2.2: the owner's quota */
	DEPOSIT_NO_SPACE = 4,  /* 4.3.1: the disk */
	DEPOSIT_TOO_LARGE = 5, /* 5.3.4: larger than the file system or the store takes */
	DEPOSIT_CLOSED = 6,    /* 4.2.0: the maildrop cannot be opened or written */
	DEPOSIT_DENIED = 7,    /* the permit lacks RIGHT_DELIVER */
};

enum control_command {
	CONTROL_RELOAD = 1, /* as SIGHUP */
	CONTROL_DRAIN = 2,  /* as SIGTERM */
};

#endif
