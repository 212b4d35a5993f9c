#include "base/utf8.h"

/* By the first octet: how many there are, and what the second may be. */
static const struct row {
	uint8_t first, last, second_min, second_max, n;
} rows[] = {
	{0x00, 0x7F, 0, 0, 1},
	{0xC2, 0xDF, 0x80, 0xBF, 2},
	{0xE0, 0xE0, 0xA0, 0xBF, 3},
	{0xE1, 0xEC, 0x80, 0xBF, 3},
	{0xED, 0xED, 0x80, 0x9F, 3},
	{0xEE, 0xEF, 0x80, 0xBF, 3},
	{0xF0, 0xF0, 0x90, 0xBF, 4},
	{0xF1, 0xF3, 0x80, 0xBF, 4},
	{0xF4, 0xF4, 0x80, 0x8F, 4},
};

static bool
is_of(const struct row *r, struct view v)
{
	if (r->n > v.n)
		return false;
	if (r->n > 1 && (v.p[1] < r->second_min || v.p[1] > r->second_max))
		return false;
	for (size_t i = 2; i < r->n; i++)
		if ((v.p[i] & 0xC0) != 0x80)
			return false;
	return true;
}

size_t
utf8_octets(struct view v)
{
	for (size_t i = 0; v.n > 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (v.p[0] >= rows[i].first && v.p[0] <= rows[i].last)
			return is_of(&rows[i], v) ? rows[i].n : 0;
	return 0;
}

bool
utf8_is_sound(struct view v)
{
	while (v.n > 0) {
		size_t n = utf8_octets(v);
		if (n == 0)
			return false;
		v.p += n;
		v.n -= n;
	}
	return true;
}
