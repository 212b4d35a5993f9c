#include "keeper/heads.h"
#include "base/check.h"
#include "keeper/encoded_word.h"
#include "keeper/utf8_head.h"
#include "os/fd.h"
#include "os/sealed.h"
#include "pop3/dot.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#define BLOCK 4096 /* most headers are shorter */

struct heads_entry {
	uint64_t hash; /* of the UIDL; 0: free */
	uint64_t wire; /* 0: it is sent as it is */
};

static uint64_t
hash_of(struct view uidl)
{
	uint64_t h = XXH3_64bits(uidl.p, uidl.n);

	return h ? h : 1;
}

/* The entry of this hash, or the free one where it belongs. */
static struct heads_entry *
entry_at(const struct heads *h, uint64_t hash)
{
	uint32_t i = (uint32_t)(hash >> 32) & (h->size - 1);

	while (h->entries[i].hash != 0 && h->entries[i].hash != hash)
		i = (i + 1) & (h->size - 1);
	return &h->entries[i];
}

static int
make_room(struct heads *h, uint32_t more)
{
	struct heads bigger = {.size = 64};

	if (h->size >= 2 * ((uint64_t)h->n + more) && h->size > 0)
		return 0;
	while (bigger.size < 2 * ((uint64_t)h->n + more))
		bigger.size *= 2;
	bigger.entries = calloc(bigger.size, sizeof(*bigger.entries));
	if (!bigger.entries)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->size; i++)
		if (h->entries[i].hash != 0)
			*entry_at(&bigger, h->entries[i].hash) = h->entries[i];
	bigger.n = h->n;
	free(h->entries);
	*h = bigger;
	return 0;
}

void
heads_free(struct heads *h)
{
	free(h->entries);
	*h = (struct heads){0};
}

size_t
heads_memory(const struct heads *h)
{
	return h->size * sizeof(*h->entries);
}

/* ---- one message ------------------------------------------------------------- */

/* The header of an open message, malloc'ed; n 0: it is too long to be looked at. */
static int
read_head(const struct store_slice *s, uint8_t **ret, struct view *ret_head)
{
	size_t n = BLOCK;

	for (;;) {
		uint64_t whole = s->length < UTF8_HEAD_MAX ? s->length : UTF8_HEAD_MAX;
		if (n > whole)
			n = (size_t)whole;
		AUTO_FREE uint8_t *octets = malloc(n + 1);
		if (!octets)
			return -ENOMEM;
		int r = fd_pread_all(s->fd, octets, n, s->offset);
		if (r < 0)
			return r;
		size_t head = utf8_head_octets((struct view){octets, n});
		if (head < n || n == s->length || n == UTF8_HEAD_MAX) {
			*ret_head = (struct view){
				octets, head == n && n < s->length ? 0 : head};
			*ret = octets;
			octets = NULL;
			return 0;
		}
		n *= 8;
	}
}

/* On the wire; with the line end that a message lacks which is nothing but a header. */
static uint64_t
wire_of(struct view v, bool whole)
{
	struct dot_state state = {0};
	uint64_t n = v.n > 0 ? dot_best()->count(&state, v.p, v.n) : 0;

	return whole ? n + dot_finish_count(&state) : n;
}

/* -ESTALE: the size that is known cannot be this message's. */
static int
wire_changed(
	const struct store_slice *s, struct view head, struct view ascii, uint64_t *ret)
{
	bool whole = head.n == s->length;
	uint64_t before = wire_of(head, whole);

	if (s->wire < before)
		return -ESTALE;
	*ret = s->wire - before + wire_of(ascii, whole);
	return 0;
}

/* The rewritten header, malloc'ed. -EFBIG: it does not fit. */
static int
rewrite(struct view head, uint8_t **ret, struct view *ret_head)
{
	size_t room = UTF8_HEAD_ROOM(head.n);
	AUTO_FREE uint8_t *octets = malloc(room);

	if (!octets)
		return -ENOMEM;
	struct buf out = buf_over(octets, room);
	utf8_head_put(head, &out);
	if (out.full)
		return -EFBIG;
	*ret_head = buf_view(&out);
	*ret = octets;
	octets = NULL;
	return 0;
}

/* 0: as it is. */
static int
look_at(const struct store_slice *s, uint64_t *ret_wire)
{
	AUTO_FREE uint8_t *octets = NULL;
	AUTO_FREE uint8_t *other = NULL;
	struct view head, ascii;

	*ret_wire = 0;
	if (s->length > HEADS_MESSAGE_MAX)
		return 0;
	int r = read_head(s, &octets, &head);
	if (r < 0 || !encoded_word_is_raw(head))
		return r;
	r = rewrite(head, &other, &ascii);
	if (r == -EFBIG)
		return 0;
	if (r < 0)
		return r;
	return wire_changed(s, head, ascii, ret_wire);
}

static int
learn_one(struct heads *h, const struct store_ops *ops, struct store *s,
	const struct store_table *t, uint32_t idx)
{
	uint64_t hash = hash_of(t->messages[idx].uidl);
	struct heads_entry *e = entry_at(h, hash);
	struct store_slice slice = {.fd = -1};
	uint64_t wire = 0;

	if (e->hash != 0)
		return 0;
	int r = ops->slice(s, t, idx, &slice);
	if (r == 0) {
		r = look_at(&slice, &wire);
		if (r == 0 && slice.shared && ops->slice_is_current)
			r = ops->slice_is_current(s, t, idx, &slice);
		fd_close(&slice.fd);
	}
	if (r == -ENOMEM)
		return r;
	/* What cannot be read now is looked at again at the next login. */
	if (r < 0)
		return 0;
	*e = (struct heads_entry){hash, wire};
	h->n++;
	return 0;
}

int
heads_learn(struct heads *h, const struct store_ops *ops, struct store *s,
	const struct store_table *t)
{
	/* Of messages that are long gone enough is remembered. */
	if (h->n > 2 * (uint64_t)t->count + 1024)
		heads_free(h);
	int r = make_room(h, t->count);

	for (uint32_t i = 0; i < t->count && r == 0; i++)
		r = learn_one(h, ops, s, t, i);
	return r;
}

uint64_t
heads_wire(const struct heads *h, const struct store_message *m)
{
	if (h->size == 0)
		return 0;
	return entry_at(h, hash_of(m->uidl))->wire;
}

/* ---- the rewritten message ----------------------------------------------------- */

static int
put_together(
	const struct store_slice *s, size_t head_n, struct view ascii, uint64_t *ret_n)
{
	uint64_t body = s->length - head_n;
	uint64_t n = ascii.n + body;
	uint8_t *map;
	/* Emptied since it was looked at; a mapping needs an octet. */
	size_t size = n > 0 ? (size_t)n : 1;
	AUTO_FD fd = sealed_begin("restante-message", size, &map);

	if (fd < 0)
		return fd_take(&fd);
	struct buf out = buf_over(map, size);
	buf_put_view(&out, ascii);
	CHECK(!out.full);
	int r = fd_pread_all(s->fd, map + ascii.n, (size_t)body, s->offset + head_n);
	if (r < 0) {
		(void)munmap(map, size);
		return r;
	}
	r = sealed_finish(fd, map, size);
	*ret_n = n;
	return r < 0 ? r : fd_take(&fd);
}

int
heads_rewrite(const struct store_slice *stored, struct store_slice *ret)
{
	AUTO_FREE uint8_t *octets = NULL;
	AUTO_FREE uint8_t *other = NULL;
	struct view head, ascii;
	struct stat st;
	uint64_t n = 0, wire = 0;

	/* It may have grown since it was looked at. */
	if (stored->length > HEADS_MESSAGE_MAX)
		return -EFBIG;
	int r = read_head(stored, &octets, &head);
	if (r == 0)
		r = rewrite(head, &other, &ascii);
	if (r == 0)
		r = wire_changed(stored, head, ascii, &wire);
	if (r < 0)
		return r;
	AUTO_FD fd = put_together(stored, head.n, ascii, &n);
	if (fd < 0)
		return fd_take(&fd);
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct store_slice){
		.fd = fd_take(&fd), .length = n, .wire = wire, .device = st.st_dev};
	return 0;
}
