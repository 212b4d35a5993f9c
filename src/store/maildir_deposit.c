/*
 * Contract 5 on a Maildir: written in tmp, synced, published in new by a rename that
 * never replaces, new synced once for all; only then is anything done. Takes no lock and
 * does not touch the table: the next refresh finds what is new.
 */
#include "store/maildir_deposit.h"
#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "pop3/dot.h"
#include "store/deposit_write.h"
#include "store/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define GROUP_MAX    32
#define LOOK_MS	     UINT64_C(86400000)
#define NAME_TRIES   8
#define MICROSECONDS UINT64_C(1000000)
#define NAMING_S     60 /* a delivery and its naming are no further apart */
#define ARRIVE                                                                           \
	(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)
#define LETTER_NAME_LONG 128 /* a key of MAILDIR_UIDL_MAX, sizes and a NUL */

struct places {
	int tmp, new_dir;
};

struct letter {
	struct store_deposit *d;
	int fd;	   /* in tmp; -1: not open */
	int early; /* an error that was told before the sync, and not again by it */
	uint64_t stored, wire; /* wire: without the end that the last line may lack */
	char tmp[LETTER_NAME_LONG]; /* empty: nothing there */
	char name[LETTER_NAME_LONG];
	bool published;
};

/* ---- names ------------------------------------------------------------------- */

/*
 * When a message is named: later than all before it, so that the order of names is that
 * of deliveries. The caller's time counts where the clock says something quite different.
 */
static uint64_t
moment(struct maildir_deposits *m, const struct store_deposit *d)
{
	uint64_t now = clock_unix_ns() / 1000, at = d->now_s * MICROSECONDS;

	if (now > at && now - at < NAMING_S * MICROSECONDS)
		at = now;
	if (m->last_us >= at && m->last_us - at < NAMING_S * MICROSECONDS)
		at = m->last_us + 1;
	m->last_us = at;
	return at;
}

/* No longer than a UIDL may be, so that it is one. */
static int
name_new(struct store *s, const struct store_deposit *d, char ret[LETTER_NAME_LONG])
{
	struct maildir_deposits *m = &s->deposits;
	char host[DEPOSIT_HOST_MAX];

	if (m->pid == 0) {
		if (getrandom(&m->random, sizeof(m->random), 0) != sizeof(m->random))
			return -EIO;
		m->pid = (int)getpid();
	}
	deposit_hostname((struct view){(const uint8_t *)s->o->hostname,
				 s->o->hostname ? strlen(s->o->hostname) : 0},
		host);
	uint64_t us = moment(m, d);
	int n = snprintf(ret, MAILDIR_UIDL_MAX + 1, "%llu.M%06uP%dQ%lluR%08x.%s",
		(unsigned long long)(us / MICROSECONDS), (unsigned)(us % MICROSECONDS),
		m->pid, (unsigned long long)++m->names, m->random, host);
	return n > 0 ? 0 : -EIO;
}

static void
name_with_sizes(const char *key, const struct letter *l, char ret[LETTER_NAME_LONG])
{
	int n = snprintf(ret, LETTER_NAME_LONG, "%s,S=%llu,W=%llu", key,
		(unsigned long long)l->stored, (unsigned long long)l->wire);

	CHECK(n > 0);
	CHECK(n < LETTER_NAME_LONG);
}

/* ---- one message in tmp ----------------------------------------------------------- */

static int
create(struct store *s, const struct places *p, struct letter *l)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	for (int i = 0; i < NAME_TRIES; i++) {
		char name[LETTER_NAME_LONG];
		int r = name_new(s, l->d, name);
		if (r < 0)
			return r;
		l->fd = openat(p->tmp, name, flags, 0600);
		if (l->fd >= 0) {
			memcpy(l->tmp, name, sizeof(name));
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int
fill(struct letter *l, struct deposit_reader *source)
{
	const struct dot_kernel *kernel = dot_best();
	struct dot_state state = {0};
	struct view v;
	int r;

	l->stored = l->wire = 0;
	deposit_reader_start(source, l->d);
	while ((r = deposit_reader_next(source, &v)) == 0 && v.n > 0) {
		r = fd_write_all(l->fd, v.p, v.n);
		if (r < 0)
			return r;
		l->stored += v.n;
		l->wire += kernel->count(&state, v.p, v.n);
	}
	return r;
}

/* It fails once at most in a life; a second try leaves nothing behind. */
static void
remove_name(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		(void)unlinkat(dir, name, 0);
}

static void
letter_drop(const struct places *p, struct letter *l)
{
	fd_close(&l->fd);
	if (l->tmp[0])
		remove_name(p->tmp, l->tmp);
	l->tmp[0] = '\0';
}

static void
letter_write(struct store *s, const struct places *p, struct letter *l,
	struct deposit_reader *source)
{
	int r = create(s, p, l);

	if (r == 0)
		r = fill(l, source);
	if (r < 0)
		letter_drop(p, l);
	l->d->result = r;
}

static int
sync_file(struct letter *l)
{
	int r = l->early;

	if (r == 0 && fsync(l->fd) < 0)
		r = -errno;
	l->early = 0;
	fd_close(&l->fd);
	return r;
}

static bool
is_about_room(int r)
{
	return fd_is_full(r) || r == -EFBIG;
}

/*
 * A sync that failed says nothing of the file's octets when it is tried again: they are
 * written once more, elsewhere.
 */
static void
letter_sync(struct store *s, const struct places *p, struct letter *l,
	struct deposit_reader *source)
{
	int r = sync_file(l);

	if (r < 0)
		letter_drop(p, l);
	if (r < 0 && !is_about_room(r)) {
		letter_write(s, p, l, source);
		r = l->d->result;
		if (r == 0)
			r = sync_file(l);
		if (r < 0)
			letter_drop(p, l);
	}
	l->d->result = r == 0 || is_about_room(r) ? r : -EIO;
}

/* ---- published -------------------------------------------------------------------- */

/* Where the file system has no rename of this kind: one name or the other, never both. */
static int
publish_by_link(const struct places *p, const struct letter *l)
{
	if (linkat(p->tmp, l->tmp, p->new_dir, l->name, 0) < 0)
		return -errno;
	if (unlinkat(p->tmp, l->tmp, 0) == 0)
		return 0;
	int r = -errno;
	remove_name(p->new_dir, l->name);
	return r;
}

static int
publish_as(const struct places *p, struct letter *l, const char *key)
{
	name_with_sizes(key, l, l->name);
	if (renameat2(p->tmp, l->tmp, p->new_dir, l->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	return publish_by_link(p, l);
}

static void
letter_publish(struct store *s, const struct places *p, struct letter *l)
{
	char key[LETTER_NAME_LONG];
	int r = publish_as(p, l, l->tmp);

	for (int i = 0; i < NAME_TRIES && r == -EEXIST; i++) {
		r = name_new(s, l->d, key);
		if (r == 0)
			r = publish_as(p, l, key);
	}
	l->d->result = r;
	if (r < 0) {
		letter_drop(p, l);
		return;
	}
	l->tmp[0] = '\0';
	l->published = true;
}

/* Threats, rule 4: what may vanish in a crash is taken out again, and said to be. */
static void
take_out(const struct places *p, struct letter *group, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!group[i].published)
			continue;
		remove_name(p->new_dir, group[i].name);
		group[i].d->result = -EIO;
	}
	(void)!fsync(p->new_dir); /* as far as it goes; it failed before */
}

/* ---- a group -------------------------------------------------------------------- */

static int
open_sub(const struct store *s, const char *name)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", s->path, name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return fd_open_beneath(s->root, path, O_RDONLY | O_DIRECTORY, 0);
}

static void
places_close(struct places *p)
{
	fd_close(&p->tmp);
	fd_close(&p->new_dir);
}

/* Anew each time: the maildrop may have been removed and restored. */
static int
places_open(const struct store *s, struct places *p)
{
	p->tmp = open_sub(s, "tmp");
	p->new_dir = p->tmp < 0 ? p->tmp : open_sub(s, "new");
	int r = p->new_dir < 0 ? p->new_dir : 0;
	if (r < 0)
		places_close(p);
	return r;
}

static int
places_make(struct store *s, struct places *p)
{
	int r = s->deposits.whole ? places_open(s, p) : -ENOENT;

	if (r != -ENOENT)
		return r;
	AUTO_FD top = -1;
	r = maildir_make(s, &top);
	if (r == 0)
		r = places_open(s, p);
	s->deposits.whole = r == 0;
	return r;
}

static void
look_at_stale(struct store *s, const struct places *p)
{
	uint64_t now = clock_ms();

	if (now < s->deposits.look_ms)
		return;
	s->deposits.look_ms = now + LOOK_MS;
	AUTO_FD top = fd_open_beneath(s->root, s->path, O_RDONLY | O_DIRECTORY, 0);
	if (top >= 0)
		maildir_sweep(top, p->tmp);
}

/*
 * All octets of a group are on their way before the first sync, and have arrived: then
 * one commit of the file system's journal carries all of its files.
 */
static void
letter_range(struct letter *l, unsigned flags)
{
	if (l->d->result == 0 && l->early == 0)
		l->early = fd_sync_range(l->fd, flags);
}

static void
group_write(struct store *s, const struct places *p, struct letter *group, size_t n,
	struct deposit_reader *source)
{
	for (size_t i = 0; i < n; i++) {
		letter_write(s, p, &group[i], source);
		if (n > 1)
			letter_range(&group[i], SYNC_FILE_RANGE_WRITE);
	}
	for (size_t i = 0; n > 1 && i < n; i++)
		letter_range(&group[i], ARRIVE);
	for (size_t i = 0; i < n; i++)
		if (group[i].d->result == 0)
			letter_sync(s, p, &group[i], source);
}

static void
group_publish(struct store *s, const struct places *p, struct letter *group, size_t n)
{
	size_t published = 0;

	for (size_t i = 0; i < n; i++) {
		if (group[i].d->result == 0)
			letter_publish(s, p, &group[i]);
		published += group[i].published;
	}
	if (published > 0 && maildir_sync_directory(p->new_dir) < 0)
		take_out(p, group, n);
}

static int
deposit_group(struct store *s, struct store_deposit *list, size_t n)
{
	AUTO_FREE struct letter *group = calloc(n, sizeof(*group));
	struct places p = {-1, -1};
	struct deposit_reader source;
	uint64_t longest = 0;

	for (size_t i = 0; i < n; i++)
		longest = list[i].length > longest ? list[i].length : longest;
	if (!group)
		return -ENOMEM;
	int r = places_make(s, &p);
	if (r < 0)
		return r;
	r = deposit_reader_init(&source, longest);
	if (r == 0) {
		for (size_t i = 0; i < n; i++)
			group[i] = (struct letter){.d = &list[i], .fd = -1};
		group_write(s, &p, group, n, &source);
		deposit_reader_done(&source);
		group_publish(s, &p, group, n);
		look_at_stale(s, &p);
	}
	places_close(&p);
	return r;
}

void
maildir_deposit(struct store *s, struct store_deposit *list, size_t n)
{
	for (size_t at = 0; at < n; at += GROUP_MAX) {
		size_t part = n - at < GROUP_MAX ? n - at : GROUP_MAX;
		int r = deposit_group(s, list + at, part);
		for (size_t i = 0; i < part && r < 0; i++)
			list[at + i].result = r;
	}
}
