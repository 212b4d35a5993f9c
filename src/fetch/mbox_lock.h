/*
 * mbox_lock.h: an mbox under both locks that other programs know: MBOX.lock, made by
 * link(2), and a kernel lock of the fcntl family (an open file description lock; it and
 * other programs' classic ones exclude each other).
 *
 * A dot lock that stands in the way is removed when it is ours (this host, program and a
 * process that is gone, also where another has its number now, or the machine was started
 * anew since), or, whosever it is, when
 * it has not been touched for 15 minutes. Where the directory may not be written, as with
 * /var/mail for some, the kernel lock is all there is.
 */
#ifndef FETCH_MBOX_LOCK_H
#define FETCH_MBOX_LOCK_H

#include <stdint.h>

#define MBOX_LOCK_STALE_S (15 * 60)

struct mbox_lock {
	int dir, fd;   /* of the mbox: O_RDWR, locked */
	char dot[256]; /* name of the dot lock; "" there is none */
	uint64_t dot_inode;
};

/*
 * Opens the mbox (made with 0600 and its directories where it is missing, all synced) and
 * locks it. -EWOULDBLOCK: others held it until the deadline (clock_ms). -EINVAL: it is no
 * plain file.
 */
[[nodiscard]] int mbox_lock(const char *path, uint64_t until_ms, struct mbox_lock *ret);
/* Removes a dot lock of ours whose process is gone, as a power cut may leave it. */
[[nodiscard]] int mbox_lock_sweep(const char *path);
void mbox_unlock(struct mbox_lock *l);

#endif
