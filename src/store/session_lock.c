#include "store/session_lock.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define HOLDER_MAGIC  UINT64_C(0x31304b4c54534552) /* "RESTLK01" */
#define HOLDER_OCTETS 40 /* behind them: 1 where the holder left the record alone */
#define ATTEMPTS_MAX  10 /* the file may be removed under us so often */

static void
holder_write(int file, const struct lock_holder *me)
{
	uint8_t octets[HOLDER_OCTETS + 1];
	struct buf b = buf_over(octets, sizeof(octets));

	buf_put_u64(&b, HOLDER_MAGIC);
	buf_put_u64(&b, me->since);
	buf_put(&b, me->address, sizeof(me->address));
	buf_put_u64(&b, XXH3_64bits(b.p, b.n));
	buf_put_u8(&b, me->since == 0);
	/* Only for the text of a refusal, and for restante last, which is not to forget a
	 * login for a tool: a full disk must not keep anybody out. */
	size_t from = me->since == 0 ? HOLDER_OCTETS : 0;
	(void)!pwrite(file, b.p + from, b.n - from, (off_t)from);
}

int
session_lock_read(int file, struct lock_holder *ret)
{
	uint8_t octets[HOLDER_OCTETS];

	memset(ret, 0, sizeof(*ret));
	ssize_t n = pread(file, octets, sizeof(octets), 0);
	if (n != sizeof(octets))
		return n < 0 ? -errno : n == 0 ? 0 : -EBADMSG;
	/* A crash may leave the length without the octets. */
	if (octets[0] == 0 && memcmp(octets, octets + 1, sizeof(octets) - 1) == 0)
		return 0;
	struct cursor c = cursor_over((struct view){octets, sizeof(octets)});
	uint64_t magic = cursor_u64(&c);
	uint64_t since = cursor_u64(&c);
	struct view address = cursor_take(&c, sizeof(ret->address));
	if (magic != HOLDER_MAGIC ||
		cursor_u64(&c) != XXH3_64bits(octets, HOLDER_OCTETS - 8))
		return -EBADMSG;
	ret->since = since;
	memcpy(ret->address, address.p, address.n);
	return 0;
}

/* Who holds it now. */
static void
holder_read(int file, struct lock_holder *ret)
{
	uint8_t alone = 0;

	/* Unknown is as good. */
	(void)session_lock_read(file, ret);
	if (pread(file, &alone, 1, HOLDER_OCTETS) == 1 && alone != 0)
		memset(ret, 0, sizeof(*ret));
}

static bool
is_the_one_in(int dir, const char *name, uint64_t ino)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		st.st_ino == ino;
}

/* -EAGAIN: the file was removed or replaced meanwhile. -EBUSY: held. Else: no such lock
 * here. */
static int
lock_file(int dir, const char *name, struct lock_holder *ret_other, int *ret_file,
	uint64_t *ret_ino)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	AUTO_FD file = openat(dir, name, flags, 0600);
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat st;

	if (file < 0)
		return -errno;
	if (fstat(file, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	/* Laid there by a neighbour, who could hold it for ever. */
	if (st.st_uid != geteuid())
		return -EPERM;
	if (fcntl(file, F_OFD_SETLK, &whole) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		holder_read(file, ret_other);
		return is_the_one_in(dir, name, st.st_ino) ? -EBUSY : -EAGAIN;
	}
	if (!is_the_one_in(dir, name, st.st_ino))
		return -EAGAIN;
	*ret_ino = st.st_ino;
	*ret_file = fd_take(&file);
	return 0;
}

static int
lock_dir(int dir, int kind)
{
	for (;;) {
		if (flock(dir, kind | LOCK_NB) == 0)
			return 0;
		if (errno != EINTR)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
}

/* Errors of this process, not of the maildrop: the other kind of lock would not help. */
static bool
is_our_own(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EIO;
}

/* shared: both kinds exclude each other, as the maildrop is a directory of its own. */
static int
take(struct session_lock *l, int instead, bool shared, const struct lock_holder *me,
	struct lock_holder *ret_other)
{
	struct lock_holder other = {.since = 0};
	const char *name = l->name ? l->name : SESSION_LOCK_NAME;
	AUTO_FD file = -1;
	uint64_t ino = 0;
	int r = -EAGAIN, dir = l->dir;

	l->dir = -1;
	for (int i = 0; i < ATTEMPTS_MAX && r == -EAGAIN; i++)
		r = lock_file(dir, name, &other, &file, &ino);
	if (r == -EAGAIN)
		r = -EBUSY;
	if (r == 0) {
		if (shared)
			r = lock_dir(instead, LOCK_SH);
		/* A file system without flock on directories has no holder of that kind.
		 */
		if (r < 0 && r != -EBUSY)
			r = 0;
		memset(&other, 0, sizeof(other));
	} else if (r != -EBUSY && !is_our_own(r)) {
		r = instead >= 0 ? lock_dir(instead, LOCK_EX) : 0;
		shared = instead >= 0;
	}
	if (r == -EBUSY)
		*ret_other = other;
	if (r < 0)
		return r;
	if (file >= 0)
		holder_write(file, me);
	l->file = fd_take(&file);
	l->dir = dir;
	l->ino = ino;
	l->whole = shared ? instead : -1;
	return 0;
}

int
session_lock_take(struct session_lock *l, int maildrop, const struct lock_holder *me,
	struct lock_holder *ret_other)
{
	*l = (struct session_lock){.file = -1, .dir = maildrop, .whole = -1};
	return maildrop < 0 ? 0 : take(l, maildrop, true, me, ret_other);
}

int
session_lock_take_beside(struct session_lock *l, int dir, const char *name, int instead,
	const struct lock_holder *me, struct lock_holder *ret_other)
{
	*l = (struct session_lock){.file = -1, .dir = dir, .name = name, .whole = -1};
	return dir < 0 ? 0 : take(l, instead, false, me, ret_other);
}

bool
session_lock_is_held(const struct session_lock *l)
{
	struct stat st;

	if (l->dir < 0)
		return true;
	/* A directory that was removed has no links; the mail of others is elsewhere. */
	if (fstat(l->dir, &st) < 0 || st.st_nlink == 0)
		return false;
	return l->file < 0 ||
		is_the_one_in(l->dir, l->name ? l->name : SESSION_LOCK_NAME, l->ino);
}

void
session_lock_release(struct session_lock *l)
{
	if (l->dir >= 0 && l->whole >= 0)
		(void)flock(l->whole, LOCK_UN);
	l->whole = -1;
	fd_close(&l->file);
	l->dir = -1;
}
