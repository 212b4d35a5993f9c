/* Records of the identity log: one way to write them, one to read them. Pure. */
#include "base/ascii.h"
#include "base/check.h"
#include "base/cursor.h"
#include "store/identity_state.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define IDENTITY_MAGIC	 UINT64_C(0x3130444953455249) /* "IRESID01" */
#define IDENTITY_VERSION 1
#define SUM_OCTETS	 8
#define HEAD_OCTETS	 8 /* both lengths: what tells a cut record from a damaged one */
#define COMMIT_OCTETS	 8 /* at most */
#define ZEROS_MIN	 16

bool
identity_row_is_legal(const struct identity_row *row)
{
	if (row->source < IDENTITY_ASSIGNED || row->source > IDENTITY_USED_UP)
		return false;
	if (row->key.n > IDENTITY_KEY_MAX)
		return false;
	if (row->uidl.n < 1 || row->uidl.n > IDENTITY_UIDL_MAX)
		return false;
	for (size_t i = 0; i < row->uidl.n; i++)
		if (!ascii_is_graph(row->uidl.p[i]))
			return false;
	return true;
}

size_t
identity_record_octets(const struct identity_row *row)
{
	return 40 + row->key.n + row->uidl.n;
}

void
identity_put_header(struct buf *b)
{
	size_t start = b->n;

	buf_put_u64(b, IDENTITY_MAGIC);
	buf_put_u32(b, IDENTITY_VERSION);
	buf_put_u32(b, (uint32_t)XXH3_64bits(b->p + start, b->n - start));
}

int
identity_get_header(struct view octets, uint64_t *ret_sum)
{
	struct cursor c = cursor_over(octets);
	uint64_t magic = cursor_u64(&c);
	uint32_t version = cursor_u32(&c);
	uint32_t check = cursor_u32(&c);

	if (c.bad || magic != IDENTITY_MAGIC)
		return -EBADMSG;
	if (check != (uint32_t)XXH3_64bits(octets.p, IDENTITY_HEADER - sizeof(check)))
		return -EBADMSG;
	if (version > IDENTITY_VERSION)
		return -EPROTONOSUPPORT;
	if (version < IDENTITY_VERSION)
		return -EBADMSG;
	*ret_sum = XXH3_64bits(octets.p, IDENTITY_HEADER);
	return 0;
}

void
identity_put_record(struct buf *b, const struct identity_row *row, uint64_t *sum)
{
	size_t start = b->n;
	uint32_t length = (uint32_t)identity_record_octets(row);

	CHECK(identity_row_is_legal(row));
	buf_put_u32(b, length);
	buf_put_u32(b, ~length);
	buf_put_u64(b, *sum);
	buf_put_u8(b, row->source);
	buf_put_u8(b, (uint8_t)row->key.n);
	buf_put_u8(b, (uint8_t)row->uidl.n);
	buf_put_u8(b, 0);
	buf_put_u32(b, row->place);
	buf_put_u64(b, row->seen_s);
	buf_put_view(b, row->key);
	buf_put_view(b, row->uidl);
	*sum = XXH3_64bits(b->p + start, b->n - start);
	buf_put_u64(b, *sum);
	CHECK(!b->full);
}

/* The fields of a record whose checksum is right. */
static enum identity_got
fields_of(struct view record, uint64_t *ret_before, struct identity_row *ret)
{
	struct cursor c = cursor_over(record);

	(void)cursor_u64(&c);
	*ret_before = cursor_u64(&c);
	ret->source = cursor_u8(&c);
	uint8_t key_n = cursor_u8(&c);
	uint8_t uidl_n = cursor_u8(&c);
	uint8_t zero = cursor_u8(&c);
	ret->place = cursor_u32(&c);
	ret->seen_s = cursor_u64(&c);
	if (zero != 0 || ret->source > IDENTITY_USED_UP)
		return IDENTITY_NEWER;
	ret->key = cursor_take(&c, key_n);
	ret->uidl = cursor_take(&c, uidl_n);
	if (c.bad || c.n != SUM_OCTETS || !identity_row_is_legal(ret))
		return IDENTITY_DAMAGED;
	return IDENTITY_GOT;
}

/* A record whose lengths and checksum are right. */
static enum identity_got
frame_of(struct view octets, struct view *ret)
{
	struct cursor c = cursor_over(octets);

	if (octets.n == 0)
		return IDENTITY_END;
	if (octets.n < HEAD_OCTETS)
		return IDENTITY_TORN;
	uint32_t length = cursor_u32(&c);
	if (cursor_u32(&c) != (uint32_t)~length)
		return IDENTITY_DAMAGED;
	if (length < IDENTITY_RECORD_MIN || length > IDENTITY_RECORD_MAX)
		return IDENTITY_DAMAGED;
	if (octets.n < length)
		return IDENTITY_TORN;
	c = cursor_over((struct view){octets.p + length - SUM_OCTETS, SUM_OCTETS});
	if (cursor_u64(&c) != XXH3_64bits(octets.p, length - SUM_OCTETS))
		return IDENTITY_DAMAGED;
	*ret = (struct view){octets.p, length};
	return IDENTITY_GOT;
}

/*
 * A crash may leave the file longer than what of it reached the disk: zeros from some
 * point of the record on, to the end. A record that was synced does not end so.
 */
static bool
is_zeros_at_end(struct view octets)
{
	size_t n = 0;

	while (n < octets.n && octets.p[octets.n - n - 1] == 0)
		n++;
	if (n < ZEROS_MIN)
		return false;
	return n + IDENTITY_RECORD_MAX > octets.n;
}

enum identity_got
identity_get_record(
	struct view octets, uint64_t *sum, struct identity_row *ret, size_t *ret_n)
{
	struct view record;
	uint64_t before;
	enum identity_got got = frame_of(octets, &record);

	if (got == IDENTITY_DAMAGED && is_zeros_at_end(octets))
		return IDENTITY_TORN;
	if (got != IDENTITY_GOT)
		return got;
	got = fields_of(record, &before, ret);
	if (before != *sum)
		return IDENTITY_DAMAGED;
	if (got != IDENTITY_GOT)
		return got;
	*sum = XXH3_64bits(record.p, record.n - SUM_OCTETS);
	*ret_n = record.n;
	return IDENTITY_GOT;
}

size_t
identity_commit_octets(uint64_t at)
{
	uint64_t left = IDENTITY_SECTOR - at % IDENTITY_SECTOR;

	return left < COMMIT_OCTETS ? (size_t)left : COMMIT_OCTETS;
}

bool
identity_is_uncommitted(struct view octets, uint64_t at)
{
	size_t n = identity_commit_octets(at);

	if (octets.n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (octets.p[i] != 0)
			return false;
	return true;
}

bool
identity_get_alone(struct view octets, struct identity_row *ret, size_t *ret_n)
{
	struct view record;
	uint64_t before;

	if (frame_of(octets, &record) != IDENTITY_GOT)
		return false;
	*ret_n = record.n;
	return fields_of(record, &before, ret) == IDENTITY_GOT;
}

int
identity_decode(struct view octets, size_t *ret_rows, size_t *ret_sound)
{
	struct identity_row row;
	enum identity_got got = IDENTITY_END;
	uint64_t sum;
	size_t at = IDENTITY_HEADER, n, rows = 0;

	*ret_rows = *ret_sound = 0;
	int r = identity_get_header(octets, &sum);
	if (r < 0)
		return r;
	for (;; at += n, rows++) {
		got = identity_get_record(
			(struct view){octets.p + at, octets.n - at}, &sum, &row, &n);
		if (got != IDENTITY_GOT)
			break;
	}
	if (got == IDENTITY_DAMAGED &&
		identity_is_uncommitted((struct view){octets.p + at, octets.n - at}, at))
		got = IDENTITY_TORN;
	*ret_rows = rows;
	*ret_sound = at;
	switch (got) {
	case IDENTITY_GOT:
	case IDENTITY_END:
	case IDENTITY_TORN: return 0;
	case IDENTITY_NEWER: return -EPROTONOSUPPORT;
	case IDENTITY_DAMAGED: break;
	}
	return -EBADMSG;
}
