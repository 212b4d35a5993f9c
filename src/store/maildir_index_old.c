/* The index as version 1 had it: read once, and written anew as it is now. */
#include "base/ascii.h"
#include "store/maildir_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define OLD_VERSION 1
#define OLD_DIRS    2
#define OLD_FLAGS   (ROW_COUNTED | ROW_AS_IS | ROW_SEEN | ROW_SHARED | ROW_LINKED)

struct old_header {
	uint64_t checksum;
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint64_t names, uidls; /* octets of these areas */
	uint64_t racy;
	struct maildir_dir_id ids[OLD_DIRS];
};
_Static_assert(sizeof(struct old_header) == 112);

struct old_row {
	uint64_t ino, stored, wire;
	int64_t mtime_ns;
	uint32_t name_at, uidl_at;
	uint8_t name_n, uidl_n; /* uidl_n 0: the key */
	uint8_t dir, flags;
	uint32_t zero;
};
_Static_assert(sizeof(struct old_row) == 48);

struct areas {
	const uint8_t *rows, *names, *uidls;
};

static uint64_t
checksum(const uint8_t *p, size_t n)
{
	return XXH3_64bits(p + sizeof(uint64_t), n - sizeof(uint64_t));
}

/* The header is that of this version, and the file is exactly what it says. */
static bool
header_is_sound(struct view octets, struct old_header *h, struct areas *ret)
{
	if (octets.n < sizeof(*h))
		return false;
	memcpy(h, octets.p, sizeof(*h));
	if (h->magic != MAILDIR_INDEX_MAGIC || h->version != OLD_VERSION || h->racy > 1)
		return false;
	if (h->count > MAILDIR_MESSAGES_MAX || h->names > MAILDIR_INDEX_MAX ||
		h->uidls > MAILDIR_INDEX_MAX)
		return false;
	uint64_t rows = (uint64_t)h->count * sizeof(struct old_row);
	if (octets.n != sizeof(*h) + rows + h->names + h->uidls)
		return false;
	ret->rows = octets.p + sizeof(*h);
	ret->names = ret->rows + rows;
	ret->uidls = ret->names + h->names;
	return h->checksum == checksum(octets.p, octets.n);
}

static bool
row_is_sound(const struct old_row *d, const struct old_header *h, const struct areas *a)
{
	if (d->dir >= OLD_DIRS || (d->flags & ~OLD_FLAGS) || d->zero != 0)
		return false;
	if (d->wire < d->stored || d->wire > INT64_MAX)
		return false;
	if ((uint64_t)d->name_at + d->name_n >= h->names)
		return false;
	if (a->names[d->name_at + d->name_n] != '\0')
		return false;
	if ((uint64_t)d->uidl_at + d->uidl_n > h->uidls)
		return false;
	for (size_t i = 0; i < d->uidl_n; i++)
		if (!ascii_is_graph(a->uidls[d->uidl_at + i]))
			return false;
	return true;
}

static int
row_decode(struct maildir_table *t, const struct old_row *d, const struct areas *a,
	struct maildir_row *r)
{
	struct maildir_name name;

	if (!maildir_name_parse((struct view){a->names + d->name_at, d->name_n}, &name))
		return -EINVAL;
	struct view key = {name.key, name.key_n};
	if (d->uidl_n == 0 && !maildir_uidl_legal(key))
		return -EINVAL;
	*r = (struct maildir_row){.ino = d->ino,
		.stored = d->stored,
		.wire = d->wire,
		.mtime_ns = d->mtime_ns,
		.name_at = d->name_at,
		.name_n = d->name_n,
		.dir = d->dir,
		.key_n = name.key_n,
		.place = IDENTITY_NO_PLACE,
		.uidl_n = d->uidl_n};
	r->flags = d->flags & (ROW_COUNTED | ROW_AS_IS | ROW_SHARED | ROW_LINKED);
	if (name.seen)
		r->flags |= ROW_SEEN;
	int e = maildir_bytes_add(&t->text, key.p, key.n, &r->key_at);
	if (e < 0)
		return e;
	if (d->uidl_n > 0)
		return maildir_bytes_add(
			&t->text, a->uidls + d->uidl_at, d->uidl_n, &r->uidl_at);
	r->uidl_at = r->key_at;
	r->uidl_n = r->key_n;
	return 0;
}

static int
rows_decode(struct maildir_table *t, const struct old_header *h, const struct areas *a)
{
	uint32_t at;
	int r = maildir_bytes_add(&t->text, a->names, h->names, &at);

	for (uint32_t i = 0; i < h->count && r == 0; i++) {
		struct old_row d;
		memcpy(&d, a->rows + (size_t)i * sizeof(d), sizeof(d));
		if (!row_is_sound(&d, h, a))
			return -EINVAL;
		r = row_decode(t, &d, a, &t->rows[i]);
	}
	return r < 0 ? r : maildir_table_finish(t);
}

int
maildir_index_decode_1(struct view octets, struct maildir_table **ret)
{
	struct maildir_table *t = NULL;
	struct old_header h;
	struct areas a;

	if (!header_is_sound(octets, &h, &a))
		return -EINVAL;
	int r = maildir_table_new(h.count, OLD_DIRS, &t);
	if (r < 0)
		return r;
	memcpy(t->ids, h.ids, sizeof(h.ids));
	/* The directories are read once: UIDLs that version 1 did not log are then. */
	t->racy = UINT64_MAX;
	r = rows_decode(t, &h, &a);
	if (r < 0) {
		maildir_table_unref(&t);
		return r;
	}
	*ret = t;
	return 0;
}
