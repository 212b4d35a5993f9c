/* getdents64 of new and cur: names, inodes and the moment at which they were read. */
#include "store/maildir_scan.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SCAN_ATTEMPTS 4 /* then what was read counts, but is not trusted next time */
#define ENTRIES_MAX   (2 * SCAN_ATTEMPTS * (size_t)MAILDIR_MESSAGES_MAX)
#define SCAN_BUFFER   32768
#define AHEAD	      16 /* rows whose slots are fetched while others are put */
#define NS_PER_S      INT64_C(1000000000)
#define RACY_NS	      INT64_C(20000000) /* two ticks of the coarsest kernel clock */
#define RACY_COARSE   (2 * NS_PER_S)	/* where file times are whole seconds */

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
	int64_t window = whole ? RACY_COARSE : RACY_NS;

	if (id->ino == 0)
		return false;
	return id->ctime_ns > scanned_ns - window ||
		(id->mtime_ns > scanned_ns - window &&
			id->mtime_ns < scanned_ns + window);
}

/* ---- rows by inode ---------------------------------------------------------- */

static uint64_t
tag_of(const char *name, size_t n, unsigned dir)
{
	return XXH3_64bits_withSeed(name, n, dir);
}

static int
inodes_make(const struct maildir_table *t, struct maildir_inodes *ret)
{
	uint32_t mask = maildir_hash_mask(t->pub.count);
	struct maildir_inode_slot *slots = calloc((size_t)mask + 1, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pub.count; i++) {
		const struct maildir_row *r = &t->rows[i];
		uint32_t at = maildir_hash_u64(r->ino) & mask;
		if (i + AHEAD < t->pub.count)
			__builtin_prefetch(
				&slots[maildir_hash_u64(r[AHEAD].ino) & mask], 1);
		if (r->flags & ROW_REMOVED)
			continue;
		while (slots[at].row != 0)
			at = (at + 1) & mask;
		slots[at] = (struct maildir_inode_slot){
			tag_of(maildir_row_name(t, r), r->name_n, r->dir),
			(uint32_t)r->ino, i + 1};
	}
	*ret = (struct maildir_inodes){slots, mask};
	return 0;
}

bool
maildir_inodes_next(const struct maildir_table *t, const struct maildir_inodes *h,
	uint64_t ino, int64_t *slot, uint32_t *ret_idx)
{
	uint32_t at = *slot < 0 ? maildir_hash_u64(ino) : (uint32_t)*slot + 1;

	if (!h->slots)
		return false;
	for (;; at++) {
		at &= h->mask;
		const struct maildir_inode_slot *p = &h->slots[at];
		if (p->row == 0)
			return false;
		if (p->ino != (uint32_t)ino || t->rows[p->row - 1].ino != ino)
			continue;
		*slot = at;
		*ret_idx = p->row - 1;
		return true;
	}
}

/* ---- one reading ------------------------------------------------------------ */

/* Marks the row that has this file under this name in this directory. */
static bool
entry_is_kept(struct maildir_scan *scan, const struct dirent64 *e, size_t n, unsigned dir)
{
	const struct maildir_inodes *h = &scan->inodes;
	uint64_t tag;

	if (!scan->keeps || scan->known->ids[dir].dev != scan->ids[dir].dev)
		return false;
	tag = tag_of(e->d_name, n, dir);
	for (uint32_t at = maildir_hash_u64(e->d_ino);; at++) {
		const struct maildir_inode_slot *p = &h->slots[at & h->mask];
		if (p->row == 0)
			return false;
		if (p->tag != tag || p->ino != (uint32_t)e->d_ino)
			continue;
		scan->kept[p->row - 1] = scan->attempt;
		return true;
	}
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
	if (entry_is_kept(scan, e, n, dir))
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

/* The slots are met in no order: their cache lines come while others are looked at. */
static void
fetch_slots(const struct maildir_scan *scan, const char *buffer, ssize_t n)
{
	for (ssize_t at = 0; scan->keeps && at < n;) {
		const struct dirent64 *e = (const void *)(buffer + at);
		__builtin_prefetch(
			&scan->inodes
				 .slots[maildir_hash_u64(e->d_ino) & scan->inodes.mask]);
		at += e->d_reclen;
	}
}

static int
read_dir(int fd, unsigned dir, char *buffer, struct maildir_scan *scan)
{
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
	for (uint32_t i = 0; i < t->pub.count; i++)
		if (t->rows[i].flags & ROW_LINKED)
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

	for (uint32_t i = 0; t && i < t->pub.count; i++) {
		const struct maildir_row *r = &t->rows[i];
		if (r->dir != MAILDIR_NOWHERE && !(r->flags & ROW_REMOVED) &&
			!(scan->read >> r->dir & 1))
			scan->kept[i] = scan->attempt;
	}
}

static int
scan_begin(struct maildir_scan *scan, const struct maildir_table *known, bool keeps)
{
	*scan = (struct maildir_scan){.known = known, .keeps = known && keeps};
	if (!known)
		return 0;
	scan->kept = calloc((size_t)known->pub.count + 1, 1);
	return scan->kept ? inodes_make(known, &scan->inodes) : -ENOMEM;
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
	*scan = (struct maildir_scan){.n = 0};
}
