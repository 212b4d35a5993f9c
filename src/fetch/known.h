/*
 * known.h: what is remembered of an account and its messages, as values; state.c keeps
 * them.
 */
#ifndef FETCH_KNOWN_H
#define FETCH_KNOWN_H

#include "fetch/letter.h"

enum known_stage {
	KNOWN_SEEN = 0,	   /* listed, nothing done yet (tries counts) */
	KNOWN_INTENDED,	   /* journalled, on its way */
	KNOWN_SYNCED,	   /* delivered at every target, durable */
	KNOWN_ADOPTED,	   /* marked as seen, never fetched */
	KNOWN_QUARANTINED, /* given up */
	KNOWN_SKIPPED,	   /* a filter or a policy said so for ever */
	KNOWN_STAGES,
};

/* A message of an account as remembered. */
struct known {
	int64_t row;
	struct view uid;			    /* in the table's memory */
	uint64_t size;				    /* LIST's; UINT64_MAX not known */
	uint64_t first_seen_s, delivered_s, gone_s; /* unix time; 0: not (yet) */
	uint8_t header[HEADER_DIGEST];
	uint8_t digest[HEADER_DIGEST]; /* the first octets of its own; 0: not known */
	bool has_header;
	bool dele_sent; /* DELE was sent, QUIT not confirmed */
	uint8_t stage;	/* enum known_stage */
	uint8_t tries;	/* runs in which it failed by itself or the server, never by a
			   target */
	uint8_t failed; /* how often in this run; not in the state */
};

/* All of an account's, sorted by uid (octets, then length); one malloc for each array. */
struct known_table {
	struct known *rows;
	size_t n;
	uint8_t *memory;
};
void known_free(struct known_table *t);
/* The row of that uid, or NULL. Pure. */
const struct known *known_find(const struct known_table *t, struct view uid);
/* What was put aside and is listed yet counts as never tried. Pure. */
void known_retry_aside(struct known_table *t);
/* The number of rows before that uid. Pure. */
size_t known_before(const struct known_table *t, struct view uid);

#define KNOWN_FAILED_MAX 2 /* then it is left for the next run */
#define EARLY_FAULTS_MAX 2 /* then it is spoken to only after its greeting */
#define PROBES_MAX	 16
#define PROBE_UID_MAX	 128
struct probe {
	uint32_t msgno;
	uint8_t uid_n;
	uint8_t uid[PROBE_UID_MAX];
};

/* What is remembered of an account and of its server. */
struct remembered {
	int64_t row;	  /* 0: the account is new */
	char former[256]; /* it is new, and this name is known of its host and user */
	bool tls_seen;
	bool over_tls;	       /* what follows was learnt behind TLS */
	bool has_capabilities; /* before login (over TLS where there is TLS); after login
				*/
	struct pop3_capabilities_kept {
		uint32_t has, login_delay_s;
		char mechanisms[512];
	} before, after;
	char mechanism[32]; /* that worked last; "" none */
	bool fell_back;	    /* to it: what is better was refused */
	bool unstuffed;	    /* the server does not stuff dots */
	bool sizes_lie;	    /* LIST does not agree with RETR */
	bool has_no_uidl, has_no_top;
	bool not_ahead;	 /* it forgets what is sent with the login */
	bool all_listed; /* nothing that was known was missing from the last whole listing
			  */
	bool step_by_step;    /* of this run: a login in one flight was refused */
	uint8_t early_faults; /* logins before the greeting that went wrong, in a row */
	/* The listing as it was after the last session that ended in order (QUIT +OK),
	 * less what was deleted; count UINT32_MAX: not known. */
	uint32_t count;
	uint64_t octets;
	uint8_t probes_n;
	struct probe probes[PROBES_MAX]; /* the last message first, then some at random */
	uint64_t next_delete_s; /* when the next message falls due by delete_after; 0:
				   none */
	uint64_t last_success_s, next_poll_s, last_try_s;
	uint32_t failures;		  /* in a row */
	uint32_t refusals, uidl_refusals; /* of the login, of UIDL; in a row */
	char last_error[LETTER_WHY_MAX];
	uint64_t collected, collected_octets; /* in all */
	uint64_t policy;      /* plan_fingerprint of the session that left `count` */
	uint64_t interval_ms; /* adaptive polling */
	uint8_t *tls_session; /* malloc'ed; the owner frees */
	size_t tls_session_n;
};

#endif
