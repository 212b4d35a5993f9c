#include "wire/address_text.h"

#include "base/ascii.h"
#include "base/num.h"

#include <string.h>

#define GROUPS 8

static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

/* What stands before `sep`, or all; *text goes on behind it. *ret_more: there was one. */
static struct view
cut_at(struct view *text, char sep, bool *ret_more)
{
	const uint8_t *at = text->n > 0 ? memchr(text->p, sep, text->n) : NULL;
	struct view part = {text->p, at ? (size_t)(at - text->p) : text->n};
	size_t gone = part.n + (at ? 1 : 0);

	text->p += gone;
	text->n -= gone;
	*ret_more = at;
	return part;
}

static bool
four_numbers(struct view text, uint8_t ret[4])
{
	bool more = true;

	for (int i = 0; i < 4; i++) {
		uint64_t n;
		if (!more)
			return false;
		struct view part = cut_at(&text, '.', &more);
		if (part.n > 3 || (part.n > 1 && part.p[0] == '0'))
			return false;
		if (!num_decimal(part, 255, &n))
			return false;
		ret[i] = (uint8_t)n;
	}
	return !more;
}

bool
address_text_v4(struct view text, uint8_t ret[ADDRESS_TEXT_OCTETS])
{
	uint8_t got[4];

	if (!four_numbers(text, got))
		return false;
	memcpy(ret, mapped, sizeof(mapped));
	memcpy(ret + sizeof(mapped), got, sizeof(got));
	return true;
}

static bool
hex_group(struct view part, uint8_t ret[2])
{
	unsigned v = 0;

	if (part.n < 1 || part.n > 4)
		return false;
	for (size_t i = 0; i < part.n; i++) {
		uint8_t c = ascii_lower(part.p[i]);
		if (ascii_is_digit(c))
			v = v << 4 | (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (unsigned)(c - 'a' + 10);
		else
			return false;
	}
	ret[0] = (uint8_t)(v >> 8);
	ret[1] = (uint8_t)v;
	return true;
}

/*
 * Groups between colons, up to `max`: how many, or -1. may_v4: the last may be an IPv4
 * address, which counts for two (RFC 4291 s.2.2, form 3).
 */
static int
groups_of(struct view text, int max, bool may_v4, uint8_t *to)
{
	bool more = true;
	int n = 0;

	if (text.n == 0)
		return 0;
	while (more) {
		struct view part = cut_at(&text, ':', &more);
		bool dotted = part.n > 0 && memchr(part.p, '.', part.n);
		if (n + (dotted ? 2 : 1) > max)
			return -1;
		if (dotted && (!may_v4 || more || !four_numbers(part, to + 2 * n)))
			return -1;
		if (!dotted && !hex_group(part, to + 2 * n))
			return -1;
		n += dotted ? 2 : 1;
	}
	return n;
}

bool
address_text_v6(struct view text, uint8_t ret[ADDRESS_TEXT_OCTETS])
{
	uint8_t front[2 * GROUPS] = {0}, back[2 * GROUPS] = {0};
	const uint8_t *gap = text.n > 0 ? memmem(text.p, text.n, "::", 2) : NULL;

	if (!gap) {
		if (groups_of(text, GROUPS, true, front) != GROUPS)
			return false;
		memcpy(ret, front, sizeof(front));
		return true;
	}
	struct view before = {text.p, (size_t)(gap - text.p)};
	struct view behind = {gap + 2, text.n - before.n - 2};
	int f = groups_of(before, GROUPS - 1, false, front);
	int b = f < 0 ? -1 : groups_of(behind, GROUPS - 1 - f, true, back);
	if (b < 0)
		return false;
	memcpy(front + 2 * (GROUPS - b), back, 2 * (size_t)b);
	memcpy(ret, front, sizeof(front));
	return true;
}

bool
address_text(struct view text, uint8_t ret[ADDRESS_TEXT_OCTETS])
{
	return address_text_v4(text, ret) || address_text_v6(text, ret);
}
