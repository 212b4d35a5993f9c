/* Locks of files: of a description (OFD), whole files only; and flock. */
#include "sim_calls.h"
#include "sim_disk.h"

#include <errno.h>
#include <sys/file.h>

int
disk_lock(struct file *f, int cmd, struct flock *l)
{
	struct inode *i = f->inode;

	if (f->kind != FILE_DISK)
		return k_fail(EBADF);
	bool held = i->locked && i->locked != f;
	if (cmd == F_OFD_GETLK) {
		if (!held)
			l->l_type = F_UNLCK;
		return 0;
	}
	if (l->l_type == F_UNLCK) {
		i->locked = i->locked == f ? NULL : i->locked;
		return 0;
	}
	if (held && !k_planted("two-sessions"))
		return k_fail(EAGAIN);
	i->locked = f;
	return 0;
}

static void
unflock(struct inode *i, const struct file *f)
{
	size_t n = 0;

	if (i->flocked == f)
		i->flocked = NULL;
	for (size_t k = 0; k < i->shared_n; k++)
		if (i->shared[k] != f)
			i->shared[n++] = i->shared[k];
	i->shared_n = n;
}

int
sim_flock(int fd, int operation)
{
	struct file *f = k_get(fd);

	if (!f)
		return -1;
	struct inode *i = f->inode;
	if (f->kind != FILE_DISK)
		return k_fail(EINVAL);
	bool held = i->flocked && i->flocked != f;
	if ((operation & ~LOCK_NB) == LOCK_UN) {
		unflock(i, f);
		return 0;
	}
	bool exclusive = (operation & ~LOCK_NB) == LOCK_EX;
	bool others = i->shared_n > 1 || (i->shared_n == 1 && i->shared[0] != f);
	if (held || (exclusive && others))
		return k_fail(EWOULDBLOCK);
	unflock(i, f);
	if (!i->shared)
		i->shared = k_new(SHARED_MAX * sizeof(struct file *));
	if (exclusive)
		i->flocked = f;
	else if (i->shared_n < SHARED_MAX)
		i->shared[i->shared_n++] = f;
	return 0;
}

void
k_disk_close(struct file *f)
{
	if (f->inode->locked == f)
		f->inode->locked = NULL;
	unflock(f->inode, f);
}
