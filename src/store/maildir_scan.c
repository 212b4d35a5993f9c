/* getdents64 of new and cur: names, inodes and the moment at which they were read. */
#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"
#include "store/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define SCAN_ATTEMPTS 4 /* then what was read counts, but is not trusted next time */
#define ENTRIES_MAX   (2 * SCAN_ATTEMPTS * (size_t)MAILDIR_MESSAGES_MAX)
#define SCAN_BUFFER   65536
#define NS_PER_S      INT64_C(1000000000)
#define RACY_NS	      INT64_C(20000000) /* two ticks of the coarsest kernel clock */
#define RACY_COARSE   (2 * NS_PER_S)	/* where file times are whole seconds */

static const char *const sub_names[MAILDIR_DIRS] = {"new", "cur"};

int
maildir_bytes_add(struct maildir_bytes *b, const void *p, size_t n, uint32_t *ret_at)
{
	if (n > UINT32_MAX - 1 - b->n)
		return -EFBIG;
	if (b->n + n + 1 > b->cap) {
		size_t cap = b->cap < 4096 ? 4096 : b->cap * 2;
		while (cap < b->n + n + 1)
			cap *= 2;
		char *grown = realloc(b->p, cap);
		if (!grown)
			return -ENOMEM;
		b->p = grown;
		b->cap = cap;
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->p[b->n + n] = '\0';
	*ret_at = (uint32_t)b->n;
	b->n += n + 1;
	return 0;
}

static int64_t
ns_of(struct statx_timestamp t)
{
	int64_t ns;

	/* Times beyond the range of nanoseconds only have to differ from sound ones. */
	if (__builtin_mul_overflow(t.tv_sec, NS_PER_S, &ns))
		return t.tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns + (int64_t)t.tv_nsec;
}

static int
id_of(int dir, const char *name, int flags, struct maildir_dir_id *ret)
{
	struct statx x;

	if (statx(dir, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		    STATX_TYPE | STATX_INO | STATX_MTIME | STATX_CTIME, &x) < 0)
		return -errno;
	if (S_ISLNK(x.stx_mode))
		return -ELOOP;
	if (!S_ISDIR(x.stx_mode))
		return -ENOTDIR;
	ret->dev = (uint64_t)x.stx_dev_major << 32 | x.stx_dev_minor;
	ret->ino = x.stx_ino;
	ret->mtime_ns = ns_of(x.stx_mtime);
	ret->ctime_ns = ns_of(x.stx_ctime);
	return 0;
}

int
maildir_ids_now(const struct store *s, struct maildir_dir_id ret[MAILDIR_DIRS])
{
	memset(ret, 0, sizeof(*ret) * MAILDIR_DIRS);
	if (s->top < 0)
		return 0;
	for (int d = 0; d < MAILDIR_DIRS; d++) {
		int r = id_of(s->top, sub_names[d], 0, &ret[d]);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

bool
maildir_ids_equal(const struct maildir_dir_id *a, const struct maildir_dir_id *b)
{
	for (int d = 0; d < MAILDIR_DIRS; d++)
		if (a[d].dev != b[d].dev || a[d].ino != b[d].ino ||
			a[d].mtime_ns != b[d].mtime_ns || a[d].ctime_ns != b[d].ctime_ns)
			return false;
	return true;
}

int
maildir_open_sub(struct store *s, enum maildir_dir dir)
{
	CHECK(dir < MAILDIR_DIRS);
	if (s->sub[dir] >= 0)
		return 0;
	if (s->top < 0)
		return -ENOENT;
	s->sub[dir] = openat(
		s->top, sub_names[dir], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return s->sub[dir] < 0 ? -errno : 0;
}

void
maildir_close_subs(struct store *s)
{
	for (int d = 0; d < MAILDIR_DIRS; d++)
		fd_close(&s->sub[d]);
}

/* Whether a change after the scan could leave these times as they are. */
static bool
is_racy(const struct maildir_dir_id *id, int64_t scanned_ns)
{
	bool whole = id->mtime_ns % NS_PER_S == 0 && id->ctime_ns % NS_PER_S == 0;
	int64_t window = whole ? RACY_COARSE : RACY_NS;

	if (id->ino == 0)
		return false;
	return id->ctime_ns > scanned_ns - window ||
		(id->mtime_ns > scanned_ns - window &&
			id->mtime_ns < scanned_ns + window);
}

static int
entry_add(struct maildir_scan *scan, const struct dirent64 *e, enum maildir_dir dir)
{
	size_t n = strlen(e->d_name);
	struct maildir_entry entry = {.ino = e->d_ino, .dir = (uint8_t)dir};

	if (n < 1 || n > MAILDIR_NAME_MAX || e->d_name[0] == '.')
		return 0;
	if (e->d_type != DT_REG && e->d_type != DT_UNKNOWN)
		return 0;
	if (scan->n == scan->cap) {
		size_t cap = scan->cap ? scan->cap * 2 : 64;
		void *grown = realloc(scan->entries, cap * sizeof(*scan->entries));
		if (!grown)
			return -ENOMEM;
		scan->entries = grown;
		scan->cap = cap;
	}
	/* Twice the limit in each read: a file may be met in both directories. */
	if (scan->n >= ENTRIES_MAX)
		return -EFBIG;
	int r = maildir_bytes_add(&scan->names, e->d_name, n, &entry.name_at);
	if (r < 0)
		return r;
	entry.name_n = (uint8_t)n;
	scan->entries[scan->n++] = entry;
	return 0;
}

static int
read_dir(int fd, enum maildir_dir dir, char *buffer, struct maildir_scan *scan)
{
	for (;;) {
		ssize_t n = getdents64(fd, buffer, SCAN_BUFFER);
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *e = (const void *)(buffer + at);
			int r = entry_add(scan, e, dir);
			if (r < 0)
				return r;
			at += e->d_reclen;
		}
	}
}

/*
 * A name that is changed while its directory is read may be met twice or not at all. So
 * where no read was undisturbed, files that only an earlier one met count too (entries
 * before `last`), under the name that they had then.
 */
static int
merge_reads(struct maildir_scan *scan, size_t last)
{
	bool one_device = scan->ids[MAILDIR_NEW].dev == scan->ids[MAILDIR_CUR].dev;
	uint32_t mask = maildir_hash_mask((uint32_t)scan->n);
	AUTO_FREE uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));
	size_t kept = scan->n;

	if (!slots)
		return -ENOMEM;
	for (size_t i = scan->n; i > 0; i--) {
		const struct maildir_entry *e = &scan->entries[i - 1];
		uint32_t at = (uint32_t)XXH3_64bits(&e->ino, sizeof(e->ino)) & mask;
		for (; slots[at] != 0; at = (at + 1) & mask) {
			const struct maildir_entry *o = &scan->entries[slots[at] - 1];
			if (o->ino == e->ino && (one_device || o->dir == e->dir))
				break;
		}
		if (slots[at] != 0 && i <= last)
			continue;
		/* Kept ones gather at the end, where nothing is looked at any more. */
		scan->entries[--kept] = *e;
		if (slots[at] == 0)
			slots[at] = (uint32_t)kept + 1;
	}
	scan->n -= kept;
	memmove(scan->entries, scan->entries + kept, scan->n * sizeof(*scan->entries));
	return 0;
}

/* -EAGAIN: something changed meanwhile. */
static int
read_once(struct store *s, char *buffer, struct maildir_scan *scan)
{
	struct maildir_dir_id after[MAILDIR_DIRS];

	/* Opened anew: a directory may have been replaced. */
	maildir_close_subs(s);
	int r = maildir_ids_now(s, scan->ids);
	for (int d = 0; d < MAILDIR_DIRS && r == 0; d++) {
		if (scan->ids[d].ino == 0)
			continue;
		r = maildir_open_sub(s, (enum maildir_dir)d);
		if (r == -ENOENT)
			return -EAGAIN;
		if (r == 0)
			r = read_dir(s->sub[d], (enum maildir_dir)d, buffer, scan);
		stat_add(STAT_SCANS, 1);
	}
	if (r == 0)
		r = maildir_ids_now(s, after);
	if (r < 0)
		return r;
	return maildir_ids_equal(scan->ids, after) ? 0 : -EAGAIN;
}

int
maildir_scan_read(struct store *s, struct maildir_scan *ret)
{
	struct maildir_scan scan = {.n = 0};
	size_t last = 0;
	AUTO_FREE char *buffer = malloc(SCAN_BUFFER);
	int r = -EAGAIN;

	if (!buffer)
		return -ENOMEM;
	for (int i = 0; i < SCAN_ATTEMPTS && r == -EAGAIN; i++) {
		int64_t now = (int64_t)clock_unix_ns();
		last = scan.n;
		r = read_once(s, buffer, &scan);
		scan.racy = r == -EAGAIN || is_racy(&scan.ids[MAILDIR_NEW], now) ||
			is_racy(&scan.ids[MAILDIR_CUR], now);
	}
	if (r == -EAGAIN) {
		r = merge_reads(&scan, last);
	} else if (r == 0 && last > 0) {
		scan.n -= last;
		memmove(scan.entries, scan.entries + last,
			scan.n * sizeof(*scan.entries));
	}
	if (r < 0) {
		maildir_scan_done(&scan);
		return r;
	}
	*ret = scan;
	return 0;
}

void
maildir_scan_done(struct maildir_scan *scan)
{
	free(scan->entries);
	free(scan->names.p);
	*scan = (struct maildir_scan){.n = 0};
}
