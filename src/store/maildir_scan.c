/* getdents64 of new and cur: names, inodes and the moment at which they were read. */
#include "store/maildir_scan.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_ATTEMPTS 4 /* then what was read counts, but is not trusted next time */
#define ENTRIES_MAX   (2 * SCAN_ATTEMPTS * (size_t)MAILDIR_MESSAGES_MAX)
#define SCAN_BUFFER   32768
#define NS_PER_S      INT64_C(1000000000)
#define RACY_COARSE   (2 * NS_PER_S) /* where file times are whole seconds */

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

/* Whether a change after the scan could leave these times as they are. */
static bool
is_racy(const struct maildir_dir_id *id, int64_t scanned_ns)
{
	bool whole = id->mtime_ns % NS_PER_S == 0 && id->ctime_ns % NS_PER_S == 0;
	int64_t window = whole ? RACY_COARSE : MAILDIR_RACY_NS;

	if (id->ino == 0)
		return false;
	return id->ctime_ns > scanned_ns - window ||
		(id->mtime_ns > scanned_ns - window &&
			id->mtime_ns < scanned_ns + window);
}

/* ---- one reading ------------------------------------------------------------ */

/* Too many are off the walk, or there is none: each is looked up. */
static int
leave_walk(struct maildir_scan *scan)
{
	free(scan->inodes.slots);
	return maildir_inodes_make(scan->known, &scan->inodes);
}

/* 1: a row has this file under this name in this directory, and is marked. 0: none. */
static int
entry_is_kept(struct maildir_scan *scan, const struct dirent64 *e, size_t n, unsigned dir)
{
	if (!scan->keeps || scan->known->ids[dir].dev != scan->ids[dir].dev)
		return 0;
	uint64_t tag = maildir_tag(e->d_name, n, dir, e->d_ino);
	uint32_t row = maildir_walk_next(scan, dir, tag);
	bool leaves = !scan->walks || scan->late_n == MAILDIR_LATE_MAX;
	if (row == 0 && leaves && !scan->inodes.whole) {
		int r = leave_walk(scan);
		if (r < 0)
			return r;
	}
	if (row == 0 && scan->inodes.whole)
		row = maildir_inodes_row(&scan->inodes, tag, e->d_ino);
	if (row > 0 && scan->kept[row - 1] == MAILDIR_GONE)
		row = 0;
	size_t place = maildir_walk_put(scan, dir, tag, row);
	if (row > 0)
		scan->kept[row - 1] = scan->attempt;
	else if (scan->walks && scan->late_n < MAILDIR_LATE_MAX)
		scan->late[scan->late_n++] = (struct maildir_late){scan->n, place};
	return row > 0;
}

static int
entry_add(struct maildir_scan *scan, const struct dirent64 *e, unsigned dir)
{
	size_t n = strlen(e->d_name);
	struct maildir_entry entry = {
		.ino = e->d_ino, .dir = (uint8_t)dir, .attempt = scan->attempt};

	if (n < 1 || n > MAILDIR_NAME_MAX || e->d_name[0] == '.')
		return 0;
	if (e->d_type != DT_REG && e->d_type != DT_UNKNOWN)
		return 0;
	if (e->d_type == DT_UNKNOWN)
		scan->untyped |= UINT64_C(1) << dir;
	int kept = entry_is_kept(scan, e, n, dir);
	if (kept != 0)
		return kept < 0 ? kept : 0;
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

/* The slots are met in no order: their cache lines come while others are looked at. */
static void
fetch_slots(const struct maildir_scan *scan, const char *buffer, ssize_t n)
{
	for (ssize_t at = 0; scan->inodes.whole && at < n;) {
		const struct dirent64 *e = (const void *)(buffer + at);
		__builtin_prefetch(
			&scan->inodes
				 .slots[maildir_hash_u64(e->d_ino) & scan->inodes.mask]);
		at += e->d_reclen;
	}
}

/*
 * The few entries that were off the walk: rows that have them by inode, as they are.
 * Those are taken out of the list. What rows the scan's entries may be is known then.
 */
static int
look_up_late(struct maildir_scan *scan)
{
	size_t n = scan->late_from, late = 0;

	if (!scan->keeps || scan->n == 0)
		return 0;
	if (!scan->inodes.whole) {
		free(scan->inodes.slots);
		int r = maildir_inodes_make_few(scan);
		if (r < 0)
			return r;
	}
	for (size_t i = n; i < scan->n; i++) {
		const struct maildir_entry *e = &scan->entries[i];
		const char *name = scan->names.p + e->name_at;
		uint64_t tag = maildir_tag(name, e->name_n, e->dir, e->ino);
		bool same = scan->known->ids[e->dir].dev == scan->ids[e->dir].dev;
		uint32_t row = same ? maildir_inodes_row(&scan->inodes, tag, e->ino) : 0;
		while (late < scan->late_n && scan->late[late].entry < i)
			late++;
		if (row == 0) {
			scan->entries[n++] = *e;
			continue;
		}
		scan->kept[row - 1] = scan->attempt;
		if (late < scan->late_n && scan->late[late].entry == i)
			maildir_walk_mend(scan, e->dir, scan->late[late].place, row);
	}
	scan->n = n;
	return 0;
}

static int
read_dir(int fd, unsigned dir, char *buffer, struct maildir_scan *scan)
{
	scan->step = 0;
	for (;;) {
		ssize_t n = getdents64(fd, buffer, SCAN_BUFFER);
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		fetch_slots(scan, buffer, n);
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
 * Directories that are not what the table was made of. All, where its rows do not tell
 * everything of a directory: names were looked up again later, or files have names that
 * no row has.
 */
static uint64_t
to_read(const struct store *s, const struct maildir_scan *scan)
{
	const struct maildir_table *t = scan->known;
	uint64_t all = s->dirs == 64 ? UINT64_MAX : (UINT64_C(1) << s->dirs) - 1;

	if (!scan->keeps || maildir_ids_differ(t->found, t->ids, s->dirs) != 0)
		return all;
	if (scan->known_linked)
		return all;
	return (t->racy | t->found_racy |
		       maildir_ids_differ(t->ids, scan->ids, s->dirs)) &
		all;
}

/* -EAGAIN: something changed meanwhile. */
static int
read_once(struct store *s, char *buffer, struct maildir_scan *scan)
{
	struct maildir_dir_id after[MAILDIR_DIRS_MAX];

	/* Opened anew: a directory may have been replaced. */
	maildir_close_subs(s);
	int r = maildir_ids_now(s, scan->ids);
	if (r < 0)
		return r;
	scan->read |= to_read(s, scan);
	scan->late_from = scan->n;
	scan->late_n = 0;
	r = maildir_walk_begin(scan, s->dirs);
	/* Those of new messages first: what moves on while we read is met twice then. */
	for (unsigned i = 0; i < s->dirs && r == 0; i++) {
		unsigned d = i < s->dirs / 2 ? i * 2 : (i - s->dirs / 2) * 2 + 1;
		if (!(scan->read >> d & 1) || scan->ids[d].ino == 0)
			continue;
		r = maildir_open_sub(s, d);
		if (r == -ENOENT)
			return -EAGAIN;
		if (r == 0)
			r = read_dir(s->sub[d], d, buffer, scan);
		stat_add(STAT_SCANS, 1);
	}
	if (r == 0)
		r = maildir_ids_now(s, after);
	if (r == 0)
		r = look_up_late(scan);
	if (r < 0)
		return r;
	return maildir_ids_differ(scan->ids, after, s->dirs) ? -EAGAIN : 0;
}

/* ---- readings put together -------------------------------------------------- */

/*
 * A name that is changed while its directory is read may be met twice or not at all. So
 * where no read was undisturbed, files that only an earlier one met count too, under the
 * name that they had then.
 */
static int
merge_readings(struct maildir_scan *scan)
{
	uint32_t mask = maildir_hash_mask((uint32_t)scan->n), idx;
	AUTO_FREE uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));
	size_t kept = scan->n;

	if (!slots)
		return -ENOMEM;
	for (size_t i = scan->n; i > 0; i--) {
		const struct maildir_entry *e = &scan->entries[i - 1];
		uint32_t at = maildir_hash_u64(e->ino) & mask;
		bool known = false;
		for (; slots[at] != 0; at = (at + 1) & mask) {
			const struct maildir_entry *o = &scan->entries[slots[at] - 1];
			if (o->ino == e->ino &&
				scan->ids[o->dir].dev == scan->ids[e->dir].dev)
				break;
		}
		for (int64_t slot = -1; scan->known && !known &&
			maildir_inodes_next(
				scan->known, &scan->inodes, e->ino, &slot, &idx);)
			known = scan->kept[idx] > e->attempt;
		if (known || (slots[at] != 0 && e->attempt < scan->attempt))
			continue;
		/* What stays gathers at the end, where nothing is looked at any more. */
		scan->entries[--kept] = *e;
		if (slots[at] == 0)
			slots[at] = (uint32_t)kept + 1;
	}
	scan->n -= kept;
	memmove(scan->entries, scan->entries + kept, scan->n * sizeof(*scan->entries));
	/* And a row does not stay where a later reading met its file otherwise. */
	for (size_t i = 0; i < scan->n && scan->known; i++)
		for (int64_t slot = -1; maildir_inodes_next(scan->known, &scan->inodes,
			     scan->entries[i].ino, &slot, &idx);)
			if (scan->kept[idx] < scan->entries[i].attempt)
				scan->kept[idx] = 0;
	return 0;
}

static void
take_last_reading(struct maildir_scan *scan)
{
	size_t first = 0;

	while (first < scan->n && scan->entries[first].attempt < scan->attempt)
		first++;
	scan->n -= first;
	if (first > 0)
		memmove(scan->entries, scan->entries + first,
			scan->n * sizeof(*scan->entries));
	for (uint32_t i = 0; scan->known && i < scan->known->pub.count; i++)
		if (scan->kept[i] < scan->attempt)
			scan->kept[i] = 0;
}

/* Rows of directories that were not read are as they were. */
static void
keep_unread(struct maildir_scan *scan)
{
	const struct maildir_table *t = scan->known;
	uint32_t unread = 0;

	for (unsigned d = 0; d < scan->dirs; d++)
		unread += scan->read >> d & 1 ? 0 : scan->known_in[d];
	for (uint32_t i = 0; t && i < t->pub.count && unread > 0; i++) {
		const struct maildir_row *r = &t->rows[i];
		if (r->dir != MAILDIR_NOWHERE && !(r->flags & ROW_REMOVED) &&
			!(scan->read >> r->dir & 1))
			scan->kept[i] = scan->attempt;
	}
	for (uint32_t i = 0; t && i < t->pub.count; i++)
		if (scan->kept[i] == MAILDIR_GONE)
			scan->kept[i] = 0;
}

static int
scan_begin(struct maildir_scan *scan, const struct maildir_table *known, bool keeps)
{
	*scan = (struct maildir_scan){.known = known, .keeps = known && keeps};
	if (!known)
		return 0;
	scan->kept = calloc((size_t)known->pub.count + 1, 1);
	if (!scan->kept)
		return -ENOMEM;
	for (uint32_t i = 0; i < known->pub.count; i++) {
		const struct maildir_row *r = &known->rows[i];
		scan->known_linked |= (r->flags & ROW_LINKED) != 0;
		scan->known_shared |= (r->flags & ROW_SHARED) != 0;
		if (r->flags & ROW_REMOVED)
			scan->kept[i] = MAILDIR_GONE;
		else if (r->dir < MAILDIR_DIRS_MAX)
			scan->known_in[r->dir]++;
	}
	/* Otherwise rows are looked up once it is known which. */
	return keeps ? 0 : maildir_inodes_make(known, &scan->inodes);
}

static int
scan_read(struct store *s, char *buffer, struct maildir_scan *scan)
{
	int r = -EAGAIN;

	while (scan->attempt < SCAN_ATTEMPTS && r == -EAGAIN) {
		int64_t now = (int64_t)clock_unix_ns();
		scan->attempt++;
		r = read_once(s, buffer, scan);
		scan->racy = r == -EAGAIN ? UINT64_MAX : 0;
		for (unsigned d = 0; d < s->dirs; d++)
			if (is_racy(&scan->ids[d], now))
				scan->racy |= UINT64_C(1) << d;
	}
	if (r == -EAGAIN)
		r = merge_readings(scan);
	else if (r == 0)
		take_last_reading(scan);
	if (r == 0)
		keep_unread(scan);
	return r;
}

int
maildir_scan_read(struct store *s, const struct maildir_table *known, bool keeps,
	struct maildir_scan *ret)
{
	struct maildir_scan scan;
	AUTO_FREE char *buffer = malloc(SCAN_BUFFER);
	int r = scan_begin(&scan, known, keeps);

	scan.dirs = s->dirs;
	if (r == 0)
		r = buffer ? scan_read(s, buffer, &scan) : -ENOMEM;
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
	free(scan->inodes.slots);
	free(scan->kept);
	maildir_walks_free(&scan->walks, scan->dirs);
	*scan = (struct maildir_scan){.n = 0};
}
