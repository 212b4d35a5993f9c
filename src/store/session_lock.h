/*
 * session_lock.h: the exclusive lock of RFC 1939 s.8 on a maildrop, held for a session.
 *
 * An open file description lock on a file of its own in the maildrop, which a crash
 * cannot leave behind. Law: the locked description is never passed or duplicated. Who
 * holds it and since when stand in the file as fixed fields. Where the file cannot be
 * made (read-only, full), the maildrop's directory itself is locked, and both kinds
 * exclude each other: who locks the file also locks the directory, shared.
 *
 *     restante-lock:  magic u64, since u64, address 16 octets, XXH3 of these u64, tool u8
 *
 * What stays there is the last login. A holder whose time is unknown, as a tool's is,
 * leaves it and sets `tool`. Nothing of it is synced: after a crash it may be older.
 */
#ifndef STORE_SESSION_LOCK_H
#define STORE_SESSION_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#define SESSION_LOCK_NAME "restante-lock"

struct session_lock {
	int file;	  /* -1: not held by file */
	int dir;	  /* -1: not held; borrowed */
	uint64_t ino;	  /* of the file */
	const char *name; /* of the file; NULL: SESSION_LOCK_NAME. Borrowed */
	int whole;	  /* what flock(2) was asked for; -1: nothing. Borrowed */
};

struct lock_holder {
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d; zero: unknown */
	uint64_t since;	     /* UNIX seconds; 0: unknown */
};

/*
 * 0: held. -EBUSY: *ret_other tells who. Other errors: the maildrop cannot be locked.
 * maildrop: its directory, an open of the caller's own for this lock alone (O_RDONLY, not
 * O_PATH) that stays open until release; -1 where it does not exist yet (there is nothing
 * to protect).
 */
[[nodiscard]] int session_lock_take(struct session_lock *l, int maildrop,
	const struct lock_holder *me, struct lock_holder *ret_other);
/*
 * The same for a maildrop that is a file in a directory of many: the lock's file is
 * `name` there (it lives as long as the lock). instead: where that cannot be made, an
 * open of the maildrop itself is locked by flock(2), which the locks of fcntl(2) that
 * deliveries take do not meet; -1: there is none.
 */
[[nodiscard]] int session_lock_take_beside(struct session_lock *l, int dir,
	const char *name, int instead, const struct lock_holder *me,
	struct lock_holder *ret_other);
/* Whether the lock still protects: its file is the one that others would find. */
[[nodiscard]] bool session_lock_is_held(const struct session_lock *l);
/*
 * What stands in a lock's file, which belongs to its owner: anything may. -EBADMSG: no
 * record; -errno. An empty file is one without a holder, as is one of zeros.
 */
[[nodiscard]] int session_lock_read(int file, struct lock_holder *ret);
void session_lock_release(struct session_lock *l);

#endif
