/*
 * fetch_session_world.h: a server, what the retriever remembers and its deliveries, made
 * of one seed; a session between them is driven as collect.c does it.
 */
#ifndef FETCH_SESSION_WORLD_H
#define FETCH_SESSION_WORLD_H

#include "unit.h"

#include "base/check.h"
#include "base/num.h"
#include "fetch/session.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	IDS_MAX = 256,
	ROWS_MAX = 2048,
	UID_MAX = 120,
	OUT_MAX = 512 * 1024,
	BODY_MAX = 4096,
	SESSION_STEPS_MAX = 60000,
};

/* What ails a server or a session: bits of world.ills. */
enum ill {
	ILL_NO_CAPA = 1 << 0,
	ILL_NO_PIPELINING = 1 << 1,
	ILL_NO_TOP = 1 << 2,
	ILL_NO_UIDL = 1 << 3,
	ILL_TWINS = 1 << 4,    /* two messages share one UIDL */
	ILL_NEW_UIDS = 1 << 5, /* another UIDL in each session */
	ILL_SIZES = 1 << 6,    /* LIST is not what RETR sends */
	ILL_UNSTUFFED = 1 << 7,
	ILL_SHUFFLED = 1 << 8,
	ILL_NO_PROBES = 1 << 9, /* UIDL n and LIST n are refused */
	ILL_REUSED = 1 << 10,	/* UIDLs of removed messages are given again */
	ILL_NO_CAPA_AFTER = 1 << 11,
	/* Of a session, while faults last. */
	ILL_ERRORS = 1 << 16,
	ILL_CUTS = 1 << 17,
	ILL_STAT = 1 << 18,
	ILL_FATES = 1 << 19,
	ILL_FLAP = 1 << 20,
	ILL_KILLS = 1 << 21,
	ILL_QUIT = 1 << 22,
	ILL_UIDL_NOW = 1 << 23,
	ILL_PROBES = 1 << 24,
};

struct world_message {
	uint32_t id;
	uint8_t uid_n;
	char uid[UID_MAX];
	bool dele;
};

struct world_row {
	uint8_t uid_n;
	uint8_t uid[UID_MAX];
	uint64_t size;
	uint8_t header[HEADER_DIGEST];
	bool has_header, dele_sent;
	uint8_t stage, tries;
	uint64_t gone_s, delivered_s;
	uint32_t id; /* which message it speaks of */
};

struct world_letter {
	struct mail *mail;
	uint32_t id;
	int64_t same;
	uint8_t uid_n;
	uint8_t uid[UID_MAX];
	uint64_t size;
	uint8_t header[HEADER_DIGEST];
};

struct world {
	uint64_t random;
	uint32_t ills, session_ills;
	struct fetch_account account;
	struct remembered memory;
	/* The server. */
	struct world_message drop[IDS_MAX];
	uint32_t drop_n, ids, poison; /* poison: no answer to this id's RETR, ever */
	uint32_t old_n;		      /* messages before those of `drop`, long known */
	uint32_t hidden;	      /* that many at the end are not listed this time */
	uint32_t session_number, logins;
	char line[2048];
	size_t line_n;
	uint8_t out[OUT_MAX]; /* for the client, not yet read by it */
	size_t out_n, out_at;
	uint64_t sent, cut_at, commands, worst_window, turns;
	bool server_closed, quit_seen, logged_in, tail_grew;
	uint8_t asked_retr[IDS_MAX + 2], asked_top[IDS_MAX + 2], asked_dele[IDS_MAX + 2],
		asked_uidl[IDS_MAX + 2], asked_list[IDS_MAX + 2], asked_stat;
	uint8_t may_again[IDS_MAX + 2];
	uint32_t room, most_letters; /* room: of session_room; 0: as it is */
	bool tls, cut_early; /* the line breaks where nothing was said before the login */
	/* What is remembered and delivered. */
	struct world_row rows[ROWS_MAX];
	uint32_t rows_n;
	uint32_t delivered[IDS_MAX];
	bool refused[IDS_MAX];
	struct known known_rows[ROWS_MAX];
	uint8_t known_uids[ROWS_MAX][UID_MAX];
	struct known_table known;
	/* The client's side. */
	struct fetch_session session;
	struct mails mails;
	struct mail at[IDS_MAX + 8];
	uint32_t order[IDS_MAX + 8];
	uint8_t text[64 * 1024], listed[ROWS_MAX / 8 + 1];
	uint8_t in[64 * 1024], scratch[4096];
	size_t in_n;
	uint8_t body[BODY_MAX * 4];
	size_t body_n;
	uint8_t top[BODY_MAX * 4];
	size_t top_n;
	bool in_letter, over, load_due, mark_due, commit_due;
	struct world_letter batch[IDS_MAX];
	uint32_t batch_n;
	struct mail *filters[IDS_MAX];
	uint32_t filters_n, most_filters, noops;
	uint32_t committed;
	struct session_outcome outcome;
	uint64_t now_ms, filter_ms; /* filter_ms: that each takes */
};

uint64_t world_random(struct world *w, uint64_t below);
bool world_chance(struct world *w, uint32_t one_in);
void world_init(struct world *w, uint64_t seed, uint32_t ills);
void world_arrive(struct world *w, uint32_t n);
void world_remove(struct world *w, uint32_t place);
/* The whole message of that id, as it is delivered. */
size_t world_body(const struct world *w, uint32_t id, uint8_t *out);

/* fetch_session_server.c */
void server_connect(struct world *w);
void server_take(struct world *w, struct view octets);
void server_hang_up(struct world *w);

/* One session from connect to its end, marks written. False: the program was killed. */
bool world_session(struct world *w);
void world_marks(struct world *w, bool end);

#endif
