/* Contract 5 on an mbox: appended as mboxrd under the mailbox lock, one sync for all. */
#include "os/fd.h"
#include "store/deposit_write.h"
#include "store/mbox.h"
#include "store/mbox_append.h"
#include "store/mbox_intent.h"
#include "store/mbox_quote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct append {
	struct mbox *m;
	int fd;
	uint64_t old_size, size; /* before all; with what was written */
	struct deposit_reader reader;
	uint8_t *out;
	size_t out_cap;
	XXH3_state_t *digest;	     /* not NULL: nothing is written, for the note */
	struct mbox_appended *about; /* then */
	struct mbox_append note;
	bool noted;
};

/* ---- what is there ----------------------------------------------------------------- */

/* The line end and the empty line that the last message lacks. */
static int
look_at_end(struct append *a, struct buf *lacks)
{
	uint8_t first[5], last[2] = {'\n', '\n'};
	struct stat st;

	if (fstat(a->fd, &st) < 0)
		return -errno;
	a->old_size = a->size = (uint64_t)st.st_size;
	if (a->old_size == 0)
		return 0;
	if (a->old_size < sizeof(first))
		return -EINVAL;
	int r = fd_pread_all(a->fd, first, sizeof(first), 0);
	if (r == 0)
		r = fd_pread_all(a->fd, last, sizeof(last), a->old_size - sizeof(last));
	if (r < 0)
		return r;
	if (memcmp(first, "From ", sizeof(first)) != 0) {
		mbox_notice(a->m, MBOX_NOTICE_NO_FROM);
		return -EINVAL;
	}
	if (last[1] != '\n')
		buf_put_str(lacks, "\n\n");
	else if (last[0] != '\n')
		buf_put_str(lacks, "\n");
	return 0;
}

static int
take_back(struct append *a, uint64_t size)
{
	a->size = size;
	return ftruncate(a->fd, (off_t)size) < 0 ? -errno : 0;
}

/* ---- one message ----------------------------------------------------------------------
 */

static void
put_note(struct append *a, const struct buf *out)
{
	struct mbox_appended *p = a->about;

	if (p->first_n == 0) {
		size_t skip = (size_t)(p->from - a->size), n = out->n - skip;
		p->first_n = n < sizeof(p->first) ? n : sizeof(p->first);
		memcpy(p->first, out->p + skip, p->first_n);
	}
	(void)XXH3_128bits_update(a->digest, out->p, out->n);
}

static int
put_out(struct append *a, struct buf *out)
{
	int r = 0;

	if (a->digest)
		put_note(a, out);
	else
		r = fd_pwrite_all(a->fd, out->p, out->n, a->size);

	a->size += out->n;
	out->n = 0;
	return r;
}

static int
append_one(struct append *a, const struct store_deposit *d, struct view lacks)
{
	struct buf out = buf_over(a->out, a->out_cap);
	struct mbox_quote q = {.at = 0};
	int r;

	buf_put_view(&out, lacks);
	mbox_from_line_put(d->sender, d->now_s, &out);
	deposit_reader_start(&a->reader, d);
	for (;;) {
		struct view piece;
		r = deposit_reader_next(&a->reader, &piece);
		if (r < 0 || piece.n == 0)
			break;
		mbox_quote_add(&q, piece, &out);
		r = put_out(a, &out);
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	mbox_quote_end(&q, &out);
	return put_out(a, &out);
}

static void
fail_all(struct store_deposit *list, size_t n, int r)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].result == 0)
			list[i].result = r;
}

/* What will be written, for the note. One that cannot be read has its result then. */
static int
plan(struct append *a, struct store_deposit *list, size_t n, struct view lacks)
{
	XXH128_canonical_t digest;

	a->digest = XXH3_createState();
	if (!a->digest)
		return -ENOMEM;
	a->note.old_size = a->old_size;
	a->note.n = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t before = a->size;
		struct view first =
			before == a->old_size ? lacks : (struct view){NULL, 0};
		a->about = &a->note.list[a->note.n];
		*a->about = (struct mbox_appended){.from = before + first.n};
		(void)XXH3_128bits_reset(a->digest);
		list[i].result = append_one(a, &list[i], first);
		if (list[i].result < 0) {
			a->size = before;
			continue;
		}
		XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(a->digest));
		memcpy(a->about->digest, digest.digest, MBOX_DIGEST);
		a->about->end = a->size;
		a->note.n++;
	}
	(void)XXH3_freeState(a->digest);
	a->digest = NULL;
	a->size = a->old_size;
	return 0;
}

/* Where no note can be made, a crash may leave half a message, as others' do. */
static int
begin(struct append *a)
{
	if (a->note.n == 0)
		return 0;
	int r = mbox_append_begin(a->m, a->fd, &a->note);
	a->noted = r == 0;
	return r == -EACCES ? 0 : r;
}

/* 0: what has no result of its own is written. */
static int
append_all(struct append *a, struct store_deposit *list, size_t n)
{
	uint8_t lacking[2];
	struct buf lacks = buf_over(lacking, sizeof(lacking));
	int r = look_at_end(a, &lacks);

	if (r == 0)
		r = plan(a, list, n, buf_view(&lacks));
	if (r == 0)
		r = begin(a);
	for (size_t i = 0; i < n && r == 0; i++) {
		uint64_t before = a->size;
		if (list[i].result < 0)
			continue;
		list[i].result = append_one(a, &list[i],
			before == a->old_size ? buf_view(&lacks)
					      : (struct view){NULL, 0});
		/* Half a message that stays would take in whatever comes behind it. */
		if (list[i].result < 0)
			r = take_back(a, before);
	}
	return r;
}

/* ---- durable -------------------------------------------------------------------------
 */

static int
sync_all(struct append *a, const struct mailbox_lock *lock)
{
	int r = a->size > a->old_size ? mbox_sync(a->fd) : 0;

	if (r == 0 && (lock->made || a->old_size == 0))
		r = mbox_sync_dir(a->m->dir);
	return r;
}

/* The note, of which nothing is left to be done. What failed lies otherwise than it says:
 * then it must never be believed again. */
static int
end(struct append *a)
{
	bool as_noted = a->size == a->note.list[a->note.n - 1].end;
	int r = mbox_append_end(a->m);

	return as_noted ? 0 : r;
}

static void
deposit_group(struct append *a, const struct mailbox_lock *lock,
	struct store_deposit *list, size_t n)
{
	a->noted = false;
	int r = append_all(a, list, n);

	if (r == 0)
		r = sync_all(a, lock);
	if (r == 0 && a->noted)
		r = end(a);
	if (r == 0)
		return;
	/* Whether it is on the disk nobody knows: it must not be seen at all. Where it
	 * cannot be taken back, the note says so. */
	bool back = true;
	if (a->noted || a->size > a->old_size) {
		back = take_back(a, a->old_size) == 0;
		(void)!mbox_sync(a->fd);
	}
	if (back && a->noted)
		(void)!mbox_append_end(a->m);
	fail_all(list, n, r);
}

static void
deposit_locked(struct append *a, const struct mailbox_lock *lock,
	struct store_deposit *list, size_t n)
{
	for (size_t at = 0; at < n; at += MBOX_APPEND_MAX) {
		size_t part = n - at < MBOX_APPEND_MAX ? n - at : MBOX_APPEND_MAX;
		deposit_group(a, lock, list + at, part);
	}
}

/* ---- the way there
 * ---------------------------------------------------------------------- */

/* A directory that is missing, and those above it. */
static int
make_parents(struct mbox *m)
{
	AUTO_FREE char *path = strdup(m->parent);
	int r = 0;

	if (!path)
		return -ENOMEM;
	for (char *at = path; r == 0 && at;) {
		char *slash = strchr(at, '/'), *name = at;
		if (slash)
			*slash = '\0';
		AUTO_FD above = -1;
		if (at == path) {
			above = fd_open_beneath(
				m->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		} else {
			at[-1] = '\0';
			above = fd_open_beneath(
				m->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
			at[-1] = '/';
		}
		if (above < 0)
			return fd_take(&above);
		if (*name != '\0' && mkdirat(above, name, 0700) == 0)
			r = mbox_sync_dir(above);
		else if (*name != '\0' && errno != EEXIST)
			r = -errno;
		if (slash)
			*slash = '/';
		at = slash ? slash + 1 : NULL;
	}
	return r;
}

static int
open_dir_or_make(struct mbox *m)
{
	int r = mbox_open_dir(m);

	if (r != -ENOENT)
		return r;
	r = make_parents(m);
	return r < 0 ? r : mbox_open_dir(m);
}

static int
prepare(struct append *a, const struct store_deposit *list, size_t n)
{
	uint64_t longest = 0;

	for (size_t i = 0; i < n; i++)
		if (list[i].length > longest)
			longest = list[i].length;
	int r = deposit_reader_init(&a->reader, longest);
	if (r < 0)
		return r;
	a->out_cap = MBOX_QUOTE_ROOM(a->reader.block + DEPOSIT_HEAD_MAX + 2) +
		MBOX_FROM_ROOM + 8;
	a->out = malloc(a->out_cap);
	return a->out ? 0 : -ENOMEM;
}

void
mbox_deposit(struct store *s, struct store_deposit *list, size_t n)
{
	struct mbox *m = mbox_of(s);
	struct append a = {.m = m, .fd = -1};
	struct mailbox_lock lock;

	for (size_t i = 0; i < n; i++)
		list[i].result = 0;
	int r = prepare(&a, list, n);
	if (r == 0)
		r = open_dir_or_make(m);
	if (r == 0)
		r = mbox_lock_for_write(m, MAILBOX_MAKE, &lock);
	if (r == 0) {
		a.fd = lock.fd;
		deposit_locked(&a, &lock, list, n);
		mailbox_lock_release(&lock);
	}
	if (!m->locked)
		fd_close(&m->dir);
	deposit_reader_done(&a.reader);
	free(a.out);
	if (r < 0)
		fail_all(list, n, r);
}
