/*
 * compare_lists.h: two lists of one maildrop, as a client would see them. Pure.
 *
 *     compare_match(&pair);
 *     compare_want(&pair, sample, seed, all);   which headers must be known
 *     ... fetch the headers of the rows with `want`, set has_header ...
 *     compare_match(&pair);
 *     compare_tell(&pair, &sink);
 *
 * A message of NEW is the same as one of OLD if they have the same UIDL and, where both
 * headers are known, the same header; or else the same header. Which of several twins is
 * which goes by whole digest, size and number.
 */
#ifndef MOVE_COMPARE_LISTS_H
#define MOVE_COMPARE_LISTS_H

#include "move/header_digest.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define COMPARE_UIDL_MAX 70 /* RFC 1939 s.7 */

enum difference {
#define DIFFERENCE(id, ...) DIFFERENCE_##id,
#include "move/differences.def"
#undef DIFFERENCE
	DIFFERENCES
};

struct compare_message {
	uint32_t number; /* as the server counts them; rows ascend */
	uint64_t size;
	struct view uidl; /* p NULL: there is none */
	uint8_t header[MESSAGE_DIGEST_OCTETS], whole[MESSAGE_DIGEST_OCTETS];
	bool has_header, has_whole;
	bool refused; /* the server does not show it */
	/* The engine's: */
	bool want;	  /* its header must be known */
	bool duplicate;	  /* its UIDL stands at others of its side too */
	bool reused;	  /* its UIDL is another message's on the other side */
	bool again;	  /* of NEW: without a partner, and OLD has the same message */
	uint32_t partner; /* row of the other side plus 1; 0: none */
	uint32_t rival;	  /* the same, of the message that has its UIDL (reused) */
};

struct compare_side {
	struct compare_message *messages;
	uint32_t n;
	bool has_uidls;	 /* the server knows UIDL at all */
	uint32_t *order; /* room for n rows, the engine's */
};

struct compare_pair {
	struct compare_side old, new;
	/* Set by compare_match. */
	uint32_t matched, reused, old_left, new_left;
};

struct compare_sink {
	/* old or new is NULL where it is about one side only. */
	void (*tell)(struct compare_sink *s, enum difference what,
		const struct compare_message *old, const struct compare_message *new);
};

void compare_match(struct compare_pair *p);
/*
 * Sets want where a header is needed to tell what became of a message: where UIDL or size
 * disagree, where a UIDL stands twice, where NEW has one of that size besides, and for
 * `sample` of the others, evenly spread from a start that the seed gives. The number of
 * rows, of both sides, that are now wanted and have no header.
 */
uint64_t compare_want(struct compare_pair *p, uint32_t sample, uint64_t seed, bool all);
/* Every difference: in order of OLD, then of NEW. */
void compare_tell(const struct compare_pair *p, struct compare_sink *sink);

const char *difference_word(enum difference d);
const char *difference_text(enum difference d);
bool difference_is_safe(enum difference d);
/* Whether every octet is one that RFC 1939 s.7 allows, and there is one. */
bool compare_uidl_is_legal(struct view uidl);

#endif
