#include "fetch/fetch_json.h"

#include <string.h>

/* Octets of the character at the front, and its number; 0: it is no UTF-8 (RFC 3629). */
static size_t
decode(struct view v, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t c = v.p[0];
	size_t n = c < 0x80		? 1
		: c >= 0xC2 && c < 0xE0 ? 2
		: (c & 0xF0) == 0xE0	? 3
		: c >= 0xF0 && c < 0xF5 ? 4
					: 0;
	uint32_t code;

	if (n == 0 || n > v.n)
		return 0;
	code = n == 1 ? c : c & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((v.p[i] & 0xC0) != 0x80)
			return 0;
		code = code << 6 | (v.p[i] & 0x3Fu);
	}
	if (code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
		return 0;
	*ret = code;
	return n;
}

/* What moves, hides or commands instead of being seen. */
static bool
is_hidden(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x00, 0x1F},	     /* C0 */
		{0x7F, 0x9F},	     /* DEL, C1 */
		{0xAD, 0xAD},	     /* soft hyphen */
		{0x61C, 0x61C},	     /* Arabic letter mark */
		{0x180E, 0x180E},    /* Mongolian vowel separator */
		{0x200B, 0x200F},    /* zero width, directions */
		{0x2028, 0x202E},    /* line ends, directions */
		{0x2060, 0x206F},    /* invisible operators, directions */
		{0xFEFF, 0xFEFF},    /* byte order mark */
		{0xFFF0, 0xFFFB},    /* annotations */
		{0xFFFE, 0xFFFF},    /* no characters */
		{0xE0000, 0xE0FFF},  /* tags, selectors */
		{0xF0000, 0x10FFFF}, /* private planes */
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

static void
put_escape(struct buf *b, uint32_t unit)
{
	static const char digits[] = "0123456789abcdef";

	buf_put_str(b, "\\u");
	for (int shift = 12; shift >= 0; shift -= 4)
		buf_put_u8(b, (uint8_t)digits[(unit >> shift) & 15]);
}

static void
put_json_character(struct buf *b, struct view c, uint32_t code)
{
	if (code == '"' || code == '\\') {
		buf_put_u8(b, '\\');
		buf_put_u8(b, (uint8_t)code);
	} else if (!is_hidden(code)) {
		buf_put_view(b, c);
	} else if (code < 0x10000) {
		put_escape(b, code);
	} else {
		/* RFC 8259 s.7: as a surrogate pair. */
		put_escape(b, 0xD800 + ((code - 0x10000) >> 10));
		put_escape(b, 0xDC00 + ((code - 0x10000) & 0x3FF));
	}
}

void
json_text(struct buf *b, struct view v, size_t max)
{
	size_t end = v.n < max ? v.n : max;
	uint32_t code;

	buf_put_u8(b, '"');
	for (size_t at = 0; at < end;) {
		struct view rest = {v.p + at, v.n - at};
		size_t n = decode(rest, &code);
		if (n == 0)
			buf_put_str(b, "\xef\xbf\xbd");
		else
			put_json_character(b, (struct view){rest.p, n}, code);
		at += n > 0 ? n : 1;
	}
	buf_put_str(b, end < v.n ? "...\"" : "\"");
}

static void
put_name(struct buf *b, const char *name)
{
	if (b->n > 0 && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[')
		buf_put_u8(b, ',');
	json_text(b, text_view(name), SIZE_MAX);
	buf_put_u8(b, ':');
}

void
json_field_text(struct buf *b, const char *name, struct view v, size_t max)
{
	put_name(b, name);
	json_text(b, v, max);
}

void
json_field_number(struct buf *b, const char *name, uint64_t n)
{
	put_name(b, name);
	buf_put_dec(b, n);
}

void
json_field_bool(struct buf *b, const char *name, bool is)
{
	put_name(b, name);
	buf_put_str(b, is ? "true" : "false");
}

void
json_field_time(struct buf *b, const char *name, uint64_t unix_s)
{
	put_name(b, name);
	buf_put_u8(b, '"');
	text_time(b, unix_s);
	buf_put_u8(b, '"');
}

void
text_printable(struct buf *b, struct view v, size_t max, bool utf8)
{
	size_t end = v.n < max ? v.n : max;
	uint32_t code;

	for (size_t at = 0; at < end;) {
		struct view rest = {v.p + at, v.n - at};
		size_t n = decode(rest, &code);
		if (n == 0 || is_hidden(code) || (n > 1 && !utf8))
			buf_put_u8(b, '?');
		else
			buf_put_view(b, (struct view){rest.p, n});
		at += n > 0 ? n : 1;
	}
	if (end < v.n)
		buf_put_str(b, "...");
}

void
text_size(struct buf *b, uint64_t octets)
{
	static const char *const units[] = {" B", " kB", " MB", " GB", " TB"};
	uint64_t unit = 1;
	size_t i = 0;

	while (i < 4 && octets / unit >= 1000) {
		unit *= 1000;
		i++;
	}
	buf_put_dec(b, octets / unit);
	if (i > 0) {
		buf_put_u8(b, '.');
		buf_put_dec(b, octets % unit / (unit / 10));
	}
	buf_put_str(b, units[i]);
}

static void
put_padded(struct buf *b, int n, char behind)
{
	buf_put_u8(b, (uint8_t)('0' + n / 10));
	buf_put_u8(b, (uint8_t)('0' + n % 10));
	buf_put_u8(b, (uint8_t)behind);
}

void
text_time(struct buf *b, uint64_t unix_s)
{
	/* Beyond the year 9999 RFC 3339 has no form. */
	time_t t = (time_t)(unix_s < UINT64_C(253402300799) ? unix_s
							    : UINT64_C(253402300799));
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return;
	int year = tm.tm_year + 1900;
	buf_put_u8(b, (uint8_t)('0' + year / 1000 % 10));
	buf_put_u8(b, (uint8_t)('0' + year / 100 % 10));
	put_padded(b, year % 100, '-');
	put_padded(b, tm.tm_mon + 1, '-');
	put_padded(b, tm.tm_mday, 'T');
	put_padded(b, tm.tm_hour, ':');
	put_padded(b, tm.tm_min, ':');
	put_padded(b, tm.tm_sec % 60, 'Z');
}
