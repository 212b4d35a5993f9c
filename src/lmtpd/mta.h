/*
 * mta.h: one connection of an MTA, and the message that it hands in.
 *
 * `at` says what it waits for. Who answers it from outside (auth, the monitor, a keeper)
 * writes that down in the transaction and calls mta_wake: its turn comes at the end of
 * the round, so that what comes together is answered together.
 */
#ifndef LMTPD_MTA_H
#define LMTPD_MTA_H

#include "lmtpd/lmtp_spool.h"
#include "lmtpd/lmtpd.h"

#define MTA_LATER_OCTETS 1024U

enum mta_at {
	MTA_INPUT,    /* the MTA's next octets */
	MTA_RCPT,     /* the answer about a recipient */
	MTA_FILE,     /* the monitor's file for a large message */
	MTA_OUTCOMES, /* the keepers */
	MTA_CLOSING,  /* the output must leave */
	MTA_LINGER,   /* the MTA must have read it */
};

/* A recipient; its name lies behind it. */
struct target {
	struct recipient r;
	struct mta *mta;
	uint64_t number;      /* 0: no question is under way, and no way is held */
	struct source keeper; /* fd -1: none */
	uint8_t name[];
};

struct mta {
	struct source source;
	struct timer timer;
	struct lmtpd *lmtpd;
	struct mta *prev, *next;

	uint8_t *left; /* input that was not taken yet, NULL: none */
	uint32_t left_at, left_n;
	uint8_t *unsent; /* output that did not leave yet, NULL: none */
	uint32_t unsent_at, unsent_n;
	uint16_t later_n; /* output that waits for the answer to RCPT, to leave with it */
	uint8_t later[MTA_LATER_OCTETS];

	uint8_t at; /* enum mta_at */
	bool is_local : 1;
	bool is_woken : 1;
	bool is_gone : 1;     /* only the keepers are waited for */
	bool is_unasked : 1;  /* the last recipient waits for room in auth's channel */
	bool has_octets : 1;  /* the socket may be read at once */
	bool lingers : 1;     /* once the output has left */
	uint64_t active_ms;   /* when octets went either way */
	uint64_t close_by_ms; /* CLOSING, LINGER */
	uint64_t file_number, file_asked_ms;
	uint8_t address[CORE_ADDRESS];
	uint16_t port;
	uint64_t messages; /* so far */

	struct transaction tr;
	uint32_t list_cap;
	bool utf8;
	uint64_t begun_ms; /* MAIL */
	size_t sender_n;
	uint8_t sender[LMTP_PATH_MAX];
	struct lmtp_spool spool;
	struct lmtp_server server;
};

/* What is at hand while a connection has its turn. */
struct mta_turn {
	struct view in;
	struct buf out;
	struct buf gather; /* of the message, not yet in the spool */
	uint32_t reads;
};

enum mta_step {
	MTA_GO,
	MTA_WAIT,
	MTA_DEAD, /* the socket is of no more use */
};

/* ---- mta.c ---- */
/* Takes fd and greets. address NULL: a local socket. False where there is no memory. */
[[nodiscard]] bool mta_new(
	struct lmtpd *l, int take_fd, const uint8_t *address, uint16_t port);
/* Something was written down for it: its turn comes at the end of this round. */
void mta_wake(struct mta *m);
/* The channel to auth can take questions again. */
void mta_auth_has_room(struct mta *m);
/* No more transactions; `now`: and not even the rest of this one. */
void mta_drain(struct mta *m, bool now);

/* ---- mta_steps.c: by enum mta_at ---- */
enum mta_step mta_step(struct mta *m, struct mta_turn *t);
/* An answer is overdue: it is given for the one who did not. */
void mta_expire(struct mta *m, uint64_t now_ms);
/* The monitor's answer; takes the descriptors. err: -errno, then there are none. */
void mta_file(struct mta *m, int take_write, int take_read, int err);
/* What was gathered goes into the spool. */
void mta_spool(struct mta *m, struct mta_turn *t);
/* Forgets the transaction with all that it holds. */
void mta_forget(struct mta *m);

/* ---- mta_io.c ---- */
void mta_in_begin(struct mta *m, struct mta_turn *t);
/* Once all of t->in was taken. WAIT: nothing is there. */
enum mta_step mta_in_more(struct mta *m, struct mta_turn *t);
/* Keeps what was not taken. 0 or -ENOMEM. */
[[nodiscard]] int mta_in_end(struct mta *m, const struct mta_turn *t);
/* An empty t->out, but for what was to leave later. */
void mta_out_begin(struct mta *m, struct mta_turn *t);
/* Sends t->out and what is left of before. WAIT: not all of it. */
enum mta_step mta_flush(struct mta *m, struct mta_turn *t);
/* At the end of a turn: sends it, or keeps it for later. DEAD, or anything else. */
enum mta_step mta_out_end(struct mta *m, struct mta_turn *t);
/* Asks the loop for what the connection now waits for. 0 or -errno. */
[[nodiscard]] int mta_arm(struct mta *m);

/* ---- lmtpd_target.c ---- */
/* A recipient for the list of m, its name copied. NULL: no memory. */
struct target *target_new(struct mta *m, struct view name);
/* Of the list's row. */
struct target *target_of(struct recipient *r);
/* The monitor's way to its keeper. Takes fd. */
void target_attach(struct target *t, int take_fd);
/* The keeper gets the message. False: it did not. */
[[nodiscard]] bool target_give(struct target *t, int fd, uint64_t length);
/* Its number and its way are used no more. */
void target_close(struct target *t);
void target_free(struct target *t);

#endif
