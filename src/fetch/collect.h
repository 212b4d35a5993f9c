/*
 * collect.h: one account being collected from: its connection, its session (session.h),
 * its letters on their way, and the jobs that wait for disks on their behalf.
 */
#ifndef FETCH_COLLECT_H
#define FETCH_COLLECT_H

#include "fetch/collect_files.h"
#include "fetch/collect_gain.h"
#include "fetch/collect_tell.h"
#include "fetch/deliver.h"
#include "fetch/fetch_report.h"
#include "fetch/login.h"
#include "fetch/schedule.h"
#include "fetch/session.h"
#include "fetch/work.h"
#include "os/dial.h"
#include "os/loop.h"
#include "os/tls.h"

#define COLLECT_IN_MAX	     (64 * 1024)
#define COLLECT_BATCH_MAX    2048 /* more than COLLECT_HOLD and what is under way */
#define COLLECT_BATCH_MIN    32	  /* fewer wait while more are to come */
#define COLLECT_BATCH_MS     100  /* more wait for no longer */
#define COLLECT_STOCK_MIN    8	  /* fewer files are not made ahead */
#define COLLECT_BATCH_OCTETS (32 * 1024 * 1024)
#define COLLECT_UIDLS_MAX    (256 * 1024 * 1024) /* octets, of one listing */
#define COLLECT_HOLD	     1024 /* letters on their way before no more are asked for */
#define COLLECT_HOLD_MIN     32	  /* where many accounts share them */

/* What all accounts of a run share. */
struct run {
	const struct fetch_settings *settings;
	enum { RUN_COLLECT, RUN_LIST } task;
	struct loop *loop;
	struct work *work;
	struct work_lane secrets; /* one prompt at a time */
	struct secret from_fd;	  /* of --password-fd; for jobs on that lane */
	struct together *together;
	struct state *state;
	struct report *report;
	struct files_plan files;
	uint64_t files_limit;	    /* RLIMIT_NOFILE */
	bool ending;		    /* SIGTERM: sessions end in order */
	uint32_t sessions;	    /* now */
	uint64_t come, come_octets; /* messages, for people */
};

/* Letters that are committed together. */
struct batch {
	struct work_job job;
	struct collect *c;
	struct letter *letters[COLLECT_BATCH_MAX];
	struct mail *mails[COLLECT_BATCH_MAX];
	size_t n;
	uint64_t octets, since_ms; /* its first came */
	int result;
	char why[LETTER_WHY_MAX]; /* of the state, where it failed */
};

struct collect {
	struct run *run;
	const struct fetch_account *account;
	struct remembered memory;
	struct spool *spool;
	struct deliver *deliver;
	struct tls_context *tls;
	struct secret password, token;
	bool has_password, has_token;

	/* The connection. */
	struct dial *dial;
	struct dial_done dialled;
	struct stream stream;
	struct source source;
	struct timer idle;
	bool connected, securing;
	uint64_t progress, patience_ms; /* octets and answers until then */
	uint8_t *in, *scratch;
	size_t in_n;

	/* The session. */
	struct fetch_session *session;
	struct mails mails;
	struct known_table known;
	struct failed_list failed; /* of this run */
	struct undeleted undeleted;
	struct login *login;
	struct letter *letter; /* coming */
	struct header_scan top;
	void *top_digest; /* EVP_MD_CTX */
	uint8_t *header;  /* of TOP, for the filter */
	size_t header_n, header_cap;
	/* Being filled; synced, before the one that is being committed is done. */
	struct batch *batch, *synced;
	uint32_t on_the_way; /* letters in batches */
	uint32_t jobs;	     /* of this session, not done */
	bool commit_wanted, syncing, committing, stocking, ahead;
	uint32_t stock; /* files that the spool is to have */
	struct work_job stock_job;
	bool over, told; /* the session is; finished was called */

	struct work_lane lane, sync_lane, stock_lane;
	/* Told once the session is over, its jobs done and its outcome in
	 * session->outcome. */
	void (*finished)(struct collect *c);
};

/* Connects and runs a session; memory, spool and deliver stand. 0 or -errno. */
[[nodiscard]] int collect_start(struct collect *c);
/* Frees what belonged to the session, after finished. */
void collect_done(struct collect *c);
/* End in order as soon as may be. */
void collect_stop(struct collect *c);

/* ---- among its own files ---- */
void collect_perform(struct collect *c, const struct session_action *a);
/* Performs all that the session asks for now, sends what it wrote, looks for the end. */
void collect_step(struct collect *c);
void collect_letter(struct collect *c, struct mail *m);
void collect_letter_data(struct collect *c, struct view data);
void collect_letter_end(struct collect *c, struct mail *m);
void collect_letter_cut(struct collect *c, struct mail *m, bool last_try);
void collect_letter_drop(struct collect *c);
void collect_letter_free(struct letter *l);
/* What of a session never came to its end. */
void collect_top_drop(struct collect *c);
void collect_batch_drop(struct collect *c);
/* Letters that one account may have on their way: each holds a descriptor. More may be
 * asked for meanwhile (collect_room), and files be made ahead. */
uint32_t collect_share(const struct run *r);
void collect_room(struct collect *c);
void collect_commit(struct collect *c, bool now);
void collect_login(struct collect *c);
void collect_challenge(struct collect *c, struct view challenge, bool answered);
void collect_proof(struct collect *c);
/* Jobs. */
void collect_load(struct collect *c);
void collect_mark(struct collect *c);
void collect_stock(struct collect *c);
void collect_filter(struct collect *c, struct mail *m);
void collect_planned(struct collect *c);
/* The marks of the session into the state; on a thread. */
[[nodiscard]] int collect_write_marks(struct collect *c, bool end);

#endif
