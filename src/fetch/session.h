/*
 * session.h: one POP3 session of the retriever, from the greeting to QUIT's answer, as
 * decisions. Pure: events and the time go in, octets for the server appear in `out`, and
 * session_next gives one action after the other until SESSION_WAIT.
 *
 *     session_init -> session_connected -> { session_next, perform, send `out` } ...
 *
 * Everything that is known ahead goes in one flight where the server has PIPELINING, else
 * one command at a time.
 */
#ifndef FETCH_SESSION_H
#define FETCH_SESSION_H

#include "fetch/login.h"
#include "fetch/plan.h"
#include "fetch/session_action.h"
#include "fetch/state.h"

enum session_step {
	STEP_GREETING,
	STEP_CAPA,
	STEP_STLS,
	STEP_TLS,
	STEP_LOGIN,
	STEP_PROOF,
	STEP_LIST,
	STEP_LOAD,
	STEP_TOP,
	STEP_MARK,
	STEP_MAIL,
	STEP_QUIT,
	STEP_END,
};

#define SESSION_OUT_MAX	  (32 * 1024)
#define SESSION_QUEUE_MAX 16
#define SESSION_TODO_MAX  128
#define SESSION_CAPA_MAX  1000 /* rows, before and after login together */
#define SESSION_MARKS_MAX 4    /* of one mail */
#define SESSION_TOP_MAX	  (4 * 1024 * 1024)

struct fetch_session {
	const struct fetch_account *account;
	struct remembered *memory; /* learns what this session sees */
	struct mails *mails;
	const struct known_table *known;
	struct pop3_client client;
	struct pop3_capabilities caps;			/* in force */
	bool has_caps, caps_fresh, pipelining, ready;	/* ready: after login */
	bool tls, has_binding, has_password, has_token; /* set before session_connected */
	bool list_only, held, quit_ok, stopping, exchange, ahead, begins_anew;
	bool early;	 /* the login went out before the greeting came */
	char words[160]; /* of a login's error document; then of a refused DELE */
	enum session_step step;
	struct login_choice choice;
	char tried[256]; /* refused ways; bound: -PLUS was, other: one more was */
	bool bound, other, challenged, unproved; /* unproved: the server, to us */
	struct view user, password;		 /* while USER waits for its answer */
	uint16_t stamp_n;
	uint8_t stamp[POP3_STATUS_MAX];
	/* the listing */
	struct {
		uint8_t command;
		uint32_t msgno;
	} todo[SESSION_TODO_MAX];
	uint32_t todo_n, todo_sent, todo_done;
	bool planned; /* every message is decided */
	bool quick, whole, uidl_failed, uidl_later, list_failed, tail_asked;
	uint64_t rows, odd_rows, capa_rows, top_octets;
	uint32_t tops_refused, retrievals, room;
	bool tops_given, deletions_due, deletions_looked, commit_asked, unsure_left;
	uint32_t stat_count, probes_wrong;
	uint64_t stat_octets;
	bool has_stat, doubted; /* doubted: `coming` has ended, shorter than LIST says */
	struct mail *coming;
	uint32_t guess; /* RETR of this message is under way, unasked (session_guess.c) */
	bool guess_due, guess_open, guess_dropped, guess_whole;
	uint64_t guess_octets, guess_dots, guess_lone_dots; /* of its end */
	uint32_t order_sent;				    /* of mails->order */
	uint32_t check_next, dele_next; /* where to look on in the table */
	uint64_t asked_octets, seed;
	uint64_t now_ms, now_s, logged_in_ms, noop_ms;
	struct session_counts counts;
	struct session_outcome outcome;
	struct session_action queue[SESSION_QUEUE_MAX];
	uint32_t queue_first, queue_n;
	struct buf out;
	uint8_t out_octets[SESSION_OUT_MAX];
};

void session_init(struct fetch_session *s, const struct fetch_account *a,
	struct remembered *memory, struct mails *mails, uint64_t seed);
/* The transport stands (with TLS where tls = tls); the greeting is awaited. */
void session_connected(struct fetch_session *s);
void session_secured(struct fetch_session *s);
/* Octets that came are in *in; action->data lies there or in scratch. */
void session_next(struct fetch_session *s, struct view *in, uint8_t *scratch,
	size_t scratch_n, struct session_action *ret);
/* Sets the time; before each round of session_next. */
void session_time(struct fetch_session *s, uint64_t now_ms, uint64_t now_s);
/* The connection ended or broke; `why` in plain words. */
void session_closed(struct fetch_session *s, const char *why);
/* Nothing came for too long. Sooner where something was sent ahead of the login's answer,
 * which a server may have forgotten: session_is_ahead. */
bool session_is_ahead(const struct fetch_session *s);
void session_timed_out(struct fetch_session *s);
/* Give up for a reason of our own (disk, state): nothing is deleted any more. */
void session_fail(
	struct fetch_session *s, enum session_outcome_kind kind, const char *why);

/* No more is begun: what has come is committed, then QUIT. */
void session_stop(struct fetch_session *s);

/* Answers to actions. */
void session_login_user(struct fetch_session *s, struct view user, struct view password);
void session_login_apop(struct fetch_session *s, struct view user, struct view digest);
void session_login_sasl(
	struct fetch_session *s, const char *mechanism, const struct view *initial);
void session_login_impossible(struct fetch_session *s, const char *why);
void session_respond(struct fetch_session *s, struct view octets);
void session_cancel(struct fetch_session *s, const char *why);
/* What the mechanism learnt of why it will be refused. */
void session_login_words(struct fetch_session *s, const char *words);
void session_login_proved(struct fetch_session *s, bool proved, const char *why);
void session_loaded(struct fetch_session *s, const struct known_table *known);
void session_header(
	struct fetch_session *s, struct mail *m, const uint8_t digest[HEADER_DIGEST]);
/* Before its LETTER_END is committed: a UIDL where it has none of its own. False: no
 * memory. Then the row (or 0) of a message that it is if their octets are the same. */
[[nodiscard]] bool session_name(
	struct fetch_session *s, struct mail *m, const uint8_t digest[HEADER_DIGEST]);
int64_t session_same(struct fetch_session *s, struct mail *m, const uint8_t *digest);
void session_filtered(struct fetch_session *s, struct mail *m, enum filter_verdict v);
void session_marked(struct fetch_session *s);
void session_committed(struct fetch_session *s, struct mail *m, enum letter_fate fate);
/* No more RETR while the targets are behind. */
void session_hold(struct fetch_session *s, bool hold);
/* Letters that may be asked for or come and not committed, together. */
void session_room(struct fetch_session *s, uint32_t letters);

/* Marks for the state: of what was planned, and at the end. Gives the number written to
 * marks; start with *at = 0, until 0 is returned. */
size_t session_marks(const struct fetch_session *s, bool end, uint64_t *at,
	struct mark *marks, size_t cap);
/* Whether this session puts a message of its listing aside. */
bool session_gives_up(const struct fetch_session *s, const struct mail *m);
/* After an end in order: what the account remembers of the listing. */
void session_learn(struct fetch_session *s);

#endif
