/* An mbox read from one end to the other in large pieces, and what tells that it changed.
 */
#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"
#include "store/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_S    INT64_C(1000000000)
#define RACY_NS	    INT64_C(20000000) /* two ticks of the coarsest kernel clock */
#define RACY_COARSE (2 * NS_PER_S)    /* where file times are whole seconds */

/* ---- identity ------------------------------------------------------------------- */

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
id_by(int dir, const char *name, int flags, struct mbox_id *ret)
{
	const unsigned mask =
		STATX_TYPE | STATX_INO | STATX_SIZE | STATX_MTIME | STATX_CTIME;
	struct statx x;

	if (statx(dir, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, mask, &x) < 0)
		return -errno;
	if (S_ISLNK(x.stx_mode))
		return -ELOOP;
	if (!S_ISREG(x.stx_mode))
		return -EINVAL;
	*ret = (struct mbox_id){
		.dev = (uint64_t)x.stx_dev_major << 32 | x.stx_dev_minor,
		.ino = x.stx_ino,
		.size = x.stx_size,
		.mtime_ns = ns_of(x.stx_mtime),
		.ctime_ns = ns_of(x.stx_ctime),
	};
	return 0;
}

int
mbox_id_of(int dir, const char *name, struct mbox_id *ret)
{
	*ret = (struct mbox_id){.ino = 0};
	int r = dir < 0 ? -ENOENT : id_by(dir, name, 0, ret);
	return r == -ENOENT ? 0 : r;
}

int
mbox_id_of_fd(int fd, struct mbox_id *ret)
{
	return id_by(fd, "", AT_EMPTY_PATH, ret);
}

bool
mbox_id_equal(const struct mbox_id *a, const struct mbox_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
		a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

/* Whether a change after the scan could leave these times as they are. */
static bool
is_racy(const struct mbox_id *id, int64_t now)
{
	bool whole = id->mtime_ns % NS_PER_S == 0 && id->ctime_ns % NS_PER_S == 0;
	int64_t window = whole ? RACY_COARSE : RACY_NS;

	return id->ctime_ns > now - window ||
		(id->mtime_ns > now - window && id->mtime_ns < now + window);
}

/* ---- reading --------------------------------------------------------------------- */

struct reading {
	int fd;
	struct mbox_table *t;
	struct mbox_scan scan;
	XXH3_state_t *hash;
	uint8_t *block;
	size_t cap;  /* of it: all of the file, or MBOX_BLOCK */
	size_t n;    /* octets in it */
	uint64_t at; /* where it begins in the file */
	uint64_t size;
	bool at_end;
};

static int
row_add(struct reading *g, const struct mbox_found *f)
{
	struct mbox_row row = {.start = f->start,
		.at = f->at,
		.length = f->length,
		.wire = f->wire,
		.quoted = (uint32_t)f->quoted,
		.uidl_n = f->uidl_n};

	if (f->internal)
		return 0;
	memcpy(row.digest, f->digest, MBOX_DIGEST);
	row.flags = (uint8_t)((f->as_is ? MBOX_AS_IS : 0) | (f->seen ? MBOX_SEEN : 0));
	int r = mbox_text_add(&g->t->text, f->uidl, f->uidl_n, &row.uidl_at);
	return r < 0 ? r : mbox_table_add(g->t, &row);
}

/* Octets at an offset, up to n: from the block if they are there. -errno or a count. */
static ssize_t
look(const struct reading *g, uint64_t offset, uint8_t *to, size_t n)
{
	if (offset >= g->size)
		return 0;
	if (n > g->size - offset)
		n = (size_t)(g->size - offset);
	if (offset >= g->at && offset + n <= g->at + g->n) {
		memcpy(to, g->block + (offset - g->at), n);
		return (ssize_t)n;
	}
	int r = fd_pread_all(g->fd, to, n, offset);
	return r < 0 ? r : (ssize_t)n;
}

static int
answer_look(struct reading *g)
{
	uint8_t octets[MBOX_FROM_MAX + 3];
	uint64_t at = g->scan.look_at;
	ssize_t n = 0;

	CHECK(at > 0);
	if (at <= g->size)
		n = look(g, at - 1, octets, sizeof(octets));
	if (n < 0)
		return (int)n;
	mbox_scan_looked(&g->scan, (struct view){octets, (size_t)n});
	return 0;
}

static int
fill(struct reading *g)
{
	while (g->n < g->cap && !g->at_end) {
		uint64_t left = g->size - g->at - g->n;
		size_t room = g->cap - g->n;
		ssize_t got = pread(g->fd, g->block + g->n,
			left < room ? (size_t)left : room, (off_t)(g->at + g->n));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		g->n += (size_t)got;
		/* It may have become shorter meanwhile. */
		g->at_end = got == 0 || g->at + g->n == g->size;
	}
	return 0;
}

/* One step on. 1: the end was reached. */
static int
advance(struct reading *g)
{
	struct mbox_found found;
	size_t taken = 0;
	int r = 0;
	struct view w = {g->block + (g->scan.offset - g->at),
		g->n - (size_t)(g->scan.offset - g->at)};

	switch (mbox_scan_step(&g->scan, w, g->at_end, &taken, &found)) {
	case MBOX_MESSAGE: return row_add(g, &found);
	case MBOX_LOOK: return answer_look(g);
	case MBOX_END: return 1;
	case MBOX_BAD: return -EINVAL;
	case MBOX_MORE: break;
	}
	size_t used = (size_t)(g->scan.offset - g->at);
	CHECK(!g->at_end);
	CHECK(used > 0);
	memmove(g->block, g->block + used, g->n - used);
	g->at += used;
	g->n -= used;
	r = fill(g);
	return r;
}

/* From the offset to size; undone by reading_done. */
static int
reading_init(struct reading *g, uint64_t offset, uint64_t size, uint32_t how)
{
	if (offset > size)
		return -EINVAL;
	g->at = offset;
	g->size = size;
	g->at_end = offset == size;
	g->cap = size - offset < MBOX_BLOCK ? (size_t)(size - offset) : MBOX_BLOCK;
	g->block = malloc(g->cap + 1);
	g->hash = XXH3_createState();
	if (!g->block || !g->hash)
		return -ENOMEM;
	mbox_scan_begin(&g->scan, g->hash, how, offset);
	return fill(g);
}

static void
reading_done(struct reading *g)
{
	(void)XXH3_freeState(g->hash);
	free(g->block);
}

int
mbox_read(int fd, uint64_t offset, struct mbox_table *t)
{
	int64_t now = (int64_t)clock_unix_ns();
	struct reading g = {.fd = fd, .t = t};
	struct mbox_id after;

	int r = mbox_id_of_fd(fd, &t->id);
	if (r == 0)
		r = reading_init(&g, offset, t->id.size, t->how);
	while (r == 0)
		r = advance(&g);
	reading_done(&g);
	stat_add(STAT_SCANS, 1);
	if (r < 0)
		return r;
	r = mbox_id_of_fd(fd, &after);
	t->racy = is_racy(&t->id, now) || r < 0 || !mbox_id_equal(&t->id, &after);
	return r;
}

int
mbox_read_digest(
	int fd, const struct mbox_row *row, uint32_t how, uint8_t ret[MBOX_DIGEST])
{
	struct reading g = {.fd = fd};
	int r = mbox_table_new(4, &g.t);

	/* The message alone, its separator left out: the same end as in the file. */
	if (r == 0)
		r = reading_init(
			&g, row->start, row->at + row->length, how & MBOX_HOW_LENGTHS);
	while (r == 0 && g.t->pub.count == 0)
		r = advance(&g);
	/* It may begin or end elsewhere now. */
	if (r >= 0 && (g.t->pub.count == 0 || g.t->rows[0].at != row->at))
		r = -EINVAL;
	if (r >= 0) {
		memcpy(ret, g.t->rows[0].digest, MBOX_DIGEST);
		r = 0;
	}
	reading_done(&g);
	mbox_table_unref(&g.t);
	return r;
}
