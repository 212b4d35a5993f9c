/*
 * session_action.h: what a session asks of who runs it, and how it ended.
 */
#ifndef FETCH_SESSION_ACTION_H
#define FETCH_SESSION_ACTION_H

#include "fetch/fetch_report.h"
#include "fetch/mails.h"
#include "pop3/client.h"

enum session_action_kind {
	SESSION_WAIT,	   /* for the next event */
	SESSION_START_TLS, /* send `out`, then TLS; session_secured. No input is left. */
	SESSION_LOGIN,	   /* as login_choice `choice`: session_login_* */
	SESSION_CHALLENGE, /* `data`: session_respond or session_cancel, unless `answered`
			    */
	SESSION_LOGGED_IN, /* session_login_proved: has the server proved itself? */
	SESSION_LOAD,	   /* session_loaded with all that is known of the account */
	SESSION_HEADER,	   /* `data` of TOP of `mail` */
	SESSION_HEADER_END, /* session_header with its digest */
	SESSION_FILTER,	    /* session_filtered, some time */
	SESSION_MARK,	    /* what was planned is to be remembered: session_marked */
	SESSION_PLANNED,    /* for people: the table is decided */
	SESSION_LETTER,	    /* `mail` begins */
	SESSION_DATA,	    /* `data` of it */
	SESSION_LETTER_END, /* it is whole; session_committed, some time */
	SESSION_LETTER_CUT, /* it will never be; `last_try`: keep what came; mail may be
			       NULL */
	SESSION_COMMIT,	    /* commit what has come now, nothing more comes for a while */
	SESSION_TELL,	    /* `event` with `facts` */
	SESSION_FINISH,	    /* close; s->outcome is set */
};

struct session_action {
	enum session_action_kind kind;
	struct mail *mail;
	struct view data;
	bool last_try, answered;
	enum report_event event;
	struct report_facts facts;
};

struct session_counts {
	uint32_t fetched, committed, failed, temporary, quarantined, deleted, dele_sent,
		dele_waiting, uncommitted, suspects, tops_waiting, filters_waiting,
		undeleted, again; /* again: of the committed, fetched only to be told */
	uint64_t octets;
};

enum session_outcome_kind {
	OUTCOME_OK,
	OUTCOME_MORE,	   /* in order, and there is more: connect again */
	OUTCOME_CUT,	   /* the connection broke; what was committed is committed */
	OUTCOME_TEMPORARY, /* the server said: later */
	OUTCOME_REFUSED,   /* the login */
	OUTCOME_PROTOCOL,  /* this is no POP3 that can be understood, or it is not safe */
	OUTCOME_UNREACHABLE,
	OUTCOME_LOCAL, /* disk, state, target */
	OUTCOME_FILE,  /* one that the account names (ca) is not there, or is none */
};
struct session_outcome {
	enum session_outcome_kind kind;
	enum pop3_code code;
	uint64_t wait_s; /* the server asks for (LOGIN-DELAY); 0: nothing said */
	char why[LETTER_WHY_MAX];
};

#endif
