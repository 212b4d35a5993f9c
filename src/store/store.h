/*
 * store.h: what a store of mail offers to a keeper. Maildir is the first; mbox and others
 * come with the same contract. Blocking code, called on the keeper's threads; a maildrop
 * is used by one thread at a time, and so are its tables. Includes base, wire (dot), os,
 * stat.
 *
 * Results are 0 or -errno unless said otherwise.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "pop3/view.h"
#include "store/session_lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a store knows of one message; rows are in POP order, number = index + 1. */
struct store_message {
	uint64_t wire;	    /* octets as RETR sends them */
	uint64_t stored;    /* octets in the file */
	bool wire_believed; /* from a name (,W=) or an old index, not counted by us */
	bool as_is;	    /* travels as it is stored; known only where counted */
	bool seen;
	struct view uidl; /* lives as long as the table */
};

/* One version of a maildrop's table; counted, never changed once made. */
struct store_table {
	uint32_t count;
	uint64_t octets;
	const struct store_message *messages;
	uint64_t generation; /* tables of one store with one number show the same to a
				client */
};

/* An opened message. */
struct store_slice {
	int fd; /* O_RDONLY, an open of its own, never a locked description; the caller's
		 */
	uint64_t offset, length;
	uint64_t wire;	 /* counted now if it was believed or the file is not as it was */
	uint64_t device; /* of the file system that it lies on */
	bool as_is;
	bool shared; /* others write into this file: what was read counts only once
			slice_is_current says so; it is never handed out */
};

struct store_removed {
	uint32_t removed; /* gone durably, or gone already */
	uint32_t remain;  /* marked and still there */
};

/* A message to be put into a maildrop; contract 5. */
struct store_deposit {
	int fd;		       /* read with pread from 0; borrowed */
	uint64_t length;       /* octets; lines end CRLF or LF, as they came */
	struct view sender;    /* for Return-Path; empty: <>; p NULL: no such line */
	struct view recipient; /* for Delivered-To; empty: none */
	uint64_t now_s;	       /* UNIX time of the delivery */
	/* out: 0 or -errno */
	int result;
};

/* What all maildrops of a process share; borrowed, lives longer than the stores. */
struct store_options {
	const char *hostname; /* in names of new messages: no slash, colon or blank */
	struct view folders;  /* Maildir++ folders shown as part of the maildrop: names,
				 a NUL behind each */
	bool mbox_unquote;    /* undo the > that delivery put before From */
	bool mbox_lengths; /* Content-Length counts: mboxcl2, where From is not quoted */
	bool mbox_rename;  /* rewrite by rename: every writer takes the dot lock */
};

struct store; /* one maildrop */

/* A kind of store: its row. */
struct store_ops {
	const char *name; /* "maildir" */
	/*
	 * root and path: below the root (openat2, no links). Touches nothing yet. root is
	 * borrowed until close; the store keeps its own copy of path.
	 */
	int (*open)(int root, const char *path, const struct store_options *o,
		struct store **ret);
	void (*close)(struct store **s);
	/*
	 * Resolves the path anew (a maildrop may have been replaced) and takes the
	 * session lock. A maildrop that does not exist is an empty one ("login before the
	 * first mail") and needs no lock. -EBUSY: *ret_other tells who.
	 */
	int (*lock)(struct store *s, const struct lock_holder *me,
		struct lock_holder *ret_other);
	/* False once the lock's file or the maildrop was removed or replaced by others.
	 */
	bool (*lock_is_held)(struct store *s);
	/* Saves what was learnt by reading messages (silently fails), releases, closes.
	 */
	void (*unlock)(struct store *s);
	/*
	 * Brings the table up to date; between lock and unlock. Unchanged directories
	 * cost their two statx. *ret is borrowed until the next refresh or close; retain
	 * keeps it.
	 */
	int (*refresh)(struct store *s, const struct store_table **ret);
	const struct store_table *(*retain)(const struct store_table *t);
	void (*release)(const struct store_table **t);
	/* Opens message idx of that table wherever it is now. -ENOENT: really removed. */
	int (*slice)(struct store *s, const struct store_table *t, uint32_t idx,
		struct store_slice *ret);
	/*
	 * For a shared slice, after octets of it were read and before they go anywhere:
	 * 0, they are of that message; -ESTALE: it lies elsewhere now, slice() it again.
	 * NULL where slices are never shared.
	 */
	int (*slice_is_current)(struct store *s, const struct store_table *t,
		uint32_t idx, const struct store_slice *slice);
	/* Sets Seen. A message that is gone is no error. */
	int (*seen)(struct store *s, const struct store_table *t, uint32_t idx);
	/*
	 * Removes the marked messages (bit idx) and makes that durable. 0: *ret says how
	 * many (remain > 0: partial); -errno: whether they are gone is unknown (a sync
	 * failed).
	 */
	int (*remove)(struct store *s, const struct store_table *t, struct view marks,
		struct store_removed *ret);
	/*
	 * Puts n messages in and makes them durable with as few syncs as there can be;
	 * with or without a session's lock, and never waiting for one. list[i].result
	 * tells of each; a message whose result is not 0 is not there (if the directory
	 * could not be synced it was taken out again). A maildrop that does not exist is
	 * made. -EDQUOT, -ENOSPC, -EFBIG mean what they say; -EAGAIN: another program
	 * held the lock for too long.
	 */
	void (*deposit)(struct store *s, struct store_deposit *list, size_t n);
	/* What an operator should know, once each; NULL: nothing more. May be missing. */
	const char *(*notice)(struct store *s);
	/* Saves all that a cache is for; outside lock and unlock. Failure is silent. */
	void (*flush)(struct store *s);
	/* Octets that the store holds in memory. */
	size_t (*memory)(const struct store *s);
};

extern const struct store_ops store_maildir, store_mbox;
/* The row for a kind of permit.h, or NULL. */
const struct store_ops *store_ops_of(uint8_t kind);

#endif
