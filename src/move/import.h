/*
 * import.h: names (UIDLs) and order of another server's messages, found again in a
 * maildrop and written into its identity log. The parts of `restante import`.
 *
 * A row is what the old server had, a message is what lies in the maildrop. A row that
 * cannot be told for sure to be a message's gets none: a wrong name would lose mail, a
 * missing one costs a download.
 */
#ifndef MOVE_IMPORT_H
#define MOVE_IMPORT_H

#include "move/header_marks.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>

#define IMPORT_ROWS_MAX 4000000U

/* What became of a row. */
#define IMPORT_FATES(FATE)                                                               \
	FATE(OPEN, "open", "")                                                           \
	FATE(TAKEN, "imported", "")                                                      \
	FATE(KEPT, "kept", "")                                                           \
	FATE(GONE, "gone", "its file is gone from the maildrop")                         \
	FATE(NO_MATCH, "without match", "no message in the maildrop is this one")        \
	FATE(UNCLEAR, "unclear", "several messages could be this one")                   \
	FATE(ILLEGAL, "illegal",                                                         \
		"POP3 does not allow such a UIDL; clients get another one")              \
	FATE(DUPLICATE, "duplicate", "the old server has this UIDL twice")               \
	FATE(CONFLICT, "in conflict",                                                    \
		"the maildrop's identity log says otherwise, and stays as it is")        \
	FATE(UNREADABLE, "unreadable", "")

enum import_fate {
#define FATE(NAME, word, why) IMPORT_##NAME,
	IMPORT_FATES(FATE)
#undef FATE
		IMPORT_FATE_COUNT,
};

struct import_row {
	struct view uidl, name; /* name: of the file; empty: by content only */
	uint64_t size;
	struct header_marks *marks; /* NULL: not known */
	uint32_t line, order, place;
	uint32_t message; /* its number from 1; 0: none */
	uint8_t fate;
	uint8_t source; /* which of several lists named it */
	bool beside;	/* that lay beside the messages: a file that is not there was
			   deleted */
	bool saved;
};

struct import_message {
	struct view key, label;	 /* for the log; for people */
	struct view file;	 /* Maildir: the name as it is */
	uint64_t offset, length; /* mbox: where; Maildir: 0 and its size */
	uint64_t body_wire, body_stored;
	bool unfinished; /* no line end at its end: servers count one, or do not */
	bool twin;	 /* another message has the same key */
	bool has_body;	 /* body is that of the octets behind its header */
	uint64_t body;
	uint8_t dir;
	struct header_marks *marks;
	struct view xuidl; /* where marks were read; p NULL: none */
	uint32_t row;	   /* from 1 */
};

struct import_chunk;

struct import {
	struct import_row *rows;
	struct import_message *messages;
	uint32_t rows_n, rows_cap, messages_n, messages_cap;
	struct import_chunk *chunks; /* where the texts are */
	bool no_memory;
	bool is_mbox; /* messages with one key are told apart by their order */
	uint32_t counts[IMPORT_FATE_COUNT];
	uint32_t strangers; /* messages that the old server did not know */
	uint32_t longs;	    /* UIDLs of more than 70 octets */
	uint32_t renamed;
};

/* ---- import_list.c: rows and messages ------------------------------------------------
 */

void import_done(struct import *im);
/* A copy that lives as long as the import; p NULL without memory (and no_memory is set).
 */
struct view import_keep(struct import *im, struct view v);
void *import_room(struct import *im, size_t n);
/* NULL: no memory, or too many. Zeroed, fate OPEN. */
struct import_row *import_row_add(struct import *im);
struct import_message *import_message_add(struct import *im);
/* Says of all rows from `first` on where they came from. */
void import_rows_came(struct import *im, uint32_t first, size_t source, bool beside);
/* Rows get their places: by order, then as they came. */
[[nodiscard]] int import_places(struct import *im);
/* Rows whose UIDL cannot be given out: illegal, or twice. */
[[nodiscard]] int import_check_uidls(struct import *im);
void import_count(struct import *im);
const char *import_fate_word(enum import_fate f);
const char *import_fate_why(enum import_fate f);

/* ---- import_match.c: which message a row is ------------------------------------------
 */

/* By the name of the file. A later row with the same name wins, as with Dovecot; that of
 * another list is told where it had another UIDL. */
[[nodiscard]] int import_match_names(struct import *im);
/* By size and header, then by Message-ID and size; messages and rows need marks, and
 * messages that are alike in these also the body. */
[[nodiscard]] int import_match_marks(struct import *im);
/* Rows without a message get their fates; twins are taken all or none. */
[[nodiscard]] int import_match_end(struct import *im);
/* Dovecot's -2, -3 ... for UIDLs that are there twice; rows in order of the list. */
[[nodiscard]] int import_rename(struct import *im);

/* ---- import_write.c: the identity log -------------------------------------------------
 */

/* Decides of each matched row, and unless dry: adds the rows and syncs. */
[[nodiscard]] int import_write(struct import *im, int dir, const char *log, bool dry);

#endif
