/*
 * conn.h: one connection of a client.
 *
 * `at` says what it waits for and which step (conn.c) comes next. Idle, it is this struct
 * and what TLS keeps: no buffers. An answer of another process calls conn_go_on after it
 * told the session; conn_lose after the peer has gone.
 */
#ifndef FRONT_CONN_H
#define FRONT_CONN_H

#include "front/front.h"
#include "front/session_state.h"
#include "front/turn.h"

enum conn_at {
	CONN_PROXY,	 /* the header of a proxy */
	CONN_KPOP,	 /* an AP-REQ */
	CONN_KPOP_LOGIN, /* auth's word on it */
	CONN_KPOP_YES,	 /* the AP-REP is to be sent; then the session begins */
	CONN_KPOP_NO,	 /* a moment, and then the refusal */
	CONN_RUN,	 /* the session can go on */
	CONN_INPUT,	 /* the client's next octets */
	CONN_DELAY,	 /* the moment of session_delay_until */
	CONN_STARTTLS,	 /* all that was said in clear must have left */
	CONN_HANDSHAKE,	 /* TLS */
	CONN_STAMP,	 /* auth's stamp for APOP */
	CONN_LOGIN,	 /* auth, or the monitor */
	CONN_SNAPSHOT,	 /* the keeper's first word */
	CONN_CHECKING,	 /* rows of the snapshot are looked at, some in every round */
	CONN_SLICE,	 /* the keeper's SLICES */
	CONN_BODY,	 /* a message is being sent; perhaps the keeper's FETCHED */
	CONN_COMMIT,	 /* the keeper's DONE */
	CONN_CLOSING,	 /* the output must leave */
	CONN_LINGER,	 /* the client must have read it */
	CONN_STATES,
};

struct conn {
	struct source source;
	struct source keeper; /* fd -1: none */
	struct timer timer;
	struct front *front;
	struct front_options *options;
	struct rules *rules;
	struct stream stream;
	struct proxy_part *proxy; /* opening.c; else NULL */
	uint8_t *challenge;	  /* that the session is sending, NULL: none */
	uint32_t challenge_n;

	uint8_t *left; /* input that was not taken yet, NULL: none */
	uint32_t left_at, left_n, left_cap;

	uint32_t place;
	uint32_t verdict_at; /* octets of the marks that were sent */
	uint64_t number;     /* of this login; 0: none is under way and none stands */
	uint64_t connection; /* never used twice, for auth */
	uint32_t id;	     /* of this login, for the client */
	uint32_t auth_epoch; /* the auth that was asked */
	uint64_t peer_hash;
	uint64_t begun_ms, close_by_ms;
	uint64_t asked_ms;	   /* when auth was */
	uint64_t looked_ms, acked; /* what the client's side had taken by then */
	uint8_t address[FRONT_ADDRESS_OCTETS]; /* the client's, or as a proxy says */
	uint8_t via[FRONT_ADDRESS_OCTETS];     /* the socket's */
	uint16_t port;
	uint16_t user_n;
	uint32_t who; /* its row and 1, 0: none */
	struct kpop kpop;
	uint8_t mechanism; /* of the login */

	uint8_t at; /* enum conn_at */
	bool is_attached : 1;
	bool is_proxied : 1; /* address is not the socket's */
	bool may_xclient : 1;
	bool has_plus : 1;     /* SCRAM with channel binding may be offered */
	bool is_filled : 1;    /* the last read took as much as it could */
	bool is_peer_gone : 1; /* only the verdict is waited for */
	bool want_unsent : 1;  /* these wait for room in the keeper's channel */
	bool fetch_unsent : 1;
	bool has_files : 1, has_sealed : 1; /* slices of these kinds have come */

	uint8_t rights;	     /* of the permit, as the keeper said */
	uint8_t window;	     /* slices asked for at once */
	uint8_t in_sequence; /* messages taken one after another so far */
	uint32_t last_msgno;
	struct transfer *transfer; /* NULL while no message is under way or held */

	uint8_t *user; /* once logged in, for log and who */
	uint8_t *marks;
	struct snapshot_checking check;
	struct session_counts reported;
	struct session session;
};

/* ---- conn.c ---- */
/* Takes fd. NULL where there is no memory (then fd is closed). */
struct conn *conn_new(struct front *f, int take_fd, struct rules *rules,
	const uint8_t address[FRONT_ADDRESS_OCTETS], uint16_t port);
/* The first turn: greeting, TLS handshake, or what comes before both. */
void conn_start(struct conn *c);
/* The outside has answered: the session can go on. May free the connection. */
void conn_go_on(struct conn *c);
/* As it stands: looks again for what it waits for. May free the connection. */
void conn_look(struct conn *c);
/* Ends it for a reason of ours; what is due is said first. May free the connection. */
void conn_end(struct conn *c, enum session_reason why);
/* A drain: those that are not logged in and wait for nothing end now, or all of them. */
void conn_drain(struct conn *c, bool all);
/* Frees it as it is. */
void conn_free(struct conn *c);
/* A number for a new login; never the same twice. */
uint64_t conn_new_number(struct conn *c);
/* The connection whose login has this number, or NULL. */
struct conn *conn_find(const struct front *f, uint64_t number);

/* ---- conn_steps.c: by enum conn_at ---- */
/* Makes the step that `at` asks for. */
enum step conn_step(struct conn *c, struct turn *t);

/* ---- conn_io.c ---- */
void conn_in_begin(struct conn *c, struct turn *t);
/* More input behind what is in t->in. */
[[nodiscard]] enum io conn_in_more(struct conn *c, struct turn *t);
/* Keeps what was not taken. 0 or -ENOMEM. */
[[nodiscard]] int conn_in_end(struct conn *c, struct turn *t);
void conn_in_drop(struct conn *c);
/* Gathers t->out and sends. */
[[nodiscard]] enum io conn_flush(struct conn *c, struct turn *t);
/* While an answer is on its way: when to look whether the client reads, and to look. */
bool conn_is_sending(const struct conn *c);
uint64_t conn_look_due(const struct conn *c);
void conn_look_for_progress(struct conn *c, uint64_t now_ms);
/* Asks the loop for what the connection now waits for. 0 or -errno. */
[[nodiscard]] int conn_arm(struct conn *c, const struct turn *t);

/* ---- keeper_link.c ---- */
/* The session's channel. Takes fd. 0 or -errno. */
[[nodiscard]] int keeper_attach(struct conn *c, int take_fd);
/* Sends what is due (WANT, FETCH, VERDICT); the rest when there is room. 0 or -errno. */
[[nodiscard]] int keeper_push(struct conn *c);
/* The channel is of no more use: the keeper frees the lock. */
void keeper_close(struct conn *c);
/* Tells the session that it is gone; the caller goes on, but after a fault this does. */
void keeper_lost(struct conn *c);
void keeper_fault(struct conn *c, uint16_t number);
/* More rows of the snapshot. */
enum step keeper_check_snapshot(struct conn *c);
void keeper_free_snapshot(struct conn *c);

#endif
