/*
 * header.h: the header of a message as it comes by, line by line, for the digest by which
 * a message is recognised when its UIDL is of no use, and for reports. Pure.
 *
 * The digest is over all header lines in order, line ends left out, names in lower case,
 * but for a From_ line at the start and for fields that servers change in place (rows of
 * header_fields.def: Status, X-Status, X-UIDL, X-Keywords and the like). A line end is LF
 * with all CRs before it. TOP n 0 and RETR n of one message give the same.
 */
#ifndef FETCH_HEADER_H
#define FETCH_HEADER_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADER_OCTETS_MAX (1024 * 1024) /* more of a header does not count */
#define HEADER_FIELD_MAX  200

struct header_scan {
	uint64_t octets;  /* that counted */
	uint64_t held_cr; /* CRs that may belong to a line end */
	bool done;	  /* the blank line was read, or the limit reached */
	bool skip;	  /* within a field that does not count */
	/* It has a Message-ID (RFC 5322 s.3.6.4), or Received with its id and time (RFC
	 * 5321 s.4.4): no other message has this header. */
	bool names_one;
	uint8_t at;
	uint8_t keeps; /* which of the texts below is being read */
	uint8_t name_n;
	uint8_t name[32]; /* of the field being read, lower case */
	uint16_t subject_n, from_n,
		message_id_n; /* first HEADER_FIELD_MAX octets, unfolded */
	uint8_t subject[HEADER_FIELD_MAX], from[HEADER_FIELD_MAX],
		message_id[HEADER_FIELD_MAX];
};

/* Told what belongs into the digest, in pieces. */
struct header_sink {
	void (*take)(struct header_sink *s, struct view octets);
};

void header_init(struct header_scan *h);
/* Decoded octets of RETR or TOP; nothing happens once done. */
void header_take(struct header_scan *h, struct view octets, struct header_sink *sink);

#endif
