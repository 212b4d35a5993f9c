/*
 * foreign.h: the files in which other servers keep the names (UIDLs) of messages. Pure.
 *
 * Each reader goes through the octets of one file and gives a row for each message, in
 * order of the file, and a reason for each line that it cannot read. Nothing is guessed:
 * a row has a UIDL that the old server gave its clients, to the octet.
 */
#ifndef MOVE_FOREIGN_H
#define MOVE_FOREIGN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define FOREIGN_UIDL_MAX   1024 /* of what an old server could have said */
#define FOREIGN_FORMAT_MAX 255
#define FOREIGN_LINE_MAX   8192
#define FOREIGN_NO_ORDER   UINT32_MAX

/* What is known of a message; views live during the call. */
struct foreign_row {
	uint32_t line;	  /* or the number of the record, from 1 */
	uint32_t uid;	  /* 0: none */
	uint32_t order;	  /* rows with the lowest come first, then those without one */
	uint64_t size;	  /* octets on the wire; UINT64_MAX: unknown */
	struct view name; /* of the file, without flags; empty: by content only */
	struct view uidl;
	struct view header; /* of the message, where it stands in this file; p NULL: no */
	bool saved; /* the old server wrote this UIDL down: it is the message's for good
		     */
};

struct foreign_sink {
	void (*row)(struct foreign_sink *s, const struct foreign_row *r);
	/* A line (0: the whole file) that is not understood. */
	void (*bad)(struct foreign_sink *s, uint32_t line, const char *why);
};

/* ---- foreign_format.c: pop3_uidl_format of Dovecot ---------------------------- */

/* What the variables stand for; p NULL: this message has no such thing. */
struct foreign_values {
	uint32_t uid, uidvalidity;
	struct view name, guid, md5;
};
/* NULL, or what is wrong with the format (static). */
const char *foreign_format_fault(struct view format);
/* Expands a format without fault. False: a variable that the message has not, or too
 * long. md5: what %M needs; the caller's, so that these files stay without a library. */
[[nodiscard]] bool foreign_format_put(struct view format, const struct foreign_values *v,
	void (*md5)(struct view octets, uint8_t ret[16]), struct buf *out);

/* ---- the files ---------------------------------------------------------------- */

struct foreign_options {
	struct view format; /* pop3_uidl_format */
	void (*md5)(struct view octets, uint8_t ret[16]);
};

/* dovecot-uidlist, versions 1 and 3. */
void foreign_dovecot_read(
	struct view text, const struct foreign_options *o, struct foreign_sink *s);
/* courierpop3dsizelist, versions 0 to 3. */
void foreign_courier_read(struct view text, struct foreign_sink *s);

/* uidl_format of Cyrus. */
enum foreign_cyrus {
	FOREIGN_CYRUS_CYRUS, /* UIDVALIDITY.UID; mailboxes of old have UID in each form */
	FOREIGN_CYRUS_UIDONLY,
	FOREIGN_CYRUS_COURIER, /* UIDVALIDITY-UID */
	FOREIGN_CYRUS_DOVECOT, /* as Dovecot's default */
	FOREIGN_CYRUS_FORMS,
};
/* cyrus.index, versions 6 to 17. Names are "UID.", of the message's file. */
void foreign_cyrus_read(
	struct view octets, enum foreign_cyrus form, struct foreign_sink *s);

/* Where the UIDLs of an mbox come from. */
enum foreign_mbox {
	FOREIGN_MBOX_XUIDL,  /* X-UIDL, as qpopper and mailutils write it */
	FOREIGN_MBOX_UID,    /* X-UID and X-IMAPbase, with a format: Dovecot, UW ipop3d */
	FOREIGN_MBOX_POPA3D, /* computed from Received, Date and their like */
	FOREIGN_MBOX_FORMS,
};
/* An mbox; messages begin where the store says that they do (store/mbox_from.h). */
void foreign_mbox_read(struct view text, enum foreign_mbox form,
	const struct foreign_options *o, struct foreign_sink *s);

#endif
