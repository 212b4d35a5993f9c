#include "store/mbox_append.h"

#include "base/check.h"
#include "os/fd.h"
#include "store/mbox.h"
#include "store/mbox_from.h"
#include "store/mbox_intent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPEND_MAGIC   UINT64_C(0x31305041424d52ff) /* 0xFF "RMBAP01" */
#define APPEND_VERSION 1
#define BEFORE_MAX     4096
#define SCAN_BLOCK     65536
#define SECTOR	       512
#define FROM_N	       5 /* "From " */

/* Little-endian; the checksum is XXH3 over the rest, as many messages as there are. */
struct disk_append {
	uint64_t checksum; /* 0: nothing is under way */
	uint64_t magic;
	uint32_t version, n;
	uint64_t old_size;
	uint64_t before; /* octets before old_size */
	uint8_t before_digest[MBOX_DIGEST];
	struct mbox_appended list[MBOX_APPEND_MAX];
};
_Static_assert(sizeof(struct disk_append) == 56 + MBOX_APPEND_MAX * 104);

static size_t
octets_of(uint32_t n)
{
	return sizeof(struct disk_append) -
		(MBOX_APPEND_MAX - n) * sizeof(struct mbox_appended);
}

static uint64_t
checksum(const struct disk_append *h)
{
	uint64_t sum = XXH3_64bits((const uint8_t *)h + sizeof(uint64_t),
		octets_of(h->n) - sizeof(uint64_t));

	return sum ? sum : 1;
}

static int
open_note(const struct mbox *m, int flags)
{
	char name[NAME_MAX + 1];

	if (m->dir < 0)
		return -ENOENT;
	if (!mbox_beside(m, "append", name))
		return -ENAMETOOLONG;
	int fd = openat(m->dir, name,
		flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

/* The directory is not ours to write, or something else has that name. */
static bool
is_barred(int r)
{
	return r == -EACCES || r == -EPERM || r == -EROFS || r == -ENAMETOOLONG ||
		r == -ELOOP || r == -EISDIR || r == -ENXIO;
}

/* In a directory of many somebody else may have laid it there. */
static int
check_owner(int note)
{
	struct stat st;

	if (fstat(note, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && st.st_uid == geteuid() ? 0 : -EACCES;
}

/* ---- before and after ------------------------------------------------------------ */

/* Made under its name at once: empty, it says nothing. */
static int
make_note(const struct mbox *m)
{
	AUTO_FD note = open_note(m, O_RDWR);

	if (note != -ENOENT)
		return fd_take(&note);
	note = open_note(m, O_RDWR | O_CREAT | O_EXCL);
	if (note < 0)
		return fd_take(&note);
	int r = mbox_sync_dir(m->dir);
	return r < 0 ? r : fd_take(&note);
}

int
mbox_append_begin(struct mbox *m, int fd, const struct mbox_append *a)
{
	struct disk_append h = {.magic = APPEND_MAGIC,
		.version = APPEND_VERSION,
		.n = a->n,
		.old_size = a->old_size,
		.before = a->old_size < BEFORE_MAX ? a->old_size : BEFORE_MAX};

	CHECK(a->n > 0);
	CHECK(a->n <= MBOX_APPEND_MAX);
	memcpy(h.list, a->list, a->n * sizeof(*a->list));
	AUTO_FD note = make_note(m);
	if (note < 0)
		return is_barred(note) ? -EACCES : fd_take(&note);
	int r = check_owner(note);
	if (r == 0)
		r = mbox_digest_of(fd, a->old_size - h.before, h.before, h.before_digest);
	if (r < 0)
		return r;
	h.checksum = checksum(&h);
	r = fd_pwrite_all(note, &h, octets_of(h.n), 0);
	return r < 0 ? r : mbox_sync(note);
}

static int
remove_note(const struct mbox *m)
{
	char name[NAME_MAX + 1];

	if (!mbox_beside(m, "append", name))
		return -ENAMETOOLONG;
	return unlinkat(m->dir, name, 0) < 0 ? -errno : mbox_sync_dir(m->dir);
}

static int
clear(const struct mbox *m, int note)
{
	static const uint64_t nothing;
	int r = fd_pwrite_all(note, &nothing, sizeof(nothing), 0);

	if (r == 0)
		return mbox_sync(note);
	/* Where nothing is written in place a full disk has no room even for that. */
	return fd_is_full(r) ? remove_note(m) : r;
}

int
mbox_append_end(struct mbox *m)
{
	AUTO_FD note = open_note(m, O_RDWR);

	if (note < 0)
		return note == -ENOENT ? 0 : fd_take(&note);
	return clear(m, note);
}

/* ---- after a crash --------------------------------------------------------------- */

bool
mbox_append_is_there(const struct mbox *m)
{
	uint64_t sum = 0;
	AUTO_FD note = open_note(m, O_RDONLY);

	return note >= 0 && pread(note, &sum, sizeof(sum), 0) == sizeof(sum) && sum != 0;
}

static bool
is_sound(const struct disk_append *h)
{
	uint64_t at = h->old_size;

	if (at > INT64_MAX || h->before > at || h->before > BEFORE_MAX)
		return false;
	for (uint32_t i = 0; i < h->n; i++) {
		const struct mbox_appended *a = &h->list[i];
		if (a->from < at || a->end <= a->from || a->end > INT64_MAX ||
			a->first_n > MBOX_APPEND_FIRST || a->first_n > a->end - a->from)
			return false;
		at = a->end;
	}
	return true;
}

/* 1: a note; 0: none that is whole; or -errno. */
static int
load(int note, struct disk_append *h)
{
	struct stat st;

	memset(h, 0, sizeof(*h));
	if (fstat(note, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < octets_of(1) || check_owner(note) < 0)
		return 0;
	size_t n = (uint64_t)st.st_size < sizeof(*h) ? (size_t)st.st_size : sizeof(*h);
	int r = fd_pread_all(note, h, n, 0);
	if (r < 0)
		return r;
	if (h->checksum == 0 || h->magic != APPEND_MAGIC || h->n < 1 ||
		h->n > MBOX_APPEND_MAX || octets_of(h->n) > n ||
		h->checksum != checksum(h) || h->version != APPEND_VERSION)
		return 0;
	return is_sound(h);
}

/*
 * 1: the message begins there: what was torn is its octets or zeros, while others' mail
 * has another From_ line. 0: not; or -errno.
 */
static int
begins_at(int fd, uint64_t size, const struct mbox_appended *a)
{
	uint8_t octets[MBOX_APPEND_FIRST + FROM_N];
	uint64_t n = a->first_n, all = a->first_n + FROM_N;

	if (size <= a->from)
		return 1;
	if (n > size - a->from)
		n = size - a->from;
	if (all > size - a->from)
		all = size - a->from;
	int r = fd_pread_all(fd, octets, (size_t)all, a->from);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (octets[i] == a->first[i] || octets[i] == '\0')
			continue;
		/* Torn at a sector's end, and others' mail came right behind it. */
		return i > 0 && (a->from + i) % SECTOR == 0 && all - i >= FROM_N &&
			memcmp(octets + i, "From ", FROM_N) == 0;
	}
	return r < 0 ? r : 1;
}

static int
is_ours(int fd, uint64_t size, const struct disk_append *h)
{
	uint8_t digest[MBOX_DIGEST];
	int r = mbox_digest_of(fd, h->old_size - h->before, h->before, digest);

	if (r < 0)
		return r;
	if (memcmp(digest, h->before_digest, MBOX_DIGEST) != 0)
		return 0;
	return begins_at(fd, size, &h->list[0]);
}

/* How many messages of the note are whole, and where the last of them ends. */
static int
count_whole(int fd, uint64_t size, const struct disk_append *h, uint32_t *ret,
	uint64_t *ret_end)
{
	uint64_t at = h->old_size;
	uint32_t i = 0;

	for (; i < h->n && h->list[i].end <= size; i++) {
		uint8_t digest[MBOX_DIGEST];
		int r = mbox_digest_of(fd, at, h->list[i].end - at, digest);
		if (r < 0)
			return r;
		if (memcmp(digest, h->list[i].digest, MBOX_DIGEST) != 0)
			break;
		at = h->list[i].end;
	}
	*ret = i;
	*ret_end = at;
	return 0;
}

/* The first "From " behind the octet at `at` or a later one, that octet's place; n: none.
 */
static size_t
next_from(const uint8_t *p, size_t n, size_t at)
{
	for (; at + 6 <= n; at++)
		if (memcmp(p + at + 1, "From ", 5) == 0)
			return at;
	return n;
}

/* Whether nothing but > stands between a line end and p[at]: a quoted line of ours. One
 * that was torn ends with a sector. */
static bool
is_quoted(const uint8_t *p, size_t at, uint64_t offset)
{
	if (p[at] != '>' || (offset + at + 1) % SECTOR == 0)
		return false;
	while (at > 0 && p[at] == '>')
		at--;
	return p[at] == '\n';
}

/*
 * 1: others' mail begins at `at`. It may stand in the middle of a line of ours that was
 * torn; what is taken for others' by mistake only stays. 0: not; or -errno.
 */
static int
is_foreign(int fd, uint64_t size, const struct disk_append *h, uint64_t at)
{
	uint8_t line[MBOX_FROM_MAX];
	size_t n = size - at < sizeof(line) ? (size_t)(size - at) : sizeof(line);

	for (uint32_t i = 0; i < h->n; i++) {
		int r = h->list[i].from == at ? begins_at(fd, size, &h->list[i]) : 0;
		if (r != 0)
			return r < 0 ? r : 0;
	}
	int r = fd_pread_all(fd, line, n, at);
	if (r < 0)
		return r;
	const uint8_t *end = memchr(line, '\n', n);
	return end && mbox_from_line_is((struct view){line, (size_t)(end - line)});
}

/* Where others' mail begins at `at` or behind it; size: there is none. */
static int
find_foreign(
	int fd, uint64_t at, uint64_t size, const struct disk_append *h, uint64_t *ret)
{
	AUTO_FREE uint8_t *block = malloc(SCAN_BLOCK);

	if (!block)
		return -ENOMEM;
	*ret = size;
	at -= at > 0;
	while (at + 6 <= size) {
		size_t n = size - at < SCAN_BLOCK ? (size_t)(size - at) : SCAN_BLOCK;
		int r = fd_pread_all(fd, block, n, at);
		if (r < 0)
			return r;
		for (size_t i = next_from(block, n, 0); i < n;
			i = next_from(block, n, i + 1)) {
			r = is_quoted(block, i, at) ? 0
						    : is_foreign(fd, size, h, at + i + 1);
			if (r > 0)
				*ret = at + i + 1;
			if (r != 0)
				return r < 0 ? r : 0;
		}
		at += n - 5;
	}
	return 0;
}

/* From `at` on up to the mail of others. */
static int
cut_off(struct mbox *m, int fd, uint64_t at, uint64_t size, const struct disk_append *h)
{
	struct mbox_range foreign = {.to = size};
	bool touched;
	int r = find_foreign(fd, at, size, h, &foreign.from);

	if (r < 0)
		return r;
	/* Something is there that is not ours, and where it begins cannot be told. */
	if (foreign.from == size && size > h->list[h->n - 1].end)
		return 0;
	/* The rest was not begun. */
	if (foreign.from == at)
		return 0;
	if (foreign.from < size) {
		struct mbox_cut cut = {
			.start = at, .old_size = size, .kept = &foreign, .kept_n = 1};
		return mbox_cut_in_place(m, fd, &cut, &touched);
	}
	return ftruncate(fd, (off_t)at) < 0 ? -errno : mbox_sync(fd);
}

static int
settle(struct mbox *m, int fd, const struct disk_append *h)
{
	struct mbox_id id;
	uint32_t whole = 0;
	uint64_t end = 0;
	int r = mbox_id_of_fd(fd, &id);

	if (r < 0 || id.size <= h->old_size)
		return r;
	r = is_ours(fd, id.size, h);
	if (r <= 0)
		return r;
	r = count_whole(fd, id.size, h, &whole, &end);
	if (r < 0 || whole == h->n)
		return r;
	/* At its end already: the rest was not begun. */
	return end < id.size ? cut_off(m, fd, end, id.size, h) : 0;
}

int
mbox_append_settle(struct mbox *m, int fd)
{
	struct disk_append h;
	AUTO_FD note = open_note(m, O_RDWR);

	if (note < 0)
		return note == -ENOENT || is_barred(note) ? 0 : fd_take(&note);
	int r = load(note, &h);
	if (r <= 0)
		return r;
	r = settle(m, fd, &h);
	return r < 0 ? r : clear(m, note);
}
