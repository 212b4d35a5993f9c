/* From names to a table: what is known of each, what is a message, duplicates, order. */
#include "os/fd.h"
#include "store/maildir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* One table being made. */
struct build {
	struct maildir_table *t;
	const struct maildir_table *known;
	bool known_inodes; /* the same file systems: inodes can be compared */
	bool one_device;   /* new and cur: an inode is one file */
	uint64_t *times;   /* of each row, as long as rows keep their places */
	uint32_t *match;   /* row of known plus 1 */
	uint32_t n;
};

/* ---- names ------------------------------------------------------------------ */

static int
add_row(struct build *b, const struct maildir_entry *e)
{
	struct maildir_row *r = &b->t->rows[b->n];
	struct maildir_name name;
	struct view v = {(const uint8_t *)b->t->names.p + e->name_at, e->name_n};

	if (!maildir_name_parse(v, &name))
		return 0;
	*r = (struct maildir_row){.ino = e->ino,
		.name_at = e->name_at,
		.name_n = e->name_n,
		.dir = e->dir,
		.key_n = name.key_n,
		.flags = name.seen ? ROW_SEEN : 0};
	b->times[b->n++] = name.time;
	return maildir_bytes_add(&b->t->text, name.key, name.key_n, &r->key_at);
}

static void
take_known(struct build *b, uint32_t i, uint32_t idx)
{
	struct maildir_row *r = &b->t->rows[i];
	const struct maildir_row *k = &b->known->rows[idx];

	b->match[i] = idx + 1;
	if (!b->known_inodes || k->ino != r->ino)
		return;
	r->stored = k->stored;
	r->wire = k->wire;
	r->mtime_ns = k->mtime_ns;
	r->flags |= k->flags & (ROW_COUNTED | ROW_AS_IS | ROW_UNSAVED);
}

/* A row of known for row i: the same key and inode, or the only one with the key. */
static void
match_row(struct build *b, uint32_t i, bool exact, uint8_t *taken)
{
	const struct maildir_row *r = &b->t->rows[i];
	uint32_t idx, found = 0, candidates = 0;
	int64_t slot = -1;

	while (maildir_table_next(b->known, maildir_key(b->t, r), &slot, &idx)) {
		const struct maildir_row *k = &b->known->rows[idx];
		if (k->flags & ROW_REMOVED)
			continue;
		candidates++;
		if (exact ? b->known_inodes && k->ino == r->ino : !taken[idx])
			found = idx + 1;
	}
	if (!found || (!exact && candidates > 1))
		return;
	if (exact && taken[found - 1] && r->dir != MAILDIR_CUR)
		return;
	taken[found - 1] = 1;
	take_known(b, i, found - 1);
}

static int
match_known(struct build *b)
{
	if (!b->known || b->known->pub.count == 0)
		return 0;
	AUTO_FREE uint8_t *taken = calloc(b->known->pub.count, 1);
	if (!taken)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++)
		match_row(b, i, true, taken);
	for (uint32_t i = 0; i < b->n; i++)
		if (b->match[i] == 0)
			match_row(b, i, false, taken);
	return 0;
}

/* ---- sizes ------------------------------------------------------------------ */

static bool
needs_sizing(const struct build *b, uint32_t i)
{
	if (b->match[i] == 0 || !b->known_inodes)
		return true;
	return b->known->rows[b->match[i] - 1].ino != b->t->rows[i].ino;
}

/* Takes the rows out that are no messages after all. */
static void
drop_rows(struct build *b, const uint8_t *drop)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		if (drop[i])
			continue;
		b->t->rows[n] = b->t->rows[i];
		b->times[n] = b->times[i];
		b->match[n++] = b->match[i];
	}
	b->n = n;
}

static int
size_rows(struct build *b, const int sub[MAILDIR_DIRS])
{
	AUTO_FREE struct maildir_sizing *list = calloc((size_t)b->n + 1, sizeof(*list));
	AUTO_FREE uint8_t *drop = calloc((size_t)b->n + 1, 1);
	size_t n = 0;

	if (!list || !drop)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++) {
		struct maildir_row *r = &b->t->rows[i];
		if (!needs_sizing(b, i))
			continue;
		list[n++] = (struct maildir_sizing){.row = r,
			.known = b->match[i] ? &b->known->rows[b->match[i] - 1] : NULL,
			.known_inode = b->known_inodes,
			.name = maildir_row_name(b->t, r)};
	}
	maildir_size_all(sub, list, n);
	for (size_t i = 0; i < n; i++) {
		int r = list[i].result;
		/* Of this process, not of the message: leaving it out would be a lie. */
		if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
			return r;
		if (r < 0)
			drop[list[i].row - b->t->rows] = 1;
		if (r == -ENOENT)
			b->t->moved++;
		/* It may be readable next time, and no directory will tell. */
		if (r < 0 && r != -EINVAL)
			b->t->racy = true;
	}
	drop_rows(b, drop);
	return 0;
}

/* ---- the same file twice ---------------------------------------------------- */

static int
order_of(const struct build *b, uint32_t x, uint32_t y)
{
	const struct maildir_row *p = &b->t->rows[x], *q = &b->t->rows[y];
	size_t n = p->key_n < q->key_n ? p->key_n : q->key_n;

	if (b->times[x] != b->times[y])
		return b->times[x] < b->times[y] ? -1 : 1;
	int r = memcmp(b->t->text.p + p->key_at, b->t->text.p + q->key_at, n);
	if (r != 0)
		return r;
	if (p->key_n != q->key_n)
		return p->key_n < q->key_n ? -1 : 1;
	if (p->ino != q->ino)
		return p->ino < q->ino ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* Of two names of one file: the one in cur, else the first in order. */
static bool
is_better_name(const struct build *b, uint32_t x, uint32_t y)
{
	const struct maildir_row *p = &b->t->rows[x], *q = &b->t->rows[y];

	if (p->dir != q->dir)
		return p->dir == MAILDIR_CUR;
	return order_of(b, x, y) < 0;
}

static bool
keys_equal(const struct maildir_table *t, const struct maildir_row *x,
	const struct maildir_row *y)
{
	return x->key_n == y->key_n &&
		memcmp(t->text.p + x->key_at, t->text.p + y->key_at, x->key_n) == 0;
}

static int
drop_links(struct build *b)
{
	uint32_t mask = maildir_hash_mask(b->n);
	AUTO_FREE uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));
	AUTO_FREE uint8_t *drop = calloc((size_t)b->n + 1, 1);
	struct maildir_row *rows = b->t->rows;

	if (!slots || !drop)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++) {
		uint32_t at =
			(uint32_t)XXH3_64bits(&rows[i].ino, sizeof(rows[i].ino)) & mask;
		for (; slots[at] != 0; at = (at + 1) & mask) {
			const struct maildir_row *o = &rows[slots[at] - 1];
			if (o->ino == rows[i].ino &&
				(b->one_device || o->dir == rows[i].dir))
				break;
		}
		if (slots[at] == 0) {
			slots[at] = i + 1;
			continue;
		}
		uint32_t other = slots[at] - 1;
		bool better = is_better_name(b, i, other);
		uint32_t keep = better ? i : other, gone = better ? other : i;
		drop[gone] = 1;
		slots[at] = keep + 1;
		rows[keep].flags |= ROW_LINKED;
		if (b->match[keep] == 0 && keys_equal(b->t, &rows[keep], &rows[gone]))
			b->match[keep] = b->match[gone];
	}
	drop_rows(b, drop);
	return 0;
}

/* ---- order ------------------------------------------------------------------ */

struct place {
	uint64_t time;
	const struct build *build;
	uint32_t row;
};

static int
by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return order_of(x->build, x->row, y->row);
}

static int
sort_rows(struct build *b)
{
	AUTO_FREE struct place *places = calloc((size_t)b->n + 1, sizeof(*places));
	AUTO_FREE uint32_t *match = calloc((size_t)b->n + 1, sizeof(*match));
	struct maildir_row *rows = calloc((size_t)b->n + 1, sizeof(*rows));

	if (!places || !match || !rows) {
		free(rows);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < b->n; i++)
		places[i] = (struct place){b->times[i], b, i};
	qsort(places, b->n, sizeof(*places), by_place);
	for (uint32_t i = 0; i < b->n; i++) {
		rows[i] = b->t->rows[places[i].row];
		match[i] = b->match[places[i].row];
	}
	free(b->t->rows);
	b->t->rows = rows;
	memcpy(b->match, match, b->n * sizeof(*match));
	return 0;
}

/* ---- all of it -------------------------------------------------------------- */

static bool
devices_equal(const struct maildir_dir_id *a, const struct maildir_dir_id *b)
{
	for (int d = 0; d < MAILDIR_DIRS; d++)
		if (a[d].ino != 0 && b[d].ino != 0 && a[d].dev != b[d].dev)
			return false;
	return true;
}

static int
build_all(struct store *s, struct build *b, const struct maildir_scan *scan)
{
	int r = 0;

	for (size_t i = 0; i < scan->n && r == 0; i++)
		r = add_row(b, &scan->entries[i]);
	if (r == 0)
		r = match_known(b);
	if (r == 0)
		r = size_rows(b, s->sub);
	if (r == 0)
		r = drop_links(b);
	if (r == 0)
		r = sort_rows(b);
	if (r == 0)
		r = maildir_uidls_assign(b->t, b->n, b->known, b->match);
	if (r == 0 && b->n > MAILDIR_MESSAGES_MAX)
		r = -EFBIG;
	b->t->pub.count = b->n;
	return r < 0 ? r : maildir_table_finish(b->t);
}

int
maildir_table_build(struct store *s, struct maildir_scan *scan,
	const struct maildir_table *known, struct maildir_table **ret)
{
	struct build b = {.known = known};
	AUTO_FREE uint64_t *times = calloc(scan->n + 1, sizeof(*times));
	AUTO_FREE uint32_t *match = calloc(scan->n + 1, sizeof(*match));
	int r = maildir_table_new((uint32_t)scan->n, &b.t);

	if (r < 0)
		return r;
	if (!times || !match) {
		maildir_table_unref(&b.t);
		return -ENOMEM;
	}
	b.times = times;
	b.match = match;
	b.known_inodes = known && devices_equal(known->ids, scan->ids);
	b.one_device = scan->ids[MAILDIR_NEW].dev == scan->ids[MAILDIR_CUR].dev;
	b.t->names = scan->names;
	scan->names = (struct maildir_bytes){.p = NULL};
	memcpy(b.t->ids, scan->ids, sizeof(scan->ids));
	b.t->racy = scan->racy;
	r = build_all(s, &b, scan);
	if (r < 0) {
		maildir_table_unref(&b.t);
		return r;
	}
	*ret = b.t;
	return 0;
}
