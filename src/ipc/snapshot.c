#include "ipc/snapshot.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/num.h"

static struct cursor
row_at(const struct snapshot *s, uint32_t idx)
{
	CHECK(idx < s->count);
	size_t at = SNAPSHOT_HEADER + (size_t)idx * SNAPSHOT_ROW;
	return cursor_over((struct view){s->p + at, SNAPSHOT_ROW});
}

static size_t
strings_at(const struct snapshot *s)
{
	return SNAPSHOT_HEADER + (size_t)s->count * SNAPSHOT_ROW;
}

static bool
row_is_sound(const struct snapshot *s, uint32_t idx, uint64_t *octets)
{
	struct cursor c = row_at(s, idx);
	uint64_t wire = cursor_u64(&c);
	uint64_t at = cursor_u32(&c);
	uint64_t n = cursor_u16(&c);
	uint64_t strings = s->n - strings_at(s);

	if (!num_add(*octets, wire, octets))
		return false;
	if (n < 1 || n > SNAPSHOT_UIDL_MAX || at + n > strings)
		return false;
	const uint8_t *uidl = s->p + strings_at(s) + at;
	for (size_t i = 0; i < n; i++)
		if (!ascii_is_graph(uidl[i]))
			return false;
	return true;
}

bool
snapshot_check_begin(struct view map, struct snapshot_checking *ret)
{
	struct cursor c = cursor_over(map);
	uint64_t magic = cursor_u64(&c);
	uint32_t version = cursor_u32(&c);
	uint32_t count = cursor_u32(&c);
	uint64_t octets = cursor_u64(&c);
	uint64_t strings = cursor_u64(&c);

	if (c.bad || magic != SNAPSHOT_MAGIC || version != SNAPSHOT_VERSION)
		return false;
	if (count > SNAPSHOT_MESSAGES_MAX || strings > UINT32_MAX)
		return false;
	if (map.n != SNAPSHOT_HEADER + (uint64_t)count * SNAPSHOT_ROW + strings)
		return false;
	*ret = (struct snapshot_checking){.snapshot = {map.p, map.n, count, octets}};
	return true;
}

enum snapshot_step
snapshot_check_rows(struct snapshot_checking *c, uint32_t rows)
{
	uint32_t left = c->snapshot.count - c->next;
	uint32_t end = c->next + (rows < left ? rows : left);

	while (c->next < end)
		if (!row_is_sound(&c->snapshot, c->next++, &c->total))
			return SNAPSHOT_BAD;
	if (end < c->snapshot.count)
		return SNAPSHOT_MORE;
	return c->total == c->snapshot.octets ? SNAPSHOT_SOUND : SNAPSHOT_BAD;
}

bool
snapshot_check(struct view map, struct snapshot *ret)
{
	struct snapshot_checking c;

	if (!snapshot_check_begin(map, &c))
		return false;
	if (snapshot_check_rows(&c, SNAPSHOT_MESSAGES_MAX) != SNAPSHOT_SOUND)
		return false;
	*ret = c.snapshot;
	return true;
}

uint64_t
snapshot_wire(const struct snapshot *s, uint32_t idx)
{
	struct cursor c = row_at(s, idx);
	return cursor_u64(&c);
}

struct view
snapshot_uidl(const struct snapshot *s, uint32_t idx)
{
	struct cursor c = row_at(s, idx);
	(void)cursor_u64(&c);
	uint32_t at = cursor_u32(&c);
	uint16_t n = cursor_u16(&c);
	return (struct view){s->p + strings_at(s) + at, n};
}

uint16_t
snapshot_flags(const struct snapshot *s, uint32_t idx)
{
	struct cursor c = row_at(s, idx);
	(void)cursor_u64(&c);
	(void)cursor_u32(&c);
	(void)cursor_u16(&c);
	return cursor_u16(&c);
}
