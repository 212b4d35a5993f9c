#include "base/ticket.h"

#include "base/ascii.h"

#define DIGITS	7
#define DASH_AT 4

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void
ticket_put(uint32_t id, uint8_t ret[static TICKET_OCTETS])
{
	for (int i = TICKET_OCTETS - 1; i >= 0; i--) {
		if (i == DASH_AT) {
			ret[i] = '-';
			continue;
		}
		ret[i] = (uint8_t)alphabet[id & 31];
		id >>= 5;
	}
}

/* 0 to 31, or -1. */
static int
digit_of(uint8_t c)
{
	c = ascii_lower(c);
	if (c == 'o')
		return 0;
	if (c == 'i' || c == 'l')
		return 1;
	for (int i = 0; i < 32; i++)
		if (ascii_lower((uint8_t)alphabet[i]) == c)
			return i;
	return -1;
}

bool
ticket_read(struct view text, uint32_t *ret)
{
	bool has_dash = text.n > DASH_AT && text.p[DASH_AT] == '-';
	uint64_t id = 0;

	if (text.n != DIGITS + (size_t)has_dash)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (has_dash && i == DASH_AT)
			continue;
		int digit = digit_of(text.p[i]);
		if (digit < 0)
			return false;
		id = id << 5 | (unsigned)digit;
	}
	if (id > UINT32_MAX)
		return false;
	*ret = (uint32_t)id;
	return true;
}
