/* The identity log in memory: rows in order, found by key and by UIDL. */
#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"
#include "store/identity_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define CHUNK_MIN 4096

size_t
identity_count(const struct identity *log)
{
	return log->count;
}

struct identity_row
identity_at(const struct identity *log, size_t i)
{
	CHECK(i < log->count);
	return log->rows[i].row;
}

/* ---- tables ----------------------------------------------------------------- */

static struct identity_slot *
key_slot(const struct identity *log, struct view key)
{
	uint32_t at = (uint32_t)XXH3_64bits(key.p, key.n) & log->mask;

	for (;; at = (at + 1) & log->mask) {
		struct identity_slot *slot = &log->by_key[at];
		if (slot->first == 0 ||
			view_equal(log->rows[slot->first - 1].row.key, key))
			return slot;
	}
}

static uint32_t *
uidl_slot(const struct identity *log, struct view uidl)
{
	uint32_t at = (uint32_t)XXH3_64bits(uidl.p, uidl.n) & log->mask;

	for (;; at = (at + 1) & log->mask) {
		uint32_t *slot = &log->by_uidl[at];
		if (*slot == 0 || view_equal(log->rows[*slot - 1].row.uidl, uidl))
			return slot;
	}
}

static void
tables_put(struct identity *log, uint32_t i)
{
	struct identity_slot *key = key_slot(log, log->rows[i].row.key);
	uint32_t *uidl = uidl_slot(log, log->rows[i].row.uidl);

	log->used += log->rows[i].row.source == IDENTITY_USED_UP;
	log->octets += identity_record_octets(&log->rows[i].row);
	log->rows[i].next = log->rows[i].next_uidl = IDENTITY_NONE;
	if (key->first == 0)
		key->first = i + 1;
	else
		log->rows[key->last].next = i;
	key->last = i;
	if (*uidl == 0) {
		*uidl = i + 1;
		return;
	}
	log->rows[i].next_uidl = log->rows[*uidl - 1].next_uidl;
	log->rows[*uidl - 1].next_uidl = i;
}

/* Room for so many rows, at most half full. */
static int
tables_for(struct identity *log, uint64_t rows)
{
	uint64_t size = 16;

	while (size < rows * 2)
		size *= 2;
	struct identity_slot *by_key = calloc(size, sizeof(*by_key));
	uint32_t *by_uidl = calloc(size, sizeof(*by_uidl));
	if (!by_key || !by_uidl) {
		free(by_key);
		free(by_uidl);
		return -ENOMEM;
	}
	free(log->by_key);
	free(log->by_uidl);
	log->by_key = by_key;
	log->by_uidl = by_uidl;
	log->mask = (uint32_t)size - 1;
	log->used = 0;
	log->octets = 0;
	for (uint32_t i = 0; i < log->count; i++)
		tables_put(log, i);
	return 0;
}

bool
identity_next(const struct identity *log, struct view key, int64_t *at,
	struct identity_row *ret)
{
	uint32_t i = IDENTITY_NONE;

	if (*at >= 0) {
		CHECK(*at < log->count);
		i = log->rows[*at].next;
	} else if (log->count > 0) {
		/* An empty slot's first is 0: one less is IDENTITY_NONE. */
		i = key_slot(log, key)->first - 1;
	}
	if (i == IDENTITY_NONE)
		return false;
	*at = i;
	*ret = log->rows[i].row;
	return true;
}

bool
identity_has_uidl(const struct identity *log, struct view uidl)
{
	return log->count > 0 && *uidl_slot(log, uidl) != 0;
}

bool
identity_next_uidl(const struct identity *log, struct view uidl, int64_t *at,
	struct identity_row *ret)
{
	uint32_t i = IDENTITY_NONE;

	if (*at >= 0) {
		CHECK(*at < log->count);
		i = log->rows[*at].next_uidl;
	} else if (log->count > 0) {
		/* An empty slot is 0: one less is IDENTITY_NONE. */
		i = *uidl_slot(log, uidl) - 1;
	}
	if (i == IDENTITY_NONE)
		return false;
	*at = i;
	*ret = log->rows[i].row;
	return true;
}

bool
identity_holds(const struct identity *log, const struct identity_row *row, uint32_t from)
{
	struct identity_row other;

	for (int64_t at = -1; identity_next_uidl(log, row->uidl, &at, &other);)
		if (at >= from && other.source == row->source &&
			view_equal(other.key, row->key))
			return true;
	return false;
}

bool
identity_has(
	const struct identity *log, uint8_t source, struct view key, struct view uidl)
{
	struct identity_row row = {.source = source, .key = key, .uidl = uidl};

	return identity_holds(log, &row, 0);
}

/* ---- rows ------------------------------------------------------------------- */

uint8_t *
identity_room(struct identity *log, size_t n)
{
	struct identity_chunk *c = log->chunks;

	if (!c || c->cap - c->n < n) {
		size_t cap = n > CHUNK_MIN ? n : CHUNK_MIN;
		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		*c = (struct identity_chunk){.next = log->chunks, .cap = cap};
		log->chunks = c;
	}
	c->n += n;
	return c->octets + c->n - n;
}

int
identity_take(struct identity *log, const struct identity_row *row)
{
	/* Twice: all of a large maildrop may be deleted before the next sync. */
	if (log->count >= 2 * IDENTITY_ROWS_MAX) {
		log->left_out += row->source == IDENTITY_USED_UP;
		return row->source == IDENTITY_USED_UP ? 0 : -EFBIG;
	}
	if (log->count == log->cap) {
		uint32_t cap = log->cap ? log->cap * 2 : 16;
		void *grown = reallocarray(log->rows, cap, sizeof(*log->rows));
		if (!grown)
			return -ENOMEM;
		log->rows = grown;
		log->cap = cap;
	}
	if (!log->by_key || (log->count + UINT64_C(1)) * 2 > log->mask + UINT64_C(1)) {
		int r = tables_for(log, (log->count + UINT64_C(1)) * 2);
		if (r < 0)
			return r;
	}
	log->rows[log->count] = (struct identity_entry){.row = *row};
	tables_put(log, log->count++);
	return 0;
}

int
identity_cut(struct identity *log, uint32_t count)
{
	uint32_t before = log->count;

	CHECK(count <= before);
	log->count = count;
	int r = tables_for(log, before);
	if (r < 0)
		log->count = before;
	return r;
}

int
identity_add(struct identity *log, const struct identity_row *row)
{
	struct identity_row own = *row;

	if (!identity_row_is_legal(row))
		return -EINVAL;
	uint8_t *p = identity_room(log, row->key.n + row->uidl.n);
	if (!p)
		return -ENOMEM;
	if (row->key.n > 0)
		memcpy(p, row->key.p, row->key.n);
	memcpy(p + row->key.n, row->uidl.p, row->uidl.n);
	own.key = (struct view){p, row->key.n};
	own.uidl = (struct view){p + row->key.n, row->uidl.n};
	return identity_take(log, &own);
}

uint64_t
identity_left_out(struct identity *log)
{
	uint64_t n = log->left_out;

	log->left_out = 0;
	return n;
}

void
identity_free_rows(struct identity *log)
{
	while (log->chunks) {
		struct identity_chunk *next = log->chunks->next;
		free(log->chunks);
		log->chunks = next;
	}
	free(log->rows);
	free(log->by_key);
	free(log->by_uidl);
}

void
identity_close(struct identity **lp)
{
	struct identity *log = *lp;

	*lp = NULL;
	if (!log)
		return;
	identity_free_rows(log);
	fd_close(&log->dir);
	free(log->name);
	free(log);
}

size_t
identity_memory(const struct identity *log)
{
	size_t n = sizeof(*log) + log->cap * sizeof(*log->rows) +
		(log->mask + (size_t)1) * (sizeof(*log->by_key) + sizeof(*log->by_uidl));

	for (const struct identity_chunk *c = log->chunks; c; c = c->next)
		n += sizeof(*c) + c->cap;
	return n;
}
