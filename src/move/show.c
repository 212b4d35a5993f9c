#include "move/show.h"

#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

static const char small_hex[] = "0123456789abcdef";
static const char big_hex[] = "0123456789ABCDEF";

void
show_printable(struct buf *b, struct view v, size_t max)
{
	size_t end = v.n < max ? v.n : max;

	for (size_t i = 0; i < end; i++) {
		bool plain = ascii_is_graph(v.p[i]) || v.p[i] == ' ';
		buf_put_u8(b, plain ? v.p[i] : '?');
	}
	if (end < v.n)
		buf_put_str(b, "...");
}

static bool
is_plain(struct view v, size_t i)
{
	if (v.n == 1 && v.p[0] == '-')
		return false;
	return ascii_is_graph(v.p[i]) && v.p[i] != '%';
}

void
show_word(struct buf *b, struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (is_plain(v, i)) {
			buf_put_u8(b, v.p[i]);
			continue;
		}
		buf_put_u8(b, '%');
		buf_put_u8(b, (uint8_t)big_hex[v.p[i] >> 4]);
		buf_put_u8(b, (uint8_t)big_hex[v.p[i] & 15]);
	}
}

static bool
digit_of(const char *digits, uint8_t c, uint8_t *ret)
{
	const char *at = memchr(digits, c, 16);

	if (!at)
		return false;
	*ret = (uint8_t)(at - digits);
	return true;
}

bool
show_word_read(struct view word, struct buf *ret)
{
	size_t start = ret->n;

	if (word.n == 0)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		uint8_t high, low;

		if (!ascii_is_graph(word.p[i]))
			return false;
		if (word.p[i] != '%') {
			buf_put_u8(ret, word.p[i]);
			continue;
		}
		if (word.n - i < 3 || !digit_of(big_hex, word.p[i + 1], &high) ||
			!digit_of(big_hex, word.p[i + 2], &low))
			return false;
		buf_put_u8(ret, (uint8_t)(high << 4 | low));
		i += 2;
	}
	if (ret->full)
		return false;
	/* One form only: what show_word would not write is refused. */
	struct view got = {ret->p + start, ret->n - start};
	size_t escaped = 0;
	for (size_t i = 0; i < got.n; i++)
		escaped += !is_plain(got, i);
	return got.n + 2 * escaped == word.n;
}

void
show_json(struct buf *b, struct view v)
{
	buf_put_u8(b, '"');
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];

		if (c == '"' || c == '\\') {
			buf_put_u8(b, '\\');
			buf_put_u8(b, c);
		} else if (ascii_is_graph(c) || c == ' ') {
			buf_put_u8(b, c);
		} else {
			buf_put_str(b, "\\u00");
			buf_put_u8(b, (uint8_t)small_hex[c >> 4]);
			buf_put_u8(b, (uint8_t)small_hex[c & 15]);
		}
	}
	buf_put_u8(b, '"');
}

void
show_hex(struct buf *b, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_put_u8(b, (uint8_t)small_hex[p[i] >> 4]);
		buf_put_u8(b, (uint8_t)small_hex[p[i] & 15]);
	}
}

bool
show_hex_read(struct view v, uint8_t *ret, size_t n)
{
	if (v.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t high, low;

		if (!digit_of(small_hex, v.p[2 * i], &high) ||
			!digit_of(small_hex, v.p[2 * i + 1], &low))
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

struct view
show_view(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}
