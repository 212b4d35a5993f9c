/*
 * The cache file .NAME.restante-index. It can be rebuilt: whatever is wrong with it, it
 * is left aside. Little-endian:
 *
 *     header   struct disk_header; the checksum is XXH3 over all the rest
 *     rows     count times struct disk_row, in the order of the mbox
 *     uidls    one after the other, without separators
 */
#include "base/ascii.h"
#include "os/fd.h"
#include "store/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX_MAGIC   UINT64_C(0x31305849424d52ff) /* 0xFF "RMBIX01" */
#define INDEX_VERSION 1
#define INDEX_MAX     UINT64_C(1600000000) /* octets: rows and UIDLs of the largest table */

struct disk_header {
	uint64_t checksum;
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint64_t uidls;	   /* octets of that area */
	uint64_t log_rows; /* of the identity log */
	uint32_t racy, how;
	struct mbox_id id;
};
_Static_assert(sizeof(struct disk_header) == 88);

struct disk_row {
	uint64_t start, at, length, wire;
	uint32_t quoted, uidl_at;
	uint8_t digest[MBOX_DIGEST];
	uint8_t uidl_n, flags;
	uint8_t zero[6];
};
_Static_assert(sizeof(struct disk_row) == 64);

static uint64_t
checksum(const uint8_t *p, size_t n)
{
	return XXH3_64bits(p + sizeof(uint64_t), n - sizeof(uint64_t));
}

/* The header is that of this version, and the file is exactly what it says. */
static bool
header_is_sound(struct view octets, struct disk_header *h)
{
	if (octets.n < sizeof(*h))
		return false;
	memcpy(h, octets.p, sizeof(*h));
	if (h->magic != INDEX_MAGIC || h->version != INDEX_VERSION || h->racy > 1 ||
		h->how > (MBOX_HOW_UNQUOTE | MBOX_HOW_LENGTHS))
		return false;
	if (h->count > MBOX_MESSAGES_MAX || h->uidls > INDEX_MAX)
		return false;
	uint64_t rows = (uint64_t)h->count * sizeof(struct disk_row);
	return octets.n == sizeof(*h) + rows + h->uidls &&
		h->checksum == checksum(octets.p, octets.n);
}

/* Rows follow one another in the file, each with its From_ line. */
static bool
row_is_sound(const struct disk_row *d, const struct disk_header *h, const uint8_t *uidls,
	uint64_t after)
{
	static const uint8_t zero[sizeof(d->zero)];

	if ((d->flags & ~MBOX_FLAGS_KEPT) || memcmp(d->zero, zero, sizeof(zero)) != 0)
		return false;
	if (d->start < after || d->at < d->start + 5 || d->at > h->id.size ||
		d->at - d->start > MBOX_FROM_MAX)
		return false;
	if (d->length > h->id.size - d->at || d->quoted > d->length)
		return false;
	/* What mbox_slice.c takes for granted. */
	if (d->quoted > 0 && (d->quoted == d->length || d->length > MBOX_UNQUOTE_MAX))
		return false;
	if (d->wire > 2 * d->length + 2 || d->wire < d->length - d->quoted)
		return false;
	if (d->uidl_n == 0 || (uint64_t)d->uidl_at + d->uidl_n > h->uidls)
		return false;
	for (size_t i = 0; i < d->uidl_n; i++)
		if (!ascii_is_graph(uidls[d->uidl_at + i]))
			return false;
	return true;
}

static int
rows_decode(struct mbox_table *t, const struct disk_header *h, const uint8_t *rows)
{
	const uint8_t *uidls = rows + (size_t)h->count * sizeof(struct disk_row);
	uint64_t after = 0;
	uint32_t at;
	int r = mbox_text_add(&t->text, uidls, h->uidls, &at);

	for (uint32_t i = 0; i < h->count && r == 0; i++) {
		struct disk_row d;
		memcpy(&d, rows + (size_t)i * sizeof(d), sizeof(d));
		if (h->id.size > INT64_MAX / 4 || !row_is_sound(&d, h, uidls, after))
			return -EINVAL;
		struct mbox_row row = {.start = d.start,
			.at = d.at,
			.length = d.length,
			.wire = d.wire,
			.quoted = d.quoted,
			.uidl_at = d.uidl_at,
			.uidl_n = d.uidl_n,
			.flags = d.flags | MBOX_GIVEN};
		memcpy(row.digest, d.digest, MBOX_DIGEST);
		after = d.at + d.length;
		r = mbox_table_add(t, &row);
	}
	return r < 0 ? r : mbox_table_finish(t);
}

int
mbox_index_decode(struct view octets, struct mbox_table **ret)
{
	struct mbox_table *t = NULL;
	struct disk_header h;

	if (!header_is_sound(octets, &h))
		return -EINVAL;
	int r = mbox_table_new(h.count, &t);
	if (r < 0)
		return r;
	t->id = h.id;
	t->racy = h.racy;
	t->how = h.how;
	t->log_rows = h.log_rows;
	r = rows_decode(t, &h, octets.p + sizeof(h));
	if (r < 0) {
		mbox_table_unref(&t);
		return r;
	}
	*ret = t;
	return 0;
}

static int
row_encode(const struct mbox_table *t, const struct mbox_row *r, struct mbox_text *uidls,
	struct disk_row *d)
{
	*d = (struct disk_row){.start = r->start,
		.at = r->at,
		.length = r->length,
		.wire = r->wire,
		.quoted = r->quoted,
		.uidl_n = r->uidl_n,
		.flags = r->flags & MBOX_FLAGS_KEPT};
	memcpy(d->digest, r->digest, MBOX_DIGEST);
	return mbox_text_add(uidls, t->text.p + r->uidl_at, r->uidl_n, &d->uidl_at);
}

int
mbox_index_encode(const struct mbox_table *t, uint8_t **ret, size_t *ret_n)
{
	struct disk_header h = {.magic = INDEX_MAGIC,
		.version = INDEX_VERSION,
		.count = t->pub.count,
		.log_rows = t->log_rows,
		.racy = t->racy,
		.how = t->how,
		.id = t->id};
	AUTO_FREE struct disk_row *rows = calloc((size_t)h.count + 1, sizeof(*rows));
	struct mbox_text uidls = {.p = NULL};
	int r = rows ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < h.count && r == 0; i++)
		r = row_encode(t, &t->rows[i], &uidls, &rows[i]);
	size_t rows_n = h.count * sizeof(*rows);
	size_t n = sizeof(h) + rows_n + uidls.n;
	uint8_t *out = r == 0 ? malloc(n) : NULL;
	if (out) {
		h.uidls = uidls.n;
		memcpy(out, &h, sizeof(h));
		memcpy(out + sizeof(h), rows, rows_n);
		if (uidls.n > 0)
			memcpy(out + sizeof(h) + rows_n, uidls.p, uidls.n);
		h.checksum = checksum(out, n);
		memcpy(out, &h.checksum, sizeof(h.checksum));
		*ret = out;
		*ret_n = n;
	}
	free(uidls.p);
	return out ? 0 : r < 0 ? r : -ENOMEM;
}

struct mbox_table *
mbox_index_load(struct mbox *m)
{
	struct mbox_table *t = NULL;
	AUTO_FREE uint8_t *octets = NULL;
	char name[NAME_MAX + 1];
	struct disk_header h;
	struct stat st;
	size_t n;

	if (!mbox_beside(m, "index", name))
		return NULL;
	AUTO_FD fd = openat(
		m->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	/* In a directory of many somebody else may have laid it there. */
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		st.st_uid != geteuid())
		return NULL;
	if (fd_read_file(fd, INDEX_MAX, &octets, &n) < 0)
		return NULL;
	/* Of a later version, which may come back: it is left alone. */
	if (n >= sizeof(h)) {
		memcpy(&h, octets, sizeof(h));
		if (h.magic == INDEX_MAGIC && h.version > INDEX_VERSION)
			m->index_retry_ms = UINT64_MAX;
	}
	if (mbox_index_decode((struct view){octets, n}, &t) < 0)
		return NULL;
	return t;
}

static int
create_next(int dir, const char *name)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags, 0600);

	if (fd < 0 && errno == EEXIST && unlinkat(dir, name, 0) == 0)
		fd = openat(dir, name, flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* No fsync: after a crash the checksum tells, and the file is made anew. */
int
mbox_index_save(struct mbox *m, const struct mbox_table *t)
{
	AUTO_FREE uint8_t *octets = NULL;
	char name[NAME_MAX + 1], next[NAME_MAX + 1];
	size_t n;

	if (!mbox_beside(m, "index", name) || !mbox_beside(m, "index~", next))
		return -ENAMETOOLONG;
	int r = mbox_index_encode(t, &octets, &n);
	if (r < 0)
		return r;
	AUTO_FD fd = create_next(m->dir, next);
	if (fd < 0)
		return fd;
	r = fd_write_all(fd, octets, n);
	if (r == 0 && renameat(m->dir, next, m->dir, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(m->dir, next, 0);
	return r;
}
