/*
 * cyrus.index, big-endian, versions 6 to 17; a header and fixed records:
 *
 *     header   8 version  12 start of records  16 octets of a record  20 records
 *              28 last UID  44 UIDVALIDITY  60 options (bit 0: UIDLs have both numbers)
 *     record   0 UID  12 size  32 flags (bit 31: expunged, bit 30: removed)
 *
 * Later versions added fields behind these.
 */
#include "move/foreign.h"

#define VERSION_FIRST	6
#define VERSION_LAST	17
#define HEADER_OCTETS	64
#define RECORD_OCTETS	60 /* the shortest, of version 6 */
#define RECORD_MAX	4096
#define FLAGS_GONE	0xC0000000U
#define OPTION_NEW_UIDL 1U

static uint32_t
u32_at(struct view v, size_t at)
{
	return (uint32_t)v.p[at] << 24 | (uint32_t)v.p[at + 1] << 16 |
		(uint32_t)v.p[at + 2] << 8 | v.p[at + 3];
}

struct index {
	uint32_t start, record, count, uidvalidity, options;
};

static const char *
read_header(struct view v, struct index *x)
{
	if (v.n < HEADER_OCTETS)
		return "the file is too short for a cyrus.index";
	uint32_t version = u32_at(v, 8);
	x->start = u32_at(v, 12);
	x->record = u32_at(v, 16);
	x->count = u32_at(v, 20);
	x->uidvalidity = u32_at(v, 44);
	x->options = u32_at(v, 60);
	if (u32_at(v, 4) != 0 || version < VERSION_FIRST || version > VERSION_LAST)
		return "this is no cyrus.index of version 6 to 17";
	if (x->start < HEADER_OCTETS || x->start > v.n || x->record < RECORD_OCTETS ||
		x->record > RECORD_MAX)
		return "the sizes in its header cannot be";
	if (x->count > (v.n - x->start) / x->record)
		return "it is shorter than its header says; stop the server, or copy it "
		       "again";
	if (x->uidvalidity == 0)
		return "it has no UIDVALIDITY";
	return NULL;
}

static void
put_hex8(struct buf *b, uint32_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (int shift = 28; shift >= 0; shift -= 4)
		buf_put(b, &digits[n >> shift & 15], 1);
}

static void
put_uidl(const struct index *x, enum foreign_cyrus form, uint32_t uid, struct buf *b)
{
	/* A mailbox of an old Cyrus keeps to UIDs alone, whatever imapd.conf says. */
	if (form == FOREIGN_CYRUS_UIDONLY || !(x->options & OPTION_NEW_UIDL)) {
		buf_put_dec(b, uid);
		return;
	}
	if (form == FOREIGN_CYRUS_DOVECOT) {
		put_hex8(b, uid);
		put_hex8(b, x->uidvalidity);
		return;
	}
	buf_put_dec(b, x->uidvalidity);
	buf_put_str(b, form == FOREIGN_CYRUS_COURIER ? "-" : ".");
	buf_put_dec(b, uid);
}

void
foreign_cyrus_read(struct view v, enum foreign_cyrus form, struct foreign_sink *s)
{
	struct index x;
	const char *why = read_header(v, &x);
	uint32_t last = 0;

	if (why) {
		s->bad(s, 0, why);
		return;
	}
	for (uint32_t i = 0; i < x.count; i++) {
		uint8_t storage[64];
		struct buf b = buf_over(storage, sizeof(storage));
		struct view record = {v.p + x.start + (size_t)i * x.record, x.record};
		uint32_t uid = u32_at(record, 0);

		if (uid <= last) {
			s->bad(s, i + 1, "its UID is not above the one before");
			return;
		}
		last = uid;
		if (u32_at(record, 32) & FLAGS_GONE)
			continue;
		put_uidl(&x, form, uid, &b);
		size_t n = b.n;
		buf_put_dec(&b, uid);
		buf_put_str(&b, ".");
		struct foreign_row r = {.line = i + 1,
			.uid = uid,
			.order = i,
			.size = u32_at(record, 12),
			.name = {storage + n, b.n - n},
			.uidl = {storage, n}};
		s->row(s, &r);
	}
}
