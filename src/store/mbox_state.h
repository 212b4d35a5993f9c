/*
 * mbox_state.h: an mbox and its table in memory; mbox.h says what is done to them.
 */
#ifndef STORE_MBOX_STATE_H
#define STORE_MBOX_STATE_H

#include "pop3/view.h"
#include "store/identity.h"
#include "store/mailbox_lock.h"
#include "store/mbox_scan.h"
#include "store/session_lock.h"
#include "store/store.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MBOX_MESSAGES_MAX 4000000U /* as a snapshot may hold */
#define MBOX_BLOCK	  1048576  /* octets read at once */

/* What tells that the file was not changed. All zero: there is none. */
struct mbox_id {
	uint64_t dev, ino, size;
	int64_t mtime_ns, ctime_ns;
};

enum mbox_row_flag {
	MBOX_AS_IS = 1,
	MBOX_SEEN = 2,
	MBOX_REMOVED = 4, /* by our own verdict */
	MBOX_GIVEN = 8,	  /* uidl is what a client may have seen; else what X-UIDL says */
};
#define MBOX_FLAGS_KEPT (MBOX_AS_IS | MBOX_SEEN)

struct mbox_row {
	uint64_t start, at, length; /* From_ line, message; up to the next row's start it
				       is all this message's */
	uint64_t wire;
	uint32_t quoted;
	uint32_t uidl_at; /* in text */
	uint8_t uidl_n;
	uint8_t flags;
	uint8_t digest[MBOX_DIGEST];
};

struct mbox_text {
	char *p;
	size_t n, cap;
};

struct mbox_table {
	struct store_table pub; /* first */
	uint32_t refs;
	struct store_message *messages;
	struct mbox_row *rows;
	size_t cap; /* rows there is room for */
	struct mbox_text text;
	uint32_t *by_uidl; /* open addressing: row + 1 */
	uint32_t by_uidl_mask;
	struct mbox_id id; /* the file as it was scanned */
	bool racy;	   /* too young to be told apart from a later change */
	uint64_t log_rows; /* of the identity log when UIDLs were given */
	uint32_t how;	   /* enum mbox_how of the scan */
};

enum mbox_notice {
	MBOX_NOTICE_NONE,
	MBOX_NOTICE_NO_FROM,
	MBOX_NOTICE_NO_DOT,
	MBOX_NOTICE_NO_IDENTITY,
	MBOX_NOTICE_NO_SESSION_LOCK,
	MBOX_NOTICE_NO_INTENT,
	MBOX_NOTICE_INTENT_LEFT,
	MBOX_NOTICE_REPLAYED,
	MBOX_NOTICE_LOG_FULL,
	MBOX_NOTICES
};

struct mbox {
	int root; /* borrowed */
	const struct store_options *o;
	char *parent; /* below root */
	char *name;   /* in it */
	bool locked;
	struct session_lock lock;
	char lock_name[NAME_MAX + 1];
	int dir;     /* parent; -1: not open, or missing */
	int self;    /* the mbox, for the session's lock alone; -1: missing */
	bool healed; /* rows of the table know better than its public part */
	struct mbox_table *table;
	uint64_t generation;
	struct identity *log;
	bool log_lent; /* it has its directory */
	bool log_off;  /* its directory cannot be read by us */
	bool full;     /* rows are not to be believed: the log was changed by others */
	bool index_read, index_old;
	uint64_t scanned;	 /* octets read since the index was written */
	uint64_t index_retry_ms; /* no attempt to write before */
	uint32_t notices, told;	 /* bits of enum mbox_notice: to be told; were told */
};

#endif
