/*
 * control_who.h: the sessions that fronts have in their tables (ipc/who.h), as copies
 * that were checked; which of them an operator means; and how they are shown. Pure.
 */
#ifndef CONTROL_CONTROL_WHO_H
#define CONTROL_CONTROL_WHO_H

#include "base/buf.h"
#include "ipc/who.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One session; what a front wrote that cannot be is left out before. */
struct who_session {
	uint64_t front; /* incarnation */
	uint64_t session, since_s, octets;
	uint32_t messages, retrieved, marked, listener;
	uint8_t address[16];
	uint16_t port;
	uint8_t mechanism, tls, user_n;
	uint8_t user[WHO_USER_MAX];
};

struct who_list {
	struct who_session *at;
	size_t n;
};

/* False: the row is free, or cannot be. sequence is not looked at. */
[[nodiscard]] bool who_take(
	const struct who_row *row, uint64_t front, struct who_session *ret);

enum who_choice { WHO_USER, WHO_SESSION, WHO_NETWORK };

/* What `kick` is for. */
struct who_filter {
	enum who_choice choice;
	struct view user; /* cut off as in a row; lives as long as the line */
	uint64_t front, session;
	uint8_t network[17]; /* an address, and how many bits count */
};

/*
 * "user NAME", "session FRONT/SESSION" or "network " and 34 hex digits: the words behind
 * `kick `. False for anything else.
 */
[[nodiscard]] bool who_filter_read(struct view words, struct who_filter *ret);
bool who_matches(const struct who_filter *f, const struct who_session *s);

/* A line each, fields as key=value; or an array of JSON. Names are quoted. */
void who_render(const struct who_list *l, struct buf *out);
void who_render_json(const struct who_list *l, struct buf *out);

/* Of LOG_RECORD and WHY_ANSWER: "key: value" lines. False: they are malformed. */
[[nodiscard]] bool why_render(struct view pairs, struct buf *out);
/* The value of that key; p is NULL where there is none. */
struct view why_value(struct view pairs, const char *key);

/* 2 * n digits of lower case. */
[[nodiscard]] bool who_read_hex(struct view v, uint8_t *ret, size_t n);

/* A mechanism's name; "other" where there is none. */
const char *who_mechanism(uint8_t mechanism);

#endif
