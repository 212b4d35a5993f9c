/* Sizes of fresh rows: what is known or named, what has to be read, in which order. */
#include "base/ascii.h"
#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/maildir_build.h"

#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>

#define THREADS_MAX  4
#define THREADS_FROM 1000 /* files left before a thread is worth its start */
#define SHARE	     64	  /* rows that a thread takes at once */
#define AT_ONCE	     16 /* files from which on each is not asked for what an entry tells */
/* A disk is waited for when this many files took so long. */
#define LOOK_FILES 512
#define LOOK_NS	   (LOOK_FILES * UINT64_C(60000))

/*
 * Where an entry says what a file is and which inode it has, and a read is short only at
 * the end of a file. Elsewhere each file is asked.
 */
static const uint32_t plain_file_systems[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,
	BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC};

struct sizing_work {
	struct maildir_build *b;
	const int *sub;
	struct maildir_sizing *list;
	size_t n;
	size_t next;	    /* atomic */
	uint64_t plain;	    /* directories whose entries are believed: a bit each */
	int64_t counted_ns; /* of rows whose files are not asked for their time */
};

/* ---- one row ---------------------------------------------------------------- */

/* A size that was known before, for the same key. Counted only if it is the same file. */
static bool
size_is_known(const struct maildir_build *b, uint32_t i, const struct maildir_file *f)
{
	struct maildir_row *r = &b->t->rows[i];

	if (b->match[i] == 0)
		return false;
	const struct maildir_row *k = &b->known->rows[b->match[i] - 1];
	if (k->stored != f->size || !maildir_time_holds(k, f->mtime_ns))
		return false;
	r->wire = k->wire;
	if (k->dir != MAILDIR_NOWHERE && k->ino == f->ino &&
		b->known->ids[k->dir].dev == b->t->ids[r->dir].dev)
		r->flags |= k->flags & (ROW_COUNTED | ROW_AS_IS | ROW_UNSAVED);
	else
		r->flags |= ROW_UNSAVED;
	return true;
}

/* ,W= is believed only where ,S= tells the truth. */
static bool
size_is_named(struct maildir_row *r, const char *text, const struct maildir_file *f)
{
	struct maildir_name name;

	if (!maildir_name_parse((struct view){(const uint8_t *)text, r->name_n}, &name))
		return false;
	if (!name.has_size || !name.has_wire || name.size != f->size)
		return false;
	/* A message grows on the wire: by its CRs and the last line end at most. */
	if (name.wire < name.size || name.wire / 2 > name.size + 1)
		return false;
	r->wire = name.wire;
	r->flags |= ROW_UNSAVED;
	return true;
}

/* Whether it may be told without all of the file being read. */
static bool
may_be_told(const struct maildir_build *b, uint32_t i, const char *name)
{
	const struct maildir_row *r = &b->t->rows[i];

	if (b->match[i] != 0)
		return true;
	/* Without a field taken out of it the key goes on to the flags, or the end. */
	bool plain = r->key_at == r->name_at &&
		(name[r->key_n] == ':' || name[r->key_n] == '\0');
	return !plain && memmem(name, r->name_n, ",W=", 3);
}

/*
 * ,W= does not count the end that a last line lacks: other servers that have it there
 * compare it with what they send. What cannot be read is never sent.
 */
static int
add_missing_end(int dir, const char *name, struct maildir_row *row)
{
	struct maildir_file f;
	uint8_t last;
	AUTO_FD fd = maildir_open_file(dir, name, &f);

	if (fd < 0)
		return fd == -EACCES ? 0 : fd;
	if (f.size == 0)
		return 0;
	int r = fd_pread_all(fd, &last, 1, f.size - 1);
	if (r == 0 && last != '\n')
		row->wire += 2;
	return r;
}

static int
size_one(const struct sizing_work *w, uint32_t i, const struct dot_kernel *kernel,
	uint8_t *block)
{
	struct maildir_row *row = &w->b->t->rows[i];
	const char *name = maildir_row_name(w->b->t, row);
	struct maildir_file f;
	int dir = w->sub[row->dir];

	if (may_be_told(w->b, i, name)) {
		int r = maildir_stat(dir, name, &f);
		if (r < 0)
			return r;
		if (!f.regular)
			return -EINVAL;
		maildir_take_file(row, &f);
		if (size_is_known(w->b, i, &f))
			return 0;
		if (size_is_named(row, name, &f))
			return add_missing_end(dir, name, row);
	} else if ((w->plain >> row->dir & 1) && ascii_is_digit((uint8_t)name[0])) {
		/* The name says when it was delivered. */
		row->mtime_ns = -w->counted_ns;
		return maildir_count_at_once(dir, name, kernel, block, row);
	}
	AUTO_FD fd = maildir_open_file(dir, name, &f);
	if (fd < 0)
		return fd;
	maildir_take_file(row, &f);
	return maildir_count(fd, f.size, block, row);
}

/* ---- all of them ------------------------------------------------------------ */

/* False: there is nothing more to take. */
static bool
take_share(struct sizing_work *w, const struct dot_kernel *kernel, uint8_t *block)
{
	size_t at = __atomic_fetch_add(&w->next, SHARE, __ATOMIC_RELAXED);

	for (size_t i = at; i < w->n && i < at + SHARE; i++) {
		struct maildir_sizing *z = &w->list[i];
		z->result = size_one(w, z->row, kernel, block);
	}
	return at + SHARE < w->n;
}

static void *
help(void *arg)
{
	struct sizing_work *w = arg;
	AUTO_FREE uint8_t *block = malloc(MAILDIR_BLOCK);

	/* Without memory another thread takes them. */
	while (block && take_share(w, dot_best(), block))
		continue;
	return NULL;
}

/* What this thread waited for so far: time that is not its own. */
static uint64_t
waited_ns(void)
{
	struct timespec own;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own) < 0)
		return 0;
	return clock_unix_ns() - (uint64_t)own.tv_sec * UINT64_C(1000000000) -
		(uint64_t)own.tv_nsec;
}

static size_t
start_helpers(struct sizing_work *w, pthread_t threads[THREADS_MAX - 1])
{
	pthread_attr_t attr;
	size_t started = 0;

	if (pthread_attr_init(&attr) != 0)
		return 0;
	(void)pthread_attr_setstacksize(&attr, 131072);
	while (started < THREADS_MAX - 1 &&
		pthread_create(&threads[started], &attr, help, w) == 0)
		started++;
	(void)pthread_attr_destroy(&attr);
	return started;
}

/*
 * Threads that open files of one directory contend for it, so one does it as long as
 * everything is in memory; where a disk has to be waited for, several wait at once.
 */
static void
size_in_order(struct sizing_work *w)
{
	AUTO_FREE uint8_t *block = malloc(MAILDIR_BLOCK);
	pthread_t threads[THREADS_MAX - 1];
	size_t started = 0, looked = 0;
	uint64_t waited = w->n >= THREADS_FROM ? waited_ns() : 0;

	/* Without memory the rows keep -ENOMEM. */
	while (block && take_share(w, dot_best(), block)) {
		looked += SHARE;
		if (looked < LOOK_FILES || started > 0 || w->n - w->next < THREADS_FROM)
			continue;
		uint64_t now = waited_ns();
		if (now - waited > LOOK_NS && now > waited)
			started = start_helpers(w, threads);
		waited = now;
		looked = 0;
	}
	for (size_t i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
}

static uint64_t
plain_dirs(const struct maildir_build *b, const int *sub)
{
	uint64_t plain = 0;
	struct statfs fs;

	for (unsigned d = 0; d < b->t->dirs; d++) {
		if (sub[d] < 0 || (b->scan->untyped >> d & 1) || fstatfs(sub[d], &fs) < 0)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(plain_file_systems); i++)
			if ((uint32_t)fs.f_type == plain_file_systems[i])
				plain |= UINT64_C(1) << d;
	}
	return plain;
}

void
maildir_size_all(
	struct maildir_build *b, const int *sub, struct maildir_sizing *list, size_t n)
{
	struct sizing_work work = {.b = b, .sub = sub, .list = list, .n = n};

	for (size_t i = 0; i < n; i++)
		list[i].result = -ENOMEM;
	work.counted_ns = (int64_t)clock_unix_ns();
	if (n >= AT_ONCE)
		work.plain = plain_dirs(b, sub);
	if (n > 0)
		size_in_order(&work);
}
