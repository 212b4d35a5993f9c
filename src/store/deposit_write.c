#include "store/deposit_write.h"

#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENVELOPE_MAX 1024 /* octets of a sender or a recipient */

/* Octets of the UTF-8 character at the start of v (RFC 3629 s.4); 0: there is none. */
static size_t
character(struct view v)
{
	static const struct lead {
		uint8_t first, last, n, second_min, second_max;
	} leads[] = {
		{0xC2, 0xDF, 2, 0x80, 0xBF},
		{0xE0, 0xE0, 3, 0xA0, 0xBF},
		{0xE1, 0xEC, 3, 0x80, 0xBF},
		{0xED, 0xED, 3, 0x80, 0x9F},
		{0xEE, 0xEF, 3, 0x80, 0xBF},
		{0xF0, 0xF0, 4, 0x90, 0xBF},
		{0xF1, 0xF3, 4, 0x80, 0xBF},
		{0xF4, 0xF4, 4, 0x80, 0x8F},
	};
	uint8_t c = v.p[0];

	if (c < 0x80)
		return c >= 0x20 && c != 0x7F;
	for (size_t i = 0; i < ARRAY_SIZE(leads); i++) {
		const struct lead *l = &leads[i];
		if (c < l->first || c > l->last)
			continue;
		if (v.n < l->n || v.p[1] < l->second_min || v.p[1] > l->second_max)
			return 0;
		for (size_t k = 2; k < l->n; k++)
			if (v.p[k] < 0x80 || v.p[k] > 0xBF)
				return 0;
		return l->n;
	}
	return 0;
}

static void
put_clean(struct view v, struct buf *out)
{
	if (v.n > ENVELOPE_MAX)
		v.n = ENVELOPE_MAX;
	while (v.n > 0) {
		size_t n = character(v);
		if (n > 0)
			buf_put(out, v.p, n);
		else
			buf_put_u8(out, '?');
		n = n > 0 ? n : 1;
		v.p += n;
		v.n -= n;
	}
}

void
deposit_head(const struct store_deposit *d, struct buf *out)
{
	/* RFC 5321 s.4.4: at the beginning of the mail data. */
	if (d->sender.p) {
		buf_put_str(out, "Return-Path: <");
		put_clean(d->sender, out);
		buf_put_str(out, ">\n");
	}
	if (d->recipient.n > 0) {
		buf_put_str(out, "Delivered-To: ");
		put_clean(d->recipient, out);
		buf_put_str(out, "\n");
	}
}

int
deposit_reader_init(struct deposit_reader *r, uint64_t length_max)
{
	size_t block = length_max < DEPOSIT_BLOCK ? (size_t)length_max : DEPOSIT_BLOCK;
	/* line_ends_to_lf may write one octet more than it reads, and one at the end. */
	uint8_t *p = malloc(2 * block + DEPOSIT_HEAD_MAX + 2);

	if (!p)
		return -ENOMEM;
	*r = (struct deposit_reader){.block = block, .in = p, .out = p + block};
	return 0;
}

void
deposit_reader_done(struct deposit_reader *r)
{
	free(r->in);
	r->in = r->out = NULL;
}

void
deposit_reader_start(struct deposit_reader *r, const struct store_deposit *d)
{
	r->d = d;
	r->at = 0;
	r->ends = (struct line_ends){.held = false};
	r->begun = r->ended = false;
}

/* A piece of the source, or its end, behind what is in out. */
static int
read_piece(struct deposit_reader *r, struct buf *out)
{
	uint64_t left = r->d->length - r->at;
	size_t n = left < r->block ? (size_t)left : r->block;

	/* Never beyond the length: what lies behind it belongs to somebody else. */
	int e = n > 0 ? fd_pread_all(r->d->fd, r->in, n, r->at) : 0;
	if (e < 0)
		return e;
	r->at += n;
	out->n += line_ends_to_lf(&r->ends, r->in, n, out->p + out->n);
	if (r->at < r->d->length)
		return 0;
	out->n += line_ends_finish(&r->ends, out->p + out->n);
	r->ended = true;
	return 0;
}

int
deposit_reader_next(struct deposit_reader *r, struct view *ret)
{
	struct buf out = buf_over(r->out, DEPOSIT_HEAD_MAX);
	int e = 0;

	if (!r->begun)
		deposit_head(r->d, &out);
	CHECK(!out.full);
	r->begun = true;
	/* A piece that is nothing but a CR held back gives no octets, and is not the end.
	 */
	do {
		if (!r->ended)
			e = read_piece(r, &out);
	} while (e == 0 && out.n == 0 && !r->ended);
	if (e == 0)
		*ret = buf_view(&out);
	return e;
}

void
deposit_hostname(struct view name, char ret[DEPOSIT_HOST_MAX])
{
	uint8_t *out = (uint8_t *)ret;
	size_t n = 0;

	for (; n < name.n && n < DEPOSIT_HOST_MAX - 1; n++) {
		uint8_t c = name.p[n], low = ascii_lower(c);
		bool good = (low >= 'a' && low <= 'z') || ascii_is_digit(c) || c == '.' ||
			c == '-';
		out[n] = good ? c : '-';
	}
	if (n == 0) {
		n = sizeof("localhost") - 1;
		memcpy(ret, "localhost", n);
	}
	ret[n] = '\0';
}
