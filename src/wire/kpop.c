#include "wire/kpop.h"

#include "base/buf.h"
#include "base/check.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define WHY_MAX 100

enum kpop_step {
	STEP_SENDAUTH,
	STEP_APPLICATION,
	STEP_REQUEST,
	STEP_OVER,
};

/* Both with the NUL behind them; a longer message is none of these. */
static const struct {
	const char *text;
	uint32_t octets;
	uint8_t status; /* where it is another */
} versions[] = {
	[STEP_SENDAUTH] = {"KRB5_SENDAUTH_V1.0", 19, 1},
	[STEP_APPLICATION] = {"KPOPV1.0", 9, 2},
};

static uint32_t
big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
put_length(struct buf *out, size_t n)
{
	const uint8_t octets[4] = {
		(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	buf_put(out, octets, sizeof(octets));
}

static uint32_t
length_max(uint8_t step)
{
	/* Other versions may have other lengths: they get their status octet. */
	return step == STEP_REQUEST ? KPOP_REQUEST_MAX : 64;
}

/* One whole message. KPOP_REQUEST: it is there. */
static enum kpop_outcome
take_message(const struct kpop *k, struct view *in, struct view *ret)
{
	if (in->n < 4)
		return KPOP_MORE;
	uint32_t n = big_endian(in->p);
	if (n < 1 || n > length_max(k->step))
		return KPOP_BAD;
	if (in->n - 4 < n)
		return KPOP_MORE;
	*ret = (struct view){in->p + 4, n};
	in->p += 4 + n;
	in->n -= 4 + n;
	return KPOP_REQUEST;
}

static bool
is_version(uint8_t step, struct view m)
{
	return m.n == versions[step].octets && memcmp(m.p, versions[step].text, m.n) == 0;
}

enum kpop_outcome
kpop_read(struct kpop *k, struct view *in, struct buf *out, struct view *ret_request)
{
	struct view m = {NULL, 0};

	CHECK(k->step < STEP_OVER);
	for (;;) {
		enum kpop_outcome o = take_message(k, in, &m);
		if (o != KPOP_REQUEST)
			return o;
		uint8_t step = k->step++;
		if (step == STEP_REQUEST) {
			*ret_request = m;
			return KPOP_REQUEST;
		}
		if (!is_version(step, m)) {
			k->step = STEP_OVER;
			buf_put_u8(out, versions[step].status);
			return KPOP_BAD;
		}
		if (step == STEP_APPLICATION)
			buf_put_u8(out, 0);
	}
}

void
kpop_put_yes(struct view ap_rep, struct buf *out)
{
	put_length(out, 0);
	if (ap_rep.n == 0)
		return;
	put_length(out, ap_rep.n);
	buf_put_view(out, ap_rep);
}

/* ---- the refusal ---------------------------------------------------------- */

static void
put_digits(struct buf *out, uint64_t n, unsigned digits)
{
	uint64_t unit = 1;

	for (unsigned i = 1; i < digits; i++)
		unit *= 10;
	for (; unit > 0; unit /= 10)
		buf_put_u8(out, (uint8_t)('0' + n / unit % 10));
}

/* YYYYMMDDHHMMSSZ. Years begin in March, so that leap days come last. */
static void
put_time(struct buf *out, uint64_t unix_s)
{
	uint64_t z = unix_s / 86400 + 719468; /* days from 0000-03-01 */
	uint64_t era = z / 146097, day = z % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t of_year = day - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * of_year + 2) / 153;

	put_digits(out, year + era * 400 + (month >= 10), 4);
	put_digits(out, month < 10 ? month + 3 : month - 9, 2);
	put_digits(out, of_year - (153 * month + 2) / 5 + 1, 2);
	put_digits(out, unix_s / 3600 % 24, 2);
	put_digits(out, unix_s / 60 % 60, 2);
	put_digits(out, unix_s % 60, 2);
	buf_put_u8(out, 'Z');
}

/* Octets of a KRB-ERROR's fields, but for the text. */
#define FIXED_OCTETS 65

/* DER s.10.1: the short form where it can be. n < 256. */
static void
put_head(struct buf *out, uint8_t tag, size_t n)
{
	buf_put_u8(out, tag);
	if (n > 127)
		buf_put_u8(out, 0x81);
	buf_put_u8(out, (uint8_t)n);
}

/* DER by hand: every length is fixed but those of the text and what is around it. */
void
kpop_put_no(uint64_t now_unix_s, struct view why, struct buf *out)
{
	static const uint8_t before[] = {
		0xA0, 0x03, 0x02, 0x01, 5,  /* pvno */
		0xA1, 0x03, 0x02, 0x01, 30, /* msg-type KRB-ERROR */
		0xA4, 0x11, 0x18, 0x0F,	    /* stime: GeneralizedTime follows */
	};
	static const uint8_t behind[] = {
		0xA5,
		0x03,
		0x02,
		0x01,
		0, /* susec */
		0xA6,
		0x03,
		0x02,
		0x01,
		60, /* error-code KRB_ERR_GENERIC */
		0xA9,
		0x02,
		0x1B,
		0x00, /* realm: not told */
		0xAA,
		0x10,
		0x30,
		0x0E, /* sname */
		0xA0,
		0x03,
		0x02,
		0x01,
		2, /* NT-SRV-INST */
		0xA1,
		0x07,
		0x30,
		0x05,
		0x1B,
		0x03,
		'p',
		'o',
		'p',
	};
	static_assert(sizeof(before) + 15 + sizeof(behind) + 4 == FIXED_OCTETS);
	size_t text_n = why.n < WHY_MAX ? why.n : WHY_MAX;
	size_t fields = FIXED_OCTETS + text_n;
	size_t sequence = fields + (fields > 127 ? 3 : 2);

	put_length(out, sequence + (sequence > 127 ? 3 : 2));
	put_head(out, 0x7E, sequence); /* APPLICATION 30 */
	put_head(out, 0x30, fields);
	buf_put(out, before, sizeof(before));
	put_time(out, now_unix_s);
	buf_put(out, behind, sizeof(behind));
	put_head(out, 0xAB, text_n + 2); /* e-text */
	put_head(out, 0x1B, text_n);
	buf_put(out, why.p, text_n);
}
