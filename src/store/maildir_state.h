/*
 * maildir_state.h: a Maildir and its table in memory; maildir.h says what is done to
 * them.
 */
#ifndef STORE_MAILDIR_STATE_H
#define STORE_MAILDIR_STATE_H

#include "pop3/view.h"
#include "store/maildir_name.h"
#include "store/session_lock.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAILDIR_MESSAGES_MAX 4000000U /* as a snapshot may hold */
#define MAILDIR_BLOCK	     262144   /* octets read at once to count */

enum maildir_dir { MAILDIR_NEW = 0, MAILDIR_CUR = 1, MAILDIR_DIRS = 2 };

/* What tells that a directory was not changed. All zero: there is none. */
struct maildir_dir_id {
	uint64_t dev, ino;
	int64_t mtime_ns, ctime_ns;
};

/* Octets that grow; offsets into them are 32 bits wide. */
struct maildir_bytes {
	char *p;
	size_t n, cap;
};
[[nodiscard]] int maildir_bytes_add(
	struct maildir_bytes *b, const void *p, size_t n, uint32_t *ret_at);

enum maildir_row_flag {
	ROW_COUNTED = 1, /* wire was counted from the file with this ino, stored, mtime */
	ROW_AS_IS = 2,
	ROW_SEEN = 4,
	ROW_SHARED = 8,	  /* another row has the same key: the inode tells them apart */
	ROW_LINKED = 16,  /* the same file has another name in the maildrop */
	ROW_UNSAVED = 32, /* sizes that the index file lacks */
	ROW_REMOVED = 64, /* by our own verdict */
};
#define ROW_FLAGS_KEPT (ROW_COUNTED | ROW_AS_IS | ROW_SEEN | ROW_SHARED | ROW_LINKED)

struct maildir_row {
	uint64_t ino, stored, wire;
	int64_t mtime_ns;
	uint32_t name_at;	  /* in names, NUL behind it */
	uint32_t key_at, uidl_at; /* in text */
	uint8_t name_n, key_n, uidl_n;
	uint8_t dir; /* MAILDIR_DIRS: in neither when it was last looked for */
	uint8_t flags;
};

struct maildir_table {
	struct store_table pub; /* first */
	uint32_t refs;
	struct store_message *messages;
	struct maildir_row *rows;
	struct maildir_bytes names, text; /* text does not grow once the table is made */
	uint32_t *by_key;		  /* open addressing: row + 1 */
	uint32_t by_key_mask;
	struct maildir_dir_id ids[MAILDIR_DIRS]; /* as the names were read */
	bool racy;	/* they were too young to be told apart from a later change */
	uint32_t moved; /* names that were gone again before their files were looked at */
	struct maildir_dir_id
		found[MAILDIR_DIRS]; /* as the places of rows were last read */
	bool found_racy;
};

struct store {
	int root; /* borrowed */
	char *path;
	bool locked;
	struct session_lock lock;
	int top; /* the maildrop; -1: not open, or missing */
	int sub[MAILDIR_DIRS];
	struct maildir_table *table; /* the newest; NULL before the first refresh */
	uint64_t generation;
	bool index_read;
	bool healed;		 /* rows of the table know better than its public part */
	bool index_old;		 /* the index file is not what the table would give */
	uint32_t unsaved;	 /* rows with ROW_UNSAVED */
	uint64_t index_retry_ms; /* no attempt to write before */
};

#endif
