/*
 * mailbox_lock.h: the lock on a mailbox file that mail programs share, held while it is
 * scanned, appended to or rewritten: a kernel lock of the fcntl family (an open file
 * description lock), then NAME.lock, in this order as Debian's policy has it (s.11.6).
 * Whoever finds the second one held lets go of the first and tries again later.
 *
 * NAME.lock of ours says "PID restante" and is itself locked as long as its maker lives:
 * what a killed process left is removed at once. Others' count as left behind when they
 * were not touched for five minutes. Where the directory cannot be written, there is only
 * the kernel lock.
 *
 * Law: the locked descriptions are never passed on or duplicated.
 */
#ifndef STORE_MAILBOX_LOCK_H
#define STORE_MAILBOX_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#define MAILBOX_LOCK_STALE_S 300
#define MAILBOX_LOCK_WAIT_MS 30000

enum mailbox_lock_kind {
	MAILBOX_READ,
	MAILBOX_WRITE,
	MAILBOX_MAKE, /* as WRITE; a missing file is made (0600) */
};

struct mailbox_lock {
	int fd;	      /* the mailbox, locked; -1: not held */
	bool made;    /* it was missing: the directory must be synced */
	bool dot_off; /* there is no dot lock: the directory cannot be written */
	bool cleared; /* a lock that was left behind was removed: try again at once */
	int dir;      /* borrowed */
	int dot;      /* NAME.lock, locked */
	char dot_name[256];
};

/*
 * 0: held. -ENOENT: there is no mailbox. -EAGAIN: others held it until the end of the
 * wait. -ELOOP, -EINVAL: it is a link, or no plain file. -EPERM: another user's.
 */
[[nodiscard]] int mailbox_lock_take(struct mailbox_lock *l, int dir, const char *name,
	enum mailbox_lock_kind kind, uint64_t wait_ms);
/* Nothing where it is not held. */
void mailbox_lock_release(struct mailbox_lock *l);

#endif
