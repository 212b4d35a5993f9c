/*
 * The cache file `restante-index` in a maildrop. It can be rebuilt: whatever is wrong
 * with it, it is left aside. Little-endian:
 *
 *     header   struct disk_header; the checksum is XXH3 over all the rest
 *     rows     count times struct disk_row, in POP order
 *     names    each with a NUL behind it
 *     uidls    those that are not the name's key, without separators
 */
#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"
#include "store/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define INDEX_NAME    "restante-index"
#define INDEX_NEXT    "restante-index~"
#define INDEX_MAGIC   UINT64_C(0x31305849534552ff) /* 0xFF "RESIX01" */
#define INDEX_VERSION 1
#define INDEX_MAX                                                                        \
	UINT64_C(1600000000) /* octets: names of the largest table and its rows */

struct disk_header {
	uint64_t checksum;
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint64_t names, uidls; /* octets of these areas */
	uint64_t racy;
	struct maildir_dir_id ids[MAILDIR_DIRS];
};
_Static_assert(sizeof(struct disk_header) == 112);

struct disk_row {
	uint64_t ino, stored, wire;
	int64_t mtime_ns;
	uint32_t name_at, uidl_at;
	uint8_t name_n, uidl_n; /* uidl_n 0: the key */
	uint8_t dir, flags;
	uint32_t zero;
};
_Static_assert(sizeof(struct disk_row) == 48);

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
header_is_sound(struct view octets, struct disk_header *h, struct areas *ret)
{
	if (octets.n < sizeof(*h))
		return false;
	memcpy(h, octets.p, sizeof(*h));
	if (h->magic != INDEX_MAGIC || h->version != INDEX_VERSION || h->racy > 1)
		return false;
	if (h->count > MAILDIR_MESSAGES_MAX || h->names > INDEX_MAX ||
		h->uidls > INDEX_MAX)
		return false;
	uint64_t rows = (uint64_t)h->count * sizeof(struct disk_row);
	if (octets.n != sizeof(*h) + rows + h->names + h->uidls)
		return false;
	ret->rows = octets.p + sizeof(*h);
	ret->names = ret->rows + rows;
	ret->uidls = ret->names + h->names;
	return h->checksum == checksum(octets.p, octets.n);
}

static bool
row_is_sound(const struct disk_row *d, const struct disk_header *h, const struct areas *a)
{
	if (d->dir >= MAILDIR_DIRS || (d->flags & ~ROW_FLAGS_KEPT) || d->zero != 0)
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
row_decode(struct maildir_table *t, const struct disk_row *d, const struct areas *a,
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
		.uidl_n = d->uidl_n};
	r->flags = d->flags & (ROW_COUNTED | ROW_AS_IS | ROW_LINKED);
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
rows_decode(struct maildir_table *t, const struct disk_header *h, const struct areas *a)
{
	uint32_t at;
	int r = maildir_bytes_add(&t->names, a->names, h->names, &at);

	for (uint32_t i = 0; i < h->count && r == 0; i++) {
		struct disk_row d;
		memcpy(&d, a->rows + (size_t)i * sizeof(d), sizeof(d));
		if (!row_is_sound(&d, h, a))
			return -EINVAL;
		r = row_decode(t, &d, a, &t->rows[i]);
	}
	if (r == 0)
		r = maildir_table_finish(t);
	if (r == 0)
		r = maildir_uidls_differ(t);
	return r;
}

int
maildir_index_decode(struct view octets, struct maildir_table **ret)
{
	struct maildir_table *t = NULL;
	struct disk_header h;
	struct areas a;

	if (!header_is_sound(octets, &h, &a))
		return -EINVAL;
	int r = maildir_table_new(h.count, &t);
	if (r < 0)
		return r;
	memcpy(t->ids, h.ids, sizeof(t->ids));
	t->racy = h.racy;
	r = rows_decode(t, &h, &a);
	if (r < 0) {
		maildir_table_unref(&t);
		return r;
	}
	*ret = t;
	return 0;
}

static bool
is_kept(const struct maildir_row *r)
{
	return r->dir < MAILDIR_DIRS && !(r->flags & ROW_REMOVED);
}

static int
row_encode(const struct maildir_table *t, const struct maildir_row *r,
	struct maildir_bytes *names, struct maildir_bytes *uidls, struct disk_row *d)
{
	*d = (struct disk_row){.ino = r->ino,
		.stored = r->stored,
		.wire = r->wire,
		.mtime_ns = r->mtime_ns,
		.name_n = r->name_n,
		.dir = r->dir};
	d->flags = r->flags & ROW_FLAGS_KEPT;
	int e = maildir_bytes_add(names, maildir_row_name(t, r), r->name_n, &d->name_at);
	if (e < 0 || r->uidl_at == r->key_at)
		return e;
	d->uidl_n = r->uidl_n;
	return maildir_bytes_add(uidls, t->text.p + r->uidl_at, r->uidl_n, &d->uidl_at);
}

int
maildir_index_encode(const struct maildir_table *t, uint8_t **ret, size_t *ret_n)
{
	struct disk_header h = {
		.magic = INDEX_MAGIC, .version = INDEX_VERSION, .racy = t->racy};
	AUTO_FREE struct disk_row *rows = calloc((size_t)t->pub.count + 1, sizeof(*rows));
	struct maildir_bytes names = {.p = NULL}, uidls = {.p = NULL};
	int r = rows ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < t->pub.count && r == 0; i++)
		if (is_kept(&t->rows[i]))
			r = row_encode(t, &t->rows[i], &names, &uidls, &rows[h.count++]);
	size_t rows_n = h.count * sizeof(*rows);
	size_t n = sizeof(h) + rows_n + names.n + uidls.n;
	uint8_t *out = r == 0 ? malloc(n) : NULL;
	if (out) {
		h.names = names.n;
		h.uidls = uidls.n;
		memcpy(h.ids, t->ids, sizeof(h.ids));
		memcpy(out, &h, sizeof(h));
		memcpy(out + sizeof(h), rows, rows_n);
		if (names.n > 0)
			memcpy(out + sizeof(h) + rows_n, names.p, names.n);
		if (uidls.n > 0)
			memcpy(out + sizeof(h) + rows_n + names.n, uidls.p, uidls.n);
		h.checksum = checksum(out, n);
		memcpy(out, &h.checksum, sizeof(h.checksum));
		*ret = out;
		*ret_n = n;
	}
	free(names.p);
	free(uidls.p);
	return out ? 0 : r < 0 ? r : -ENOMEM;
}

struct maildir_table *
maildir_index_load(int top)
{
	struct maildir_table *t = NULL;
	AUTO_FREE uint8_t *octets = NULL;
	struct maildir_file file;
	size_t n;
	AUTO_FD fd = maildir_open_file(top, INDEX_NAME, &file);

	if (fd < 0)
		return NULL;
	if (fd_read_file(fd, INDEX_MAX, &octets, &n) < 0)
		return NULL;
	if (maildir_index_decode((struct view){octets, n}, &t) < 0)
		return NULL;
	return t;
}

static int
create_next(int top)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(top, INDEX_NEXT, flags, 0600);

	if (fd < 0 && errno == EEXIST && unlinkat(top, INDEX_NEXT, 0) == 0)
		fd = openat(top, INDEX_NEXT, flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* No fsync: after a crash the checksum tells, and the file is made anew. */
int
maildir_index_save(int top, const struct maildir_table *t)
{
	AUTO_FREE uint8_t *octets = NULL;
	size_t n;
	int r = maildir_index_encode(t, &octets, &n);

	if (r < 0)
		return r;
	AUTO_FD fd = create_next(top);
	if (fd < 0)
		return fd;
	r = fd_write_all(fd, octets, n);
	if (r == 0 && renameat(top, INDEX_NEXT, top, INDEX_NAME) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(top, INDEX_NEXT, 0);
	return r;
}
