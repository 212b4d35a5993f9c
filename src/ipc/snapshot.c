#include "ipc/snapshot.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/num.h"

#include <string.h>

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

/* Eight octets at once: a table of 100,000 is checked before its first answer leaves. */
static bool
word_is_graph(uint64_t word)
{
	const uint64_t tops = UINT64_C(0x8080808080808080);
	const uint64_t ones = UINT64_C(0x0101010101010101);

	/* None above 0x7E, none below 0x21. */
	return (((word + ones) | word) & tops) == 0 &&
		(((word | tops) - 0x21 * ones) & tops) == tops;
}

static bool
is_graph(const uint8_t *p, uint64_t n)
{
	uint64_t word;

	for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		if (!word_is_graph(word))
			return false;
	}
	for (; n > 0; p++, n--)
		if (!ascii_is_graph(*p))
			return false;
	return true;
}

static bool
row_is_sound(const struct snapshot *s, uint32_t idx, uint64_t *octets)
{
	const uint8_t *row = s->p + SNAPSHOT_HEADER + (size_t)idx * SNAPSHOT_ROW;
	uint64_t strings = s->n - strings_at(s);
	uint64_t wire;
	uint32_t at;
	uint16_t n;
	uint16_t flags;

	memcpy(&wire, row, sizeof(wire));
	memcpy(&at, row + 8, sizeof(at));
	memcpy(&n, row + 12, sizeof(n));
	memcpy(&flags, row + 14, sizeof(flags));
	if (!num_add(*octets, wire, octets))
		return false;
	size_t behind = flags & SNAPSHOT_UTF8 ? sizeof(wire) : 0;
	if (n < 1 || n > SNAPSHOT_UIDL_MAX || (uint64_t)at + n + behind > strings)
		return false;
	return is_graph(s->p + strings_at(s) + at, n);
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

uint64_t
snapshot_wire_utf8(const struct snapshot *s, uint32_t idx)
{
	struct view uidl = snapshot_uidl(s, idx);
	uint64_t wire;

	if (!(snapshot_flags(s, idx) & SNAPSHOT_UTF8))
		return snapshot_wire(s, idx);
	memcpy(&wire, uidl.p + uidl.n, sizeof(wire));
	return wire;
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
