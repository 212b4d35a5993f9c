/* What only the file itself tells: its inode, its size, and how many octets it has on the
 * wire. */
#include "os/fd.h"
#include "pop3/dot.h"
#include "stat/stat.h"
#include "store/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xxhash.h>

#define THREADS_FROM 1000 /* files to size before threads are worth their start */
#define THREADS_MAX  4
#define SORT_FROM    32
#define SHARE	     64 /* rows that a thread takes at once */

static int
file_from(const struct statx *x, struct maildir_file *ret)
{
	int64_t ns;

	if (__builtin_mul_overflow(x->stx_mtime.tv_sec, INT64_C(1000000000), &ns))
		ns = 0;
	else
		ns += (int64_t)x->stx_mtime.tv_nsec;
	*ret = (struct maildir_file){
		.dev = (uint64_t)x->stx_dev_major << 32 | x->stx_dev_minor,
		.ino = x->stx_ino,
		.size = x->stx_size,
		.mtime_ns = ns,
		.regular = S_ISREG(x->stx_mode),
	};
	return 0;
}

int
maildir_stat(int dir, const char *name, struct maildir_file *ret)
{
	struct statx x;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		    STATX_TYPE | STATX_INO | STATX_SIZE | STATX_MTIME, &x) < 0)
		return -errno;
	return file_from(&x, ret);
}

/* Not statx, which is twice as slow on a descriptor: this is done for each message. */
int
maildir_fstat(int fd, struct maildir_file *ret)
{
	struct stat st;
	int64_t ns;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (__builtin_mul_overflow(st.st_mtim.tv_sec, INT64_C(1000000000), &ns))
		ns = 0;
	else
		ns += st.st_mtim.tv_nsec;
	*ret = (struct maildir_file){
		.dev = (uint64_t)major(st.st_dev) << 32 | minor(st.st_dev),
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = ns,
		.regular = S_ISREG(st.st_mode),
	};
	return 0;
}

int
maildir_open_file(int dir, const char *name, struct maildir_file *ret)
{
	/* O_NONBLOCK: what is a FIFO by now must not hold us; it changes nothing for
	 * files. */
	AUTO_FD fd = openat(
		dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -EINVAL : -errno;
	int r = maildir_fstat(fd, ret);
	if (r < 0)
		return r;
	return ret->regular ? fd_take(&fd) : -EINVAL;
}

/*
 * Reads the next block at *at. 0: the end. Where the file is as long as it was said to
 * be, a short block is the last, and the read that would find the end is saved.
 */
static ssize_t
read_block(int fd, uint64_t size, uint8_t *block, uint64_t at)
{
	for (;;) {
		if (at >= size && at > 0 && at % MAILDIR_BLOCK != 0)
			return 0;
		ssize_t n = pread(fd, block, MAILDIR_BLOCK, (off_t)at);
		if (n >= 0 || errno != EINTR)
			return n < 0 ? -errno : n;
	}
}

int
maildir_count(int fd, uint64_t size, uint8_t *block, struct maildir_row *row)
{
	const struct dot_kernel *kernel = dot_best();
	struct dot_state state = {0};
	uint64_t stored = 0, wire = 0, missing;
	bool broken = false;
	ssize_t n;

	while ((n = read_block(fd, size, block, stored)) > 0) {
		wire += kernel->survey(&state, block, (size_t)n, &broken);
		stored += (uint64_t)n;
	}
	if (n < 0)
		return (int)n;
	missing = dot_finish_count(&state);
	row->stored = stored;
	row->wire = wire + missing;
	row->flags = (uint8_t)(row->flags & ~(ROW_AS_IS | ROW_COUNTED));
	row->flags |= ROW_COUNTED | ROW_UNSAVED;
	if (!broken && missing == 0)
		row->flags |= ROW_AS_IS;
	stat_add(STAT_SIZED, 1);
	return 0;
}

int
maildir_digest(int dir, const char *name, uint64_t *ret)
{
	struct maildir_file file;
	AUTO_FD fd = maildir_open_file(dir, name, &file);

	if (fd < 0)
		return fd;
	AUTO_FREE uint8_t *block = malloc(MAILDIR_BLOCK);
	if (!block)
		return -ENOMEM;
	uint64_t digest = 0;
	for (uint64_t at = 0; at < file.size; at += MAILDIR_BLOCK) {
		uint64_t left = file.size - at;
		size_t n = left < MAILDIR_BLOCK ? (size_t)left : MAILDIR_BLOCK;
		int r = fd_pread_all(fd, block, n, at);
		if (r < 0)
			return r;
		digest = XXH3_64bits_withSeed(block, n, digest);
	}
	*ret = digest;
	return 0;
}

/* A size that was known before, for the same key. Counted only if it is the same file. */
static bool
size_is_known(struct maildir_sizing *z, const struct maildir_file *f)
{
	const struct maildir_row *k = z->known;

	if (!k || k->stored != f->size || k->mtime_ns != f->mtime_ns)
		return false;
	z->row->wire = k->wire;
	if (z->known_inode && k->ino == f->ino)
		z->row->flags |= k->flags & (ROW_COUNTED | ROW_AS_IS | ROW_UNSAVED);
	else
		z->row->flags |= ROW_UNSAVED;
	return true;
}

/* ,W= is believed only where ,S= tells the truth. */
static bool
size_is_named(struct maildir_sizing *z, const struct maildir_file *f)
{
	struct maildir_name name;
	struct view v = {(const uint8_t *)z->name, z->row->name_n};

	if (!maildir_name_parse(v, &name))
		return false;
	if (!name.has_size || !name.has_wire || name.size != f->size)
		return false;
	/* A message grows on the wire: by its CRs and the last line end at most. */
	if (name.wire < name.size || name.wire / 2 > name.size + 1)
		return false;
	z->row->wire = name.wire;
	z->row->flags |= ROW_UNSAVED;
	return true;
}

/* Whether it may be told without all of the file being read. */
static bool
may_be_told(const struct maildir_sizing *z)
{
	return z->known || memmem(z->name, z->row->name_n, ",W=", 3);
}

/*
 * ,W= does not count the end that a last line lacks: other servers that have it there
 * compare it with what they send. What cannot be read is never sent.
 */
static int
add_missing_end(int dir, struct maildir_sizing *z)
{
	struct maildir_file f;
	uint8_t last;
	AUTO_FD fd = maildir_open_file(dir, z->name, &f);

	if (fd < 0)
		return fd == -EACCES ? 0 : fd;
	if (f.size == 0)
		return 0;
	int r = fd_pread_all(fd, &last, 1, f.size - 1);
	if (r == 0 && last != '\n')
		z->row->wire += 2;
	return r;
}

static void
take_file(struct maildir_row *row, const struct maildir_file *f)
{
	row->ino = f->ino;
	row->stored = f->size;
	row->mtime_ns = f->mtime_ns;
}

static int
size_one(const int *sub, struct maildir_sizing *z, uint8_t *block)
{
	struct maildir_file f;
	int dir = sub[z->row->dir];

	if (may_be_told(z)) {
		int r = maildir_stat(dir, z->name, &f);
		if (r < 0)
			return r;
		if (!f.regular)
			return -EINVAL;
		take_file(z->row, &f);
		if (size_is_known(z, &f))
			return 0;
		if (size_is_named(z, &f))
			return add_missing_end(dir, z);
	}
	AUTO_FD fd = maildir_open_file(dir, z->name, &f);
	if (fd < 0)
		return fd;
	take_file(z->row, &f);
	return maildir_count(fd, f.size, block, z->row);
}

struct sizing_work {
	const int *sub;
	struct maildir_sizing *list;
	size_t n;
	size_t next; /* atomic */
};

static void *
size_share(void *arg)
{
	struct sizing_work *w = arg;
	AUTO_FREE uint8_t *block = malloc(MAILDIR_BLOCK);

	/* Without memory the rows keep -ENOMEM, or another thread takes them. */
	while (block) {
		size_t at = __atomic_fetch_add(&w->next, SHARE, __ATOMIC_RELAXED);
		if (at >= w->n)
			break;
		for (size_t i = at; i < w->n && i < at + SHARE; i++)
			w->list[i].result = size_one(w->sub, &w->list[i], block);
	}
	return NULL;
}

static int
by_inode(const void *a, const void *b)
{
	const struct maildir_sizing *x = a, *y = b;

	return x->row->ino < y->row->ino ? -1 : x->row->ino > y->row->ino;
}

/* Beyond the processors at hand threads only contend for the directory. */
static size_t
helpers_wanted(size_t n)
{
	cpu_set_t set;

	if (n < THREADS_FROM || sched_getaffinity(0, sizeof(set), &set) < 0)
		return 0;
	size_t processors = (size_t)CPU_COUNT(&set);
	return (processors < THREADS_MAX ? processors : THREADS_MAX) - 1;
}

void
maildir_size_all(const int *sub, struct maildir_sizing *list, size_t n)
{
	struct sizing_work work = {sub, list, n, 0};
	pthread_t threads[THREADS_MAX - 1];
	pthread_attr_t attr;
	size_t started = 0, wanted = helpers_wanted(n);

	for (size_t i = 0; i < n; i++)
		list[i].result = -ENOMEM;
	/* Inodes in order: a cold disk is read from one end to the other. */
	if (n >= SORT_FROM)
		qsort(list, n, sizeof(*list), by_inode);
	if (wanted > 0 && pthread_attr_init(&attr) == 0) {
		(void)pthread_attr_setstacksize(&attr, 131072);
		while (started < wanted &&
			pthread_create(&threads[started], &attr, size_share, &work) == 0)
			started++;
		(void)pthread_attr_destroy(&attr);
	}
	if (n > 0)
		(void)size_share(&work);
	for (size_t i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
}
