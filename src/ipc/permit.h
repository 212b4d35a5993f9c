/*
 * permit.h: the small closed sets that cross between processes.
 *
 * The permit itself (contract 1) is the message GRANT from auth to the monitor and
 * ATTACH from the monitor to the keeper: who, which maildrop, which rights.
 */
#ifndef IPC_PERMIT_H
#define IPC_PERMIT_H

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

/* How the client proves who it is; LOGIN.mechanism. A new one is a new row. */
enum mechanism {
	MECHANISM_PASS = 1,  /* name and password as such: USER and PASS */
	MECHANISM_PLAIN = 2, /* RFC 4616: response is [authzid] NUL authcid NUL passwd */
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
