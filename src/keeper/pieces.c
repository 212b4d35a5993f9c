/* Messages and tables as descriptors that a front may hold. */
#include "base/check.h"
#include "ipc/slice.h"
#include "ipc/snapshot.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sealed.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BATCH_MS    10 /* then what is ready goes; the rest follows */
#define STALE_TRIES 8  /* others may rewrite a maildrop while it is read */

struct buf
keeper_out_begin(struct session *s)
{
	CHECK(s->out && s->out->n == 0);
	s->out->nfds = 0;
	s->out->borrowed = false;
	s->out->since_ms = 0;
	return buf_over(s->out->octets, sizeof(s->out->octets));
}

void
keeper_out_end(struct session *s, const struct buf *b)
{
	CHECK(!b->full);
	s->out->n = b->n;
}

void
keeper_out_fd(struct session *s, int take_fd)
{
	CHECK(s->out->nfds < SLICES_BATCH_MAX);
	s->out->fds[s->out->nfds++] = take_fd;
}

void
keeper_out_drop(struct session *s)
{
	struct outgoing *o = s->out;

	if (!o)
		return;
	for (size_t i = 0; i < o->nfds && !o->borrowed; i++)
		fd_close(&o->fds[i]);
	o->n = 0;
	o->nfds = 0;
	o->borrowed = false;
}

bool
keeper_out_there(struct session *s)
{
	if (!s->out && (s->out = malloc(sizeof(*s->out)))) {
		/* The rest is set with the first message. */
		s->out->n = s->out->nfds = 0;
		s->out->wants.n = s->out->wants.at = 0;
	}
	return s->out;
}

void
keeper_out_done(struct session *s)
{
	keeper_out_drop(s);
	free(s->out);
	s->out = NULL;
}

/* A sealed memfd with these octets of the file; -errno, -EIO if it has become shorter. */
static int
seal_piece(int file, uint64_t offset, size_t n)
{
	uint8_t *map;
	/* A memory file without octets cannot be mapped; one octet more harms nobody. */
	size_t size = n > 0 ? n : 1;
	AUTO_FD fd = sealed_begin("restante-piece", size, &map);

	if (fd < 0)
		return fd_take(&fd);
	int e = fd_pread_all(file, map, n, offset);
	if (e < 0) {
		(void)munmap(map, size);
		return e;
	}
	e = sealed_finish(fd, map, size);
	return e < 0 ? e : fd_take(&fd);
}

/*
 * The same of a message. What others write into counts only once the store says that it
 * is of this message. -ESTALE: it lies elsewhere now.
 */
static int
seal_of_message(struct session *s, uint32_t msgno, const struct store_slice *from,
	uint64_t offset, size_t n)
{
	const struct drop *d = s->drop;
	AUTO_FD fd = seal_piece(from->fd, from->offset + offset, n);

	if (from->shared) {
		int e = d->ops->slice_is_current(d->store, s->table, msgno - 1, from);
		if (e < 0)
			return e;
	}
	return fd_take(&fd);
}

static struct open_file *
file_known(struct session *s, uint32_t msgno)
{
	for (uint32_t i = 0; s->files && i < KEEPER_FILES_OPEN; i++) {
		if (s->files[i].msgno != msgno || s->files[i].at.fd < 0)
			continue;
		s->files[i].used = ++s->files_used;
		return &s->files[i];
	}
	return NULL;
}

/* In place of the one that was not used for longest. NULL: no memory. */
static struct open_file *
file_keep(struct session *s, uint32_t msgno, struct store_slice *take)
{
	if (!s->files) {
		s->files = calloc(KEEPER_FILES_OPEN, sizeof(s->files[0]));
		for (uint32_t i = 0; s->files && i < KEEPER_FILES_OPEN; i++)
			s->files[i].at.fd = -1;
	}
	if (!s->files)
		return NULL;
	struct open_file *f = &s->files[0];
	for (uint32_t i = 1; i < KEEPER_FILES_OPEN; i++)
		if (s->files[i].used < f->used)
			f = &s->files[i];
	fd_close(&f->at.fd);
	*f = (struct open_file){msgno, *take, ++s->files_used};
	take->fd = -1;
	return f;
}

/*
 * What the front gets of an open message, enum slice_kind: the file itself only where it
 * can never wait for it, and where nobody else writes. Or -errno, -ESTALE to try again.
 */
static int
hand_over(struct session *s, uint32_t msgno, struct store_slice *from)
{
	struct drop *d = s->drop;

	if (!from->shared && d->nowait_device != from->device &&
		slice_file_check(from->fd, from->offset, from->length) == 0)
		d->nowait_device = from->device;
	if (!from->shared && d->nowait_device == from->device) {
		keeper_out_fd(s, fd_take(&from->fd));
		return SLICE_FILE;
	}
	if (from->length > KEEPER_PIECE_MAX)
		return file_keep(s, msgno, from) ? SLICE_PIECES : -ENOMEM;
	int fd = seal_of_message(s, msgno, from, 0, (size_t)from->length);
	if (fd < 0)
		return fd;
	keeper_out_fd(s, fd);
	return SLICE_SEALED;
}

/* The message as this session takes it: as it is stored, or rewritten (heads.h). */
static int
open_message(struct session *s, uint32_t msgno, struct store_slice *ret)
{
	const struct drop *d = s->drop;
	const struct store_message *m = &s->table->messages[msgno - 1];
	struct store_slice stored = {.fd = -1};

	if (s->form.utf8 || heads_wire(&d->heads, m) == 0)
		return d->ops->slice(d->store, s->table, msgno - 1, ret);
	int e = d->ops->slice(d->store, s->table, msgno - 1, &stored);
	if (e < 0)
		return e;
	e = heads_rewrite(&stored, ret);
	/* What others write into counts only once the store says that it is of this. */
	if (e == 0 && stored.shared)
		e = d->ops->slice_is_current(d->store, s->table, msgno - 1, &stored);
	fd_close(&stored.fd);
	if (e < 0)
		fd_close(&ret->fd);
	return e;
}

static bool
slice_build(struct session *s, uint32_t msgno, struct buf *rows)
{
	struct slice row = {.msgno = msgno, .kind = SLICE_UNREADABLE};
	struct store_slice got = {.fd = -1};
	int kind = -ESTALE;

	for (int i = 0; i < STALE_TRIES && kind == -ESTALE; i++) {
		int e = open_message(s, msgno, &got);
		kind = e == 0 ? hand_over(s, msgno, &got) : e == -ENOENT ? SLICE_GONE : e;
		if (e == 0)
			fd_close(&got.fd);
	}
	if ((kind == -EMFILE || kind == -ENFILE) && s->out->nfds > 0)
		return false;
	/* The client hears only that it cannot be read; the operator hears why. */
	if (kind < 0)
		keeper_log_store(s, "message", kind);
	else
		row.kind = (uint8_t)kind;
	if (row.kind != SLICE_GONE && row.kind != SLICE_UNREADABLE) {
		/* A sealed piece begins where the message does. */
		row.offset = row.kind == SLICE_FILE ? got.offset : 0;
		row.length = got.length;
		row.wire = got.wire;
		row.as_is = got.as_is;
	}
	slice_put(&row, rows);
	return true;
}

void
keeper_slices_build(struct session *s)
{
	uint8_t storage[SLICES_BATCH_MAX * SLICE_ROW_OCTETS];
	struct buf rows = buf_over(storage, sizeof(storage));
	struct buf b = keeper_out_begin(s);
	uint64_t until = clock_ms() + BATCH_MS;
	struct keeper_wants *w = &s->out->wants;

	do {
		if (!slice_build(s, w->msgno[w->at], &rows))
			break;
		w->at++;
	} while (w->at < w->n && clock_ms() < until);
	CHECK(!rows.full);
	struct msg_slices m = {.rows = buf_view(&rows)};
	msg_slices_put(&m, &b);
	keeper_out_end(s, &b);
}

/* The message opened anew, where it lies now. It must be as long as it was. */
static int
file_again(struct session *s, uint32_t msgno, struct open_file **f)
{
	struct store_slice got = {.fd = -1};
	int e = open_message(s, msgno, &got);

	if (e < 0)
		return e;
	if (*f && got.length != (*f)->at.length) {
		fd_close(&got.fd);
		return -EIO;
	}
	if (*f)
		fd_close(&(*f)->at.fd);
	*f = file_keep(s, msgno, &got);
	fd_close(&got.fd);
	return *f ? 0 : -ENOMEM;
}

static int
fetch_piece(struct session *s, const struct msg_fetch *m)
{
	struct open_file *f = file_known(s, m->msgno);
	int e = f ? 0 : file_again(s, m->msgno, &f);

	for (int i = 0; i < STALE_TRIES && e == 0; i++) {
		if (m->offset + m->length > f->at.length)
			return -EIO;
		int fd = seal_of_message(s, m->msgno, &f->at, m->offset, m->length);
		if (fd != -ESTALE)
			return fd;
		e = file_again(s, m->msgno, &f);
	}
	return e < 0 ? e : -EIO;
}

void
keeper_fetch(struct session *s, const struct msg_fetch *m)
{
	struct msg_fetched answer = {
		.msgno = m->msgno, .offset = m->offset, .length = m->length};
	struct buf b = keeper_out_begin(s);
	int fd = fetch_piece(s, m);

	if (fd < 0 && fd != -ENOENT)
		keeper_log_store(s, "message", fd);
	answer.error = fd < 0;
	msg_fetched_put(&answer, &b);
	keeper_out_end(s, &b);
	if (fd >= 0)
		keeper_out_fd(s, fd);
}

/* The wire size that a client gets which did not say UTF8. */
static uint64_t
wire_of(const struct drop *d, const struct store_message *m)
{
	uint64_t rewritten = heads_wire(&d->heads, m);

	return rewritten > 0 ? rewritten : m->wire;
}

static uint64_t
snapshot_total(const struct drop *d, const struct store_table *t)
{
	uint64_t octets = 0;

	for (uint32_t i = 0; i < t->count && d->heads.size > 0; i++)
		octets += wire_of(d, &t->messages[i]);
	return d->heads.size > 0 ? octets : t->octets;
}

static size_t
snapshot_octets(const struct drop *d, const struct store_table *t)
{
	size_t n = SNAPSHOT_HEADER + (size_t)t->count * SNAPSHOT_ROW;

	for (uint32_t i = 0; i < t->count; i++) {
		n += t->messages[i].uidl.n;
		if (heads_wire(&d->heads, &t->messages[i]) > 0)
			n += sizeof(uint64_t);
	}
	return n;
}

static void
row_write(
	const struct drop *d, const struct store_message *m, struct buf *b, uint32_t *at)
{
	bool utf8 = heads_wire(&d->heads, m) > 0;
	uint16_t flags = m->seen ? SNAPSHOT_SEEN : 0;

	buf_put_u64(b, wire_of(d, m));
	buf_put_u32(b, *at);
	buf_put_u16(b, (uint16_t)m->uidl.n);
	buf_put_u16(b, utf8 ? flags | SNAPSHOT_UTF8 : flags);
	*at += (uint32_t)(m->uidl.n + (utf8 ? sizeof(uint64_t) : 0));
}

static void
snapshot_write(const struct drop *d, const struct store_table *t, struct buf *b)
{
	uint64_t strings = b->cap - SNAPSHOT_HEADER - (uint64_t)t->count * SNAPSHOT_ROW;
	uint32_t at = 0;

	buf_put_u64(b, SNAPSHOT_MAGIC);
	buf_put_u32(b, SNAPSHOT_VERSION);
	buf_put_u32(b, t->count);
	buf_put_u64(b, snapshot_total(d, t));
	buf_put_u64(b, strings);
	for (uint32_t i = 0; i < t->count; i++)
		row_write(d, &t->messages[i], b, &at);
	for (uint32_t i = 0; i < t->count; i++) {
		buf_put_view(b, t->messages[i].uidl);
		if (heads_wire(&d->heads, &t->messages[i]) > 0)
			buf_put_u64(b, t->messages[i].wire);
	}
	CHECK(!b->full);
	CHECK(b->n == b->cap);
}

static int
snapshot_small(struct drop *d, const struct store_table *t, size_t n)
{
	uint8_t *p = malloc(n);

	if (!p)
		return -ENOMEM;
	struct buf b = buf_over(p, n);
	snapshot_write(d, t, &b);
	keeper_snapshot_drop(d);
	d->small = p;
	d->small_n = n;
	return 0;
}

static int
snapshot_sealed(struct drop *d, const struct store_table *t, size_t n)
{
	uint8_t *map;
	AUTO_FD fd = sealed_begin("restante-snapshot", n, &map);

	if (fd < 0)
		return fd;
	struct buf b = buf_over(map, n);
	snapshot_write(d, t, &b);
	int e = sealed_finish(fd, map, n);
	if (e < 0)
		return e;
	keeper_snapshot_drop(d);
	d->snapshot = fd_take(&fd);
	return 0;
}

void
keeper_snapshot_drop(struct drop *d)
{
	fd_close(&d->snapshot);
	free(d->small);
	d->small = NULL;
	d->small_n = 0;
}

int
keeper_snapshot(struct drop *d, const struct store_table *t)
{
	bool there = d->small || d->snapshot >= 0;

	if (there && d->snapshot_generation == t->generation) {
		stat_add(STAT_SNAPSHOTS_REUSED, 1);
		return 0;
	}
	size_t n = snapshot_octets(d, t);
	int e = n <= SNAPSHOT_SMALL_MAX ? snapshot_small(d, t, n)
					: snapshot_sealed(d, t, n);
	if (e < 0)
		return e;
	d->snapshot_generation = t->generation;
	d->snapshot_octets = snapshot_total(d, t);
	stat_add(STAT_SNAPSHOTS_BUILT, 1);
	return 0;
}
