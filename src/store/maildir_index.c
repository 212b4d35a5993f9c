/* The index file of version 2: a table's rows and text as they lie in memory. */
#include "store/maildir_index.h"
#include "os/fd.h"
#include "store/maildir_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define INDEX_VERSION 2

struct disk_header {
	uint64_t checksum;
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint64_t names, text; /* octets of the names, and of all text */
	uint64_t racy;
	struct identity_stamp log;
	uint32_t dirs, folders; /* octets of the folders' names */
	uint8_t zero[40];
};
_Static_assert(sizeof(struct disk_header) == 128);

/* Where things are in a file. */
struct layout {
	size_t ids, folders, rows, text, end;
};

static size_t
aligned(size_t n)
{
	return (n + MAILDIR_INDEX_ALIGN - 1) / MAILDIR_INDEX_ALIGN * MAILDIR_INDEX_ALIGN;
}

static struct layout
layout_of(const struct disk_header *h)
{
	struct layout l = {.ids = sizeof(*h)};

	l.folders = l.ids + h->dirs * sizeof(struct maildir_dir_id);
	l.rows = aligned(l.folders + h->folders);
	l.text = l.rows + h->count * sizeof(struct maildir_row);
	l.end = l.text + h->text;
	return l;
}

static uint64_t
checksum(const uint8_t *p, size_t n)
{
	return XXH3_64bits(p + sizeof(uint64_t), n - sizeof(uint64_t));
}

/* ---- reading ---------------------------------------------------------------- */

/* 0, -EINVAL, -EPROTONOSUPPORT; -ERANGE: an older version. */
static int
header_check(struct view octets, struct disk_header *h)
{
	if (octets.n < sizeof(*h))
		return octets.n > 32 ? -ERANGE : -EINVAL;
	memcpy(h, octets.p, sizeof(*h));
	if (h->magic != MAILDIR_INDEX_MAGIC)
		return -EINVAL;
	if (h->version < INDEX_VERSION)
		return -ERANGE;
	if (h->version > INDEX_VERSION)
		return -EPROTONOSUPPORT;
	if (h->count > MAILDIR_MESSAGES_MAX || h->text > MAILDIR_INDEX_MAX ||
		h->names > h->text)
		return -EINVAL;
	if (h->dirs < 2 || h->dirs > MAILDIR_DIRS_MAX ||
		h->folders > MAILDIR_FOLDERS_OCTETS)
		return -EINVAL;
	if (octets.n != layout_of(h).end)
		return -EINVAL;
	return h->checksum == checksum(octets.p, octets.n) ? 0 : -EINVAL;
}

static bool
row_is_sound(
	const struct maildir_row *r, const struct disk_header *h, const uint8_t *text)
{
	if (r->dir >= h->dirs || (r->flags & ~ROW_FLAGS_KEPT))
		return false;
	if (r->wire < r->stored || r->wire > INT64_MAX)
		return false;
	if ((uint64_t)r->name_at + r->name_n >= h->names || r->name_n == 0)
		return false;
	if (text[r->name_at + r->name_n] != '\0')
		return false;
	if ((uint64_t)r->key_at + r->key_n > h->text)
		return false;
	return r->uidl_n > 0 && (uint64_t)r->uidl_at + r->uidl_n <= h->text;
}

/*
 * Rows must lead nowhere but into the text, and no name out of its directory. The file is
 * the owner's, who can hurt himself alone with UIDLs that are none; the front looks at
 * every octet of a snapshot before a client does.
 */
static bool
rows_are_sound(const struct disk_header *h, const struct layout *l, const uint8_t *p)
{
	const struct maildir_row *rows = (const void *)(p + l->rows);
	const uint8_t *text = p + l->text;

	if (h->names > 0 && memchr(text, '/', h->names))
		return false;
	for (uint32_t i = 0; i < h->count; i++)
		if (!row_is_sound(&rows[i], h, text))
			return false;
	return true;
}

/* The number that a directory of the file has now; MAILDIR_NOWHERE: it is not shown. */
static unsigned
dir_now(struct view was, struct view now, unsigned dir)
{
	unsigned at = 0, i = 0;
	struct view name = {NULL, 0};

	if (dir < 2)
		return dir;
	for (size_t k = 0; k < was.n && i < dir / 2; i++) {
		name = (struct view){
			was.p + k, strnlen((const char *)was.p + k, was.n - k)};
		k += name.n + 1;
	}
	for (size_t k = 0; k < now.n;) {
		struct view other = {
			now.p + k, strnlen((const char *)now.p + k, now.n - k)};
		at++;
		if (i == dir / 2 && other.n == name.n &&
			memcmp(other.p, name.p, name.n) == 0)
			return at * 2 + (dir & 1);
		k += other.n + 1;
	}
	return MAILDIR_NOWHERE;
}

static unsigned
count_dirs(struct view folders)
{
	unsigned n = 2;

	for (size_t i = 0; i < folders.n; i++)
		n += folders.p[i] == '\0' ? 2 : 0;
	return n;
}

/* Other folders are shown now: rows stay known by their keys, and all is read again. */
static int
change_folders(struct maildir_table *t, struct view was, struct view now)
{
	uint8_t map[MAILDIR_DIRS_MAX];
	unsigned dirs = count_dirs(now);
	struct maildir_dir_id *ids = calloc(dirs, 2 * sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	for (unsigned d = 0; d < t->dirs; d++) {
		map[d] = (uint8_t)dir_now(was, now, d);
		if (map[d] != MAILDIR_NOWHERE && map[d] < dirs)
			ids[map[d]] = t->ids[d];
	}
	for (uint32_t i = 0; i < t->pub.count; i++)
		t->rows[i].dir = map[t->rows[i].dir];
	free(t->ids);
	t->ids = ids;
	t->found = ids + dirs;
	t->dirs = dirs;
	t->racy = UINT64_MAX;
	memcpy(t->found, t->ids, dirs * sizeof(*ids));
	t->found_racy = t->racy;
	return 0;
}

static int
table_over(uint8_t *p, const struct disk_header *h, struct maildir_table **ret)
{
	struct layout l = layout_of(h);
	struct maildir_table *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (!t)
		return r;
	t->refs = 1;
	t->pub.count = h->count;
	t->dirs = h->dirs;
	t->racy = h->racy;
	t->log = h->log;
	t->rows = (void *)(p + l.rows);
	t->text = (struct maildir_bytes){(char *)p + l.text, h->text, h->text};
	t->block = p;
	t->ids = calloc(h->dirs, 2 * sizeof(*t->ids));
	if (t->ids) {
		t->found = t->ids + t->dirs;
		memcpy(t->ids, p + l.ids, t->dirs * sizeof(*t->ids));
		r = maildir_table_finish(t);
	}
	if (r < 0) {
		/* The block is still the caller's. */
		t->block = t->rows = NULL;
		t->text.p = NULL;
		maildir_table_unref(&t);
		return r;
	}
	*ret = t;
	return 0;
}

int
maildir_index_take(
	uint8_t **block, size_t n, struct view folders, struct maildir_table **ret)
{
	struct maildir_table *t = NULL;
	struct disk_header h;
	int r = header_check((struct view){*block, n}, &h);
	bool old = r == -ERANGE;

	if (old)
		r = maildir_index_decode_1((struct view){*block, n}, &t);
	if (r < 0)
		return r;
	struct layout l = layout_of(&h);
	struct view was = {old ? NULL : *block + l.folders, old ? 0 : h.folders};
	if (!old && (count_dirs(was) != h.dirs || !rows_are_sound(&h, &l, *block)))
		return -EINVAL;
	if (!old) {
		r = table_over(*block, &h, &t);
		if (r < 0)
			return r;
		*block = NULL;
	}
	if (was.n != folders.n || (was.n > 0 && memcmp(was.p, folders.p, was.n) != 0))
		r = change_folders(t, was, folders);
	if (r < 0)
		maildir_table_unref(&t);
	else
		*ret = t;
	return r;
}

int
maildir_index_decode(struct view octets, struct view folders, struct maildir_table **ret)
{
	uint8_t *block = aligned_alloc(MAILDIR_INDEX_ALIGN, aligned(octets.n + 1));

	if (!block)
		return -ENOMEM;
	memcpy(block, octets.p, octets.n);
	int r = maildir_index_take(&block, octets.n, folders, ret);
	free(block);
	return r;
}

/* ---- writing ---------------------------------------------------------------- */

static bool
is_kept(const struct maildir_row *r)
{
	return r->dir != MAILDIR_NOWHERE && !(r->flags & ROW_REMOVED);
}

static uint32_t
count_kept(const struct maildir_table *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->pub.count; i++)
		n += is_kept(&t->rows[i]);
	return n;
}

static size_t
text_max(const struct maildir_table *t)
{
	size_t n = 0;

	for (uint32_t i = 0; i < t->pub.count; i++)
		n += (size_t)t->rows[i].name_n + 1 + t->rows[i].key_n + t->rows[i].uidl_n;
	return n;
}

static uint32_t
put(uint8_t *text, uint64_t *at, const void *p, size_t n)
{
	uint64_t start = *at;

	memcpy(text + start, p, n);
	*at += n;
	return (uint32_t)start;
}

static void
put_rows(const struct maildir_table *t, struct maildir_row *rows)
{
	for (uint32_t i = 0; i < t->pub.count; i++) {
		if (!is_kept(&t->rows[i]))
			continue;
		*rows = t->rows[i];
		rows->flags &= ROW_FLAGS_KEPT;
		rows++;
	}
}

/* Names first, so that what no name may hold is looked for in them alone. */
static void
put_text(const struct maildir_table *t, struct disk_header *h, struct maildir_row *rows,
	uint8_t *text)
{
	struct maildir_row *r = rows;

	for (uint32_t i = 0; i < t->pub.count; i++)
		if (is_kept(&t->rows[i])) {
			r->name_at = put(text, &h->text, maildir_row_name(t, &t->rows[i]),
				(size_t)r->name_n + 1);
			r++;
		}
	h->names = h->text;
	r = rows;
	for (uint32_t i = 0; i < t->pub.count; i++) {
		if (!is_kept(&t->rows[i]))
			continue;
		struct view key = maildir_key(t, &t->rows[i]);
		struct view uidl = maildir_row_uidl(t, &t->rows[i]);
		bool is_key = r->uidl_at == r->key_at && r->uidl_n == r->key_n;
		bool in_name = key.n <= r->name_n &&
			memcmp(text + r->name_at, key.p, key.n) == 0;
		r->key_at = in_name ? r->name_at : put(text, &h->text, key.p, key.n);
		r->uidl_at = is_key ? r->key_at : put(text, &h->text, uidl.p, uidl.n);
		r++;
	}
}

int
maildir_index_encode(
	const struct maildir_table *t, struct view folders, uint8_t **ret, size_t *ret_n)
{
	struct disk_header h = {.magic = MAILDIR_INDEX_MAGIC,
		.version = INDEX_VERSION,
		.racy = t->racy,
		.log = t->log,
		.dirs = t->dirs,
		.folders = (uint32_t)folders.n};
	size_t text_n = text_max(t);

	/* Rows of one time and directories of another: all is read again then. */
	if (maildir_ids_differ(t->found, t->ids, t->dirs) != 0)
		h.racy = UINT64_MAX;
	if (text_n > UINT32_MAX || folders.n > MAILDIR_FOLDERS_OCTETS)
		return -EFBIG;
	h.count = count_kept(t);
	struct layout l = layout_of(&h);
	uint8_t *out = maildir_room(l.text + text_n + 1);
	if (!out)
		return -ENOMEM;
	memset(out, 0, l.rows);
	put_rows(t, (void *)(out + l.rows));
	put_text(t, &h, (void *)(out + l.rows), out + l.text);
	l = layout_of(&h);
	memcpy(out + l.ids, t->ids, t->dirs * sizeof(*t->ids));
	if (folders.n > 0)
		memcpy(out + l.folders, folders.p, folders.n);
	memcpy(out, &h, sizeof(h));
	h.checksum = checksum(out, l.end);
	memcpy(out, &h.checksum, sizeof(h.checksum));
	*ret = out;
	*ret_n = l.end;
	return 0;
}
