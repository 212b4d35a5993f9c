/* One message of an mbox as a range of the file, although others may rewrite it. */
#include "base/check.h"
#include "os/fd.h"
#include "os/sealed.h"
#include "stat/stat.h"
#include "store/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIND_ATTEMPTS 4 /* it was changed again each time */

/* The message's row in the newest table, which is brought up to date first. */
static int
find_row(struct mbox *m, const struct mbox_table *t, uint32_t idx, uint32_t *ret)
{
	if (t->rows[idx].flags & MBOX_REMOVED)
		return -ENOENT;
	int r = mbox_update(m);
	if (r < 0)
		return r;
	if (t == m->table) {
		*ret = idx;
		return 0;
	}
	return mbox_table_find(m->table, mbox_row_uidl(t, &t->rows[idx]), ret) ? 0
									       : -ENOENT;
}

static bool
digest_is(int fd, const struct mbox_row *row, uint32_t how)
{
	uint8_t digest[MBOX_DIGEST];

	return mbox_read_digest(fd, row, how, digest) == 0 &&
		memcmp(digest, row->digest, MBOX_DIGEST) == 0;
}

/* Whether the file is as the table has it, and its row begins with a From_ line. */
static bool
is_as_scanned(const struct mbox *m, int fd, const struct mbox_row *row)
{
	struct mbox_id now;
	uint8_t from[5];

	if (mbox_id_of_fd(fd, &now) < 0 || !mbox_id_equal(&now, &m->table->id))
		return false;
	if (fd_pread_all(fd, from, sizeof(from), row->start) < 0 ||
		memcmp(from, "From ", sizeof(from)) != 0)
		return false;
	return !m->table->racy || digest_is(fd, row, m->table->how);
}

/* Opened where it lies now, with the row that says where. */
static int
open_row(struct mbox *m, const struct mbox_table *t, uint32_t idx,
	const struct mbox_row **ret)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

	for (int i = 0; i < FIND_ATTEMPTS; i++) {
		uint32_t at;
		int r = find_row(m, t, idx, &at);
		if (r < 0)
			return r;
		AUTO_FD fd = openat(m->dir, m->name, flags);
		if (fd < 0 && errno != ENOENT)
			return -errno;
		*ret = &m->table->rows[at];
		if (fd >= 0 && is_as_scanned(m, fd, *ret))
			return fd_take(&fd);
		/* The times say nothing of it: the whole file is looked at again. */
		m->full = true;
	}
	return -EAGAIN;
}

/* A copy without the > of quoted lines. */
static int
unquoted(int fd, const struct mbox_row *row, uint64_t *ret_length)
{
	size_t n = (size_t)row->length, out = n - row->quoted;
	AUTO_FREE uint8_t *octets = malloc(n + 1);
	uint8_t *map;

	CHECK(row->length <= MBOX_UNQUOTE_MAX);
	CHECK(row->quoted < row->length);
	if (!octets)
		return -ENOMEM;
	int r = fd_pread_all(fd, octets, n, row->at);
	if (r < 0)
		return r;
	/* Others wrote meanwhile: what was counted does not hold. */
	if (mbox_count_quoted((struct view){octets, n}) != row->quoted)
		return -ESTALE;
	AUTO_FD copy = sealed_begin("restante-message", n, &map);
	if (copy < 0)
		return fd_take(&copy);
	CHECK(mbox_unquote((struct view){octets, n}, map) == out);
	r = sealed_finish(copy, map, n);
	*ret_length = out;
	return r < 0 ? r : fd_take(&copy);
}

static int
slice_unquoted(
	struct mbox *m, int fd, const struct mbox_row *row, struct store_slice *ret)
{
	struct mbox_id id;
	uint64_t length = 0;
	AUTO_FD copy = unquoted(fd, row, &length);

	if (copy < 0)
		return copy == -ESTALE ? -EAGAIN : fd_take(&copy);
	if (!is_as_scanned(m, fd, row))
		return -EAGAIN;
	int r = mbox_id_of_fd(copy, &id);
	if (r < 0)
		return r;
	*ret = (struct store_slice){.fd = fd_take(&copy),
		.length = length,
		.wire = row->wire,
		.device = id.dev,
		.as_is = row->flags & MBOX_AS_IS};
	return 0;
}

int
mbox_slice(struct store *s, const struct store_table *pub, uint32_t idx,
	struct store_slice *ret)
{
	struct mbox *m = mbox_of(s);
	const struct mbox_table *t = mbox_table_of(pub);
	const struct mbox_row *row = NULL;

	CHECK(idx < pub->count);
	AUTO_FD fd = open_row(m, t, idx, &row);
	if (fd < 0)
		return fd_take(&fd);
	if (row->wire != t->messages[idx].wire)
		stat_add(STAT_INDEX_HEALED, 1);
	if (row->quoted > 0)
		return slice_unquoted(m, fd, row, ret);
	*ret = (struct store_slice){.fd = fd_take(&fd),
		.offset = row->at,
		.length = row->length,
		.wire = row->wire,
		.device = m->table->id.dev,
		.as_is = row->flags & MBOX_AS_IS,
		.shared = true};
	return 0;
}

int
mbox_slice_is_current(struct store *s, const struct store_table *pub, uint32_t idx,
	const struct store_slice *slice)
{
	struct mbox *m = mbox_of(s);
	struct mbox_id now;
	uint32_t at;

	CHECK(idx < pub->count);
	int r = mbox_id_of_fd(slice->fd, &now);
	if (r < 0)
		return r;
	if (m->table && !m->table->racy && mbox_id_equal(&now, &m->table->id))
		return 0;
	r = find_row(m, mbox_table_of(pub), idx, &at);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	const struct mbox_row *row = &m->table->rows[at];
	if (now.dev != m->table->id.dev || now.ino != m->table->id.ino ||
		row->at != slice->offset || row->length != slice->length)
		return -ESTALE;
	return digest_is(slice->fd, row, m->table->how) ? 0 : -ESTALE;
}

/* A flag of ours alone: the file is not rewritten for it. */
int
mbox_seen(struct store *s, const struct store_table *pub, uint32_t idx)
{
	struct mbox *m = mbox_of(s);
	struct mbox_table *t = mbox_table_of(pub);
	uint32_t at;

	CHECK(idx < pub->count);
	t->rows[idx].flags |= MBOX_SEEN;
	if (!m->table || !mbox_table_find(m->table, mbox_row_uidl(t, &t->rows[idx]), &at))
		return 0;
	m->table->rows[at].flags |= MBOX_SEEN;
	if (!m->table->messages[at].seen)
		m->healed = m->index_old = true;
	return 0;
}
