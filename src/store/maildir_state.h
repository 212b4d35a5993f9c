/*
 * maildir_state.h: a Maildir and its table in memory; maildir.h says what is done to
 * them.
 */
#ifndef STORE_MAILDIR_STATE_H
#define STORE_MAILDIR_STATE_H

#include "pop3/view.h"
#include "store/identity.h"
#include "store/maildir_name.h"
#include "store/session_lock.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAILDIR_MESSAGES_MAX 4000000U	       /* as a snapshot may hold */
#define MAILDIR_BLOCK	     262144	       /* octets read at once to count */
#define MAILDIR_RACY_NS	     INT64_C(20000000) /* two ticks of the coarsest kernel clock */

/*
 * Directories are numbered: new and cur of the maildrop itself, then those of each folder
 * that is shown with it. A store has 2 + 2 * folders.
 */
enum maildir_dir { MAILDIR_NEW = 0, MAILDIR_CUR = 1, MAILDIR_NOWHERE = 255 };
#define MAILDIR_FOLDERS_MAX 31
#define MAILDIR_DIRS_MAX    (2 + 2 * MAILDIR_FOLDERS_MAX) /* 64: a bit each */

static inline bool
maildir_is_cur(unsigned dir)
{
	return dir & 1;
}

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
	ROW_SHARED = 8,	   /* another row has the same key: the inode tells them apart */
	ROW_LINKED = 16,   /* the same file has another name in the maildrop */
	ROW_UNSAVED = 32,  /* sizes that the index file lacks */
	ROW_REMOVED = 64,  /* by our own verdict */
	ROW_SETTLED = 128, /* its UIDL follows from the key, or stands in the log */
};
#define ROW_FLAGS_KEPT                                                                   \
	(ROW_COUNTED | ROW_AS_IS | ROW_SEEN | ROW_SHARED | ROW_LINKED | ROW_SETTLED)

/* Also as it stands in the index file. */
struct maildir_row {
	uint64_t ino, stored, wire;
	int64_t mtime_ns;	  /* below 0: not asked for; counted then, negated */
	uint32_t name_at;	  /* in names, NUL behind it */
	uint32_t key_at, uidl_at; /* in text */
	uint32_t place;		  /* IDENTITY_NO_PLACE but for imported ones */
	uint32_t first_s;	  /* first seen, UNIX time */
	uint8_t name_n, key_n, uidl_n;
	uint8_t dir; /* MAILDIR_NOWHERE: in none when it was last looked for */
	uint8_t flags;
	uint8_t zero[7];
};
_Static_assert(sizeof(struct maildir_row) == 64);

/* An entry of a directory, in the order in which they were read (maildir_walk.c). */
struct maildir_met {
	uint64_t tag; /* of name, inode and directory */
	uint32_t row; /* plus 1; 0: none that is known */
};

struct maildir_walk {
	struct maildir_met *list;
	size_t n, cap;
};

struct maildir_table {
	struct store_table pub; /* first */
	uint32_t refs;
	struct store_message *messages;
	struct maildir_row *rows;
	struct maildir_bytes text;  /* does not grow once the table is made */
	struct maildir_bytes names; /* p NULL: they stand in text */
	void *block;	  /* NULL, or what rows and text lie in: an index file */
	size_t stale;	  /* octets of text that no row needs */
	uint32_t *by_key; /* open addressing: row + 1; NULL: not made yet */
	uint32_t by_key_mask;
	struct maildir_walk *walks; /* of each directory; NULL: none */
	uint32_t *hashes;	    /* of each row's key; NULL: not made yet */
	bool uidls_are_keys;	    /* all of them; told with the hashes */
	bool as_before;		    /* patched, and a client is shown the same */
	unsigned dirs;
	struct maildir_dir_id *ids;   /* of each directory, as the names were read */
	struct maildir_dir_id *found; /* as the places of rows were last read */
	uint64_t racy; /* too young to be told apart from a later change: a bit each */
	uint64_t found_racy;
	uint32_t moved; /* names that were gone again before their files were looked at */
	struct identity_stamp log; /* the identity log that its UIDLs agree with */
};

/* What deposits remember of each other. */
struct maildir_deposits {
	uint64_t names;	 /* given so far */
	uint32_t random; /* in all of them, with pid; drawn for the first */
	int pid;
	uint64_t last_us; /* the time in the last one */
	uint64_t look_ms; /* no look for stale files before */
	bool whole;	  /* the way to the maildrop was made and synced */
};

struct store {
	int root; /* borrowed */
	const struct store_options *o;
	char *path;
	bool locked;
	struct session_lock lock;
	int top; /* the maildrop; -1: not open, or missing */
	unsigned dirs;
	char **dir_names; /* below top; of each, and in the same memory: */
	int *sub;
	struct maildir_table *table; /* the newest; NULL before the first refresh */
	uint64_t generation;
	struct identity *log;	       /* NULL: not needed so far */
	struct identity_stamp log_now; /* at the last refresh */
	bool log_full, log_full_told;  /* UIDLs that are used up were left out of it */
	char *notice, *notice_told;    /* the next, the last; NULL: none */
	uint64_t left_out_told; /* which messages could not be read; 0: all could */
	bool index_read;
	bool index_newer;	 /* a later version wrote it: it is left alone */
	bool healed;		 /* rows of the table know better than its public part */
	bool recounted;		 /* rows were read since their public part was made */
	bool index_old;		 /* the index file is not what the table would give */
	uint32_t unsaved;	 /* rows with ROW_UNSAVED */
	uint64_t index_retry_ms; /* no attempt to write before */
	struct maildir_deposits deposits;
};

#endif
