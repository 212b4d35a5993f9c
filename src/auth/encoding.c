#include "auth/encoding.h"

#define NO_DIGIT 0xFFU

static uint32_t
base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint32_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0' + 52);
	if (c == '+')
		return 62;
	return c == '/' ? 63 : NO_DIGIT;
}

static uint32_t
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (uint32_t)(c - 'a' + 10);
	return c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10) : NO_DIGIT;
}

static size_t
padding(struct view text)
{
	size_t n = 0;

	while (n < 2 && n < text.n && text.p[text.n - 1 - n] == '=')
		n++;
	return n;
}

bool
base64_decode(struct view text, struct buf *out)
{
	size_t pad = padding(text);
	uint32_t bits = 0;
	unsigned have = 0;

	if (pad > 0 && text.n % 4 != 0)
		return false;
	text.n -= pad;
	/* One digit alone is six bits: no octet. */
	if (text.n % 4 == 1 || (pad > 0 && text.n % 4 + pad != 4))
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint32_t digit = base64_digit(text.p[i]);
		if (digit == NO_DIGIT)
			return false;
		bits = bits << 6 | digit;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		buf_put_u8(out, (uint8_t)(bits >> have));
		bits &= (1U << have) - 1;
	}
	return bits == 0 && !out->full;
}

bool
hex_decode(struct view text, struct buf *out)
{
	if (text.n % 2 != 0)
		return false;
	for (size_t i = 0; i < text.n; i += 2) {
		uint32_t high = hex_digit(text.p[i]);
		uint32_t low = hex_digit(text.p[i + 1]);
		if (high == NO_DIGIT || low == NO_DIGIT)
			return false;
		buf_put_u8(out, (uint8_t)(high << 4 | low));
	}
	return !out->full;
}
