#include "store/mbox_intent.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTENT_MAGIC   UINT64_C(0x31304e49424d52ff) /* 0xFF "RMBIN01" */
#define INTENT_VERSION 1
#define BEFORE_MAX     4096  /* octets before start that tell whether it is that mbox */
#define OLD_END_MAX    65536 /* octets of the old end that tell whether it was cut off */

struct disk_intent {
	uint64_t checksum;
	uint64_t magic;
	uint32_t version, zero;
	uint64_t start, old_size;
	uint64_t tail;		  /* octets */
	uint64_t before, old_end; /* octets of what these are the digests of */
	uint8_t tail_digest[MBOX_DIGEST];
	uint8_t before_digest[MBOX_DIGEST];
	uint8_t old_end_digest[MBOX_DIGEST];
};
_Static_assert(sizeof(struct disk_intent) == 112);

static uint64_t
checksum(const struct disk_intent *h)
{
	return XXH3_64bits(
		(const uint8_t *)h + sizeof(uint64_t), sizeof(*h) - sizeof(uint64_t));
}

static uint64_t
ranges_size(const struct mbox_cut *cut)
{
	uint64_t n = 0;

	for (size_t i = 0; i < cut->kept_n; i++)
		n += cut->kept[i].to - cut->kept[i].from;
	return n;
}

uint64_t
mbox_cut_size(const struct mbox_cut *cut)
{
	return cut->start + ranges_size(cut);
}

/* ---- writing one ------------------------------------------------------------------ */

/* prior: an intent whose tail comes before the ranges, or -1. */
struct tail {
	int prior;
	uint64_t prior_n;
	int fd;
	const struct mbox_range *kept;
	size_t kept_n;
};

static int
write_tail(int to, const struct tail *t, uint8_t ret[MBOX_DIGEST])
{
	XXH3_state_t *state = XXH3_createState();
	uint64_t at = sizeof(struct disk_intent);
	XXH128_canonical_t digest;
	int r = 0;

	if (!state)
		return -ENOMEM;
	(void)XXH3_128bits_reset(state);
	if (t->prior >= 0) {
		r = mbox_copy(t->prior, at, t->prior_n, to, at, state);
		at += t->prior_n;
	}
	for (size_t i = 0; i < t->kept_n && r == 0; i++) {
		uint64_t n = t->kept[i].to - t->kept[i].from;
		r = mbox_copy(t->fd, t->kept[i].from, n, to, at, state);
		at += n;
	}
	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state));
	memcpy(ret, digest.digest, MBOX_DIGEST);
	(void)XXH3_freeState(state);
	return r;
}

static int
fill_header(int fd, struct disk_intent *h)
{
	uint64_t size = h->start + h->tail;

	CHECK(size < h->old_size);
	h->magic = INTENT_MAGIC;
	h->version = INTENT_VERSION;
	h->before = h->start < BEFORE_MAX ? h->start : BEFORE_MAX;
	/* Behind what will be written, so it stays until the file is cut off. */
	h->old_end = h->old_size - size < OLD_END_MAX ? h->old_size - size : OLD_END_MAX;
	int r = mbox_digest_of(fd, h->start - h->before, h->before, h->before_digest);
	if (r == 0)
		r = mbox_digest_of(
			fd, h->old_size - h->old_end, h->old_end, h->old_end_digest);
	return r;
}

/* The intent under its name, durable. On an error there is none but the one that was. */
static int
intent_make(struct mbox *m, struct disk_intent *h, const struct tail *t, int *ret)
{
	char name[NAME_MAX + 1], next[NAME_MAX + 1];

	if (!mbox_beside(m, "intent", name) || !mbox_beside(m, "intent~", next))
		return -ENAMETOOLONG;
	AUTO_FD fd = mbox_create(m->dir, next, 0600);
	if (fd < 0)
		return fd_take(&fd);
	int r = fill_header(t->fd, h);
	if (r == 0)
		r = write_tail(fd, t, h->tail_digest);
	h->checksum = checksum(h);
	if (r == 0)
		r = fd_pwrite_all(fd, h, sizeof(*h), 0);
	if (r == 0)
		r = mbox_sync(fd);
	if (r == 0 && renameat(m->dir, next, m->dir, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(m->dir, next, 0);
		return r;
	}
	r = mbox_sync_dir(m->dir);
	/* With an older one replaced, the new one says the same and more. */
	if (r < 0 && t->prior < 0 && unlinkat(m->dir, name, 0) == 0)
		(void)mbox_sync_dir(m->dir);
	if (r == 0)
		*ret = fd_take(&fd);
	return r;
}

/* ---- doing what it says -------------------------------------------------------------
 */

static int
intent_remove(struct mbox *m)
{
	char name[NAME_MAX + 1];

	if (!mbox_beside(m, "intent", name))
		return -ENAMETOOLONG;
	if (unlinkat(m->dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return mbox_sync_dir(m->dir);
}

static int
intent_apply(struct mbox *m, int fd, int intent, const struct disk_intent *h)
{
	int r = mbox_copy(intent, sizeof(*h), h->tail, fd, h->start, NULL);

	if (r == 0 && h->tail > 0)
		r = mbox_sync(fd);
	if (r == 0 && ftruncate(fd, (off_t)(h->start + h->tail)) < 0)
		r = -errno;
	if (r == 0)
		r = mbox_sync(fd);
	return r < 0 ? r : intent_remove(m);
}

/* Nothing stays behind start: one call does it, wholly or not at all, without an intent.
 */
static int
cut_off(int fd, uint64_t size, bool *ret_touched)
{
	*ret_touched = false;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	*ret_touched = true;
	return mbox_sync(fd);
}

int
mbox_cut_in_place(struct mbox *m, int fd, const struct mbox_cut *cut, bool *ret_touched)
{
	struct disk_intent h = {
		.start = cut->start, .old_size = cut->old_size, .tail = ranges_size(cut)};
	struct tail t = {.prior = -1, .fd = fd, .kept = cut->kept, .kept_n = cut->kept_n};
	AUTO_FD intent = -1;

	if (h.tail == 0)
		return cut_off(fd, cut->start, ret_touched);
	*ret_touched = false;
	int r = intent_make(m, &h, &t, &intent);
	if (r < 0) {
		/* Where it could not be taken back either, it will be done after all. */
		*ret_touched = mbox_intent_is_there(m);
		return r;
	}
	*ret_touched = true;
	return intent_apply(m, fd, intent, &h);
}

int
mbox_cut_by_rename(struct mbox *m, int fd, const struct mbox_cut *cut, bool *ret_touched)
{
	char next[NAME_MAX + 1];
	struct stat old, made;
	uint64_t at = cut->start;

	*ret_touched = false;
	if (!mbox_beside(m, "new", next))
		return -ENAMETOOLONG;
	if (fstat(fd, &old) < 0)
		return -errno;
	AUTO_FD to = mbox_create(m->dir, next, old.st_mode & 0777);
	if (to < 0)
		return fd_take(&to);
	int r = fstat(to, &made) < 0 ? -errno : 0;
	if (r == 0 &&
		(made.st_uid != old.st_uid || made.st_gid != old.st_gid ||
			made.st_mode != old.st_mode))
		r = -ENOTSUP;
	if (r == 0)
		r = mbox_copy(fd, 0, cut->start, to, 0, NULL);
	for (size_t i = 0; i < cut->kept_n && r == 0; i++) {
		uint64_t n = cut->kept[i].to - cut->kept[i].from;
		r = mbox_copy(fd, cut->kept[i].from, n, to, at, NULL);
		at += n;
	}
	if (r == 0)
		r = mbox_sync(to);
	if (r == 0 && renameat(m->dir, next, m->dir, m->name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(m->dir, next, 0);
		return r;
	}
	*ret_touched = true;
	return mbox_sync_dir(m->dir);
}

/* ---- after a crash -------------------------------------------------------------------
 */

bool
mbox_intent_is_there(const struct mbox *m)
{
	char name[NAME_MAX + 1];
	struct stat st;

	return m->dir >= 0 && mbox_beside(m, "intent", name) &&
		fstatat(m->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* -EBADMSG: it is none of ours. */
static int
intent_load(int intent, struct disk_intent *h)
{
	struct stat st;
	uint64_t size;

	if (fstat(intent, &st) < 0)
		return -errno;
	/* In a directory of many somebody else may have laid it there. */
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
		(uint64_t)st.st_size < sizeof(*h))
		return -EBADMSG;
	int r = fd_pread_all(intent, h, sizeof(*h), 0);
	if (r < 0)
		return r;
	if (h->magic != INTENT_MAGIC || h->checksum != checksum(h))
		return -EBADMSG;
	if (h->version != INTENT_VERSION)
		return -EPROTONOSUPPORT;
	if (h->old_size > INT64_MAX || h->before > h->start || h->before > BEFORE_MAX ||
		__builtin_add_overflow(h->start, h->tail, &size) || size >= h->old_size ||
		h->old_end > h->old_size - size || h->old_end < 1)
		return -EBADMSG;
	return (uint64_t)st.st_size == sizeof(*h) + h->tail ? 0 : -EBADMSG;
}

/* 1: those octets have that digest; 0: not; or -errno. */
static int
lies_there(int fd, uint64_t size, uint64_t at, uint64_t n, const uint8_t *digest)
{
	uint8_t now[MBOX_DIGEST];

	if (at > size || n > size - at)
		return 0;
	int r = mbox_digest_of(fd, at, n, now);
	return r < 0 ? r : memcmp(now, digest, MBOX_DIGEST) == 0;
}

/* The mail that it holds may be missing in the mbox: an operator should look at it. */
static int
set_aside(struct mbox *m)
{
	char name[NAME_MAX + 1], left[NAME_MAX + 1], what[40];

	(void)snprintf(what, sizeof(what), "intent-left-%llu",
		(unsigned long long)clock_unix_ns());
	if (!mbox_beside(m, "intent", name) || !mbox_beside(m, what, left))
		return -ENAMETOOLONG;
	if (renameat(m->dir, name, m->dir, left) < 0)
		return -errno;
	mbox_notice(m, MBOX_NOTICE_INTENT_LEFT);
	return mbox_sync_dir(m->dir);
}

/* What others appended goes into the tail first: then nothing has to be moved in place.
 */
static int
fold(struct mbox *m, int fd, uint64_t size, int *intent, struct disk_intent *h)
{
	struct mbox_range appended = {h->old_size, size};
	struct tail t = {.prior = *intent,
		.prior_n = h->tail,
		.fd = fd,
		.kept = &appended,
		.kept_n = 1};
	struct disk_intent all = {.start = h->start,
		.old_size = size,
		.tail = h->tail + size - h->old_size};
	int made = -1;
	int r = intent_make(m, &all, &t, &made);

	if (r < 0)
		return r;
	fd_close(intent);
	*intent = made;
	*h = all;
	return 0;
}

static int
replay(struct mbox *m, int fd, int *intent, struct disk_intent *h)
{
	struct mbox_id id;
	int r = mbox_id_of_fd(fd, &id);

	if (r < 0)
		return r;
	r = lies_there(fd, id.size, h->start - h->before, h->before, h->before_digest);
	if (r <= 0)
		return r < 0 ? r : set_aside(m);
	r = lies_there(
		fd, id.size, h->old_size - h->old_end, h->old_end, h->old_end_digest);
	if (r < 0)
		return r;
	if (r == 0) {
		/* Cut off already; or changed by somebody who did not know of it. */
		r = lies_there(fd, id.size, h->start, h->tail, h->tail_digest);
		if (r < 0)
			return r;
		return r > 0 ? intent_remove(m) : set_aside(m);
	}
	r = lies_there(
		*intent, sizeof(*h) + h->tail, sizeof(*h), h->tail, h->tail_digest);
	if (r <= 0)
		return r < 0 ? r : set_aside(m);
	r = id.size > h->old_size ? fold(m, fd, id.size, intent, h) : 0;
	if (r == 0)
		r = intent_apply(m, fd, *intent, h);
	if (r == 0)
		mbox_notice(m, MBOX_NOTICE_REPLAYED);
	return r;
}

/* Out of the way. A neighbour's, where only he may move it, hinders removals, no more. */
static int
put_aside(struct mbox *m)
{
	int r = set_aside(m);

	return r == -EPERM || r == -EACCES ? 0 : r;
}

int
mbox_intent_replay(struct mbox *m, int fd)
{
	char name[NAME_MAX + 1];
	struct disk_intent h;

	if (!mbox_beside(m, "intent", name))
		return 0;
	AUTO_FD intent = openat(
		m->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	/* Ours can be read, and is no link. */
	if (intent < 0 && (errno == EACCES || errno == ELOOP || errno == ENXIO))
		return put_aside(m);
	if (intent < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = intent_load(intent, &h);
	if (r == -EBADMSG)
		return put_aside(m);
	return r < 0 ? r : replay(m, fd, &intent, &h);
}
