#include "store/mbox_from.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define FROM VIEW("From ")

static bool
begins(struct view v, struct view with)
{
	return v.n >= with.n && memcmp(v.p, with.p, with.n) == 0;
}

static struct view
skip(struct view v, size_t n)
{
	return (struct view){v.p + n, v.n - n};
}

static struct view
without_line_end(struct view v)
{
	if (v.n > 0 && v.p[v.n - 1] == '\n')
		v.n--;
	if (v.n > 0 && v.p[v.n - 1] == '\r')
		v.n--;
	return v;
}

/* ---- From_ lines -------------------------------------------------------------- */

/* A word that begins with h:mm or hh:mm. */
static bool
is_time(struct view v)
{
	size_t h = 0;

	while (h < v.n && h < 3 && ascii_is_digit(v.p[h]))
		h++;
	if (h < 1 || h > 2 || v.n < h + 3 || v.p[h] != ':')
		return false;
	if (!ascii_is_digit(v.p[h + 1]) || !ascii_is_digit(v.p[h + 2]))
		return false;
	if (v.n > h + 3 && ascii_is_digit(v.p[h + 3]))
		return false;
	int hour = h == 2 ? (v.p[0] - '0') * 10 + v.p[1] - '0' : v.p[0] - '0';
	return hour < 24 && v.p[h + 1] < '6';
}

bool
mbox_from_line_is(struct view line)
{
	bool in_word = false;
	size_t words = 0;

	line = without_line_end(line);
	if (line.n > MBOX_FROM_MAX || !begins(line, FROM))
		return false;
	for (size_t i = FROM.n; i < line.n; i++) {
		bool blank = line.p[i] == ' ' || line.p[i] == '\t';
		/* An empty sender leaves two blanks: the date's own words come first. */
		if (!blank && !in_word && words > 0 && is_time(skip(line, i)))
			return true;
		words += !blank && !in_word;
		in_word = !blank;
	}
	return false;
}

enum mbox_boundary
mbox_first_at(struct view v, bool at_end, size_t *ret_n)
{
	size_t look = v.n < FROM.n ? v.n : FROM.n;

	if (look > 0 && memcmp(v.p, FROM.p, look) != 0)
		return BOUNDARY_NO;
	if (look < FROM.n)
		return at_end ? BOUNDARY_NO : BOUNDARY_MORE;
	look = v.n < MBOX_FROM_MAX ? v.n : MBOX_FROM_MAX;
	const uint8_t *lf = memchr(v.p, '\n', look);
	if (!lf && look == MBOX_FROM_MAX)
		return BOUNDARY_NO;
	if (!lf && !at_end)
		return BOUNDARY_MORE;
	*ret_n = lf ? (size_t)(lf - v.p) + 1 : v.n;
	return BOUNDARY_YES;
}

enum mbox_boundary
mbox_from_at(struct view v, bool at_end, size_t *ret_n)
{
	size_t n;
	enum mbox_boundary b = mbox_first_at(v, at_end, &n);

	if (b != BOUNDARY_YES)
		return b;
	if (!mbox_from_line_is((struct view){v.p, n}))
		return BOUNDARY_NO;
	*ret_n = n;
	return BOUNDARY_YES;
}

bool
mbox_end_at(struct view v)
{
	size_t n;

	if (begins(v, VIEW("\r\n")))
		v = skip(v, 2);
	else if (begins(v, VIEW("\n")))
		v = skip(v, 1);
	return v.n == 0 || mbox_from_at(v, true, &n) == BOUNDARY_YES;
}

/* English names whatever the locale; asctime(3) without its line end. */
static size_t
date_text(uint64_t now_s, char *to, size_t cap)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t at = (time_t)now_s;
	struct tm tm;

	if (now_s > INT64_C(253402300799) || !gmtime_r(&at, &tm))
		memset(&tm, 0, sizeof(tm));
	int n = snprintf(to, cap, "%.3s %.3s %2d %02d:%02d:%02d %04d",
		days + (ptrdiff_t)3 * tm.tm_wday, months + (ptrdiff_t)3 * tm.tm_mon,
		tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_year + 1900);
	CHECK(n > 0);
	CHECK((size_t)n < cap);
	return (size_t)n;
}

void
mbox_from_line_put(struct view sender, uint64_t now_s, struct buf *out)
{
	char date[64];
	size_t n = date_text(now_s, date, sizeof(date)), put = 0;

	buf_put_view(out, FROM);
	for (size_t i = 0; i < sender.n && put < 320; i++) {
		uint8_t c = sender.p[i];
		/* A blank in a quoted local part would end the word. */
		buf_put_u8(out, c > 0x20 && c != 0x7F ? c : '_');
		put++;
	}
	if (put == 0)
		buf_put_str(out, "MAILER-DAEMON");
	buf_put_u8(out, ' ');
	buf_put(out, date, n);
	buf_put_u8(out, '\n');
}

/* ---- fields ------------------------------------------------------------------- */

static const struct field_name {
	struct view name;
	enum mbox_field field;
} names[] = {
	{VIEW("subject"), FIELD_SUBJECT},
	{VIEW("status"), FIELD_STATUS},
	{VIEW("x-status"), FIELD_X_STATUS},
	{VIEW("x-uid"), FIELD_X_UID},
	{VIEW("x-uidl"), FIELD_X_UIDL},
	{VIEW("x-keywords"), FIELD_X_KEYWORDS},
	{VIEW("x-imap"), FIELD_X_IMAP},
	{VIEW("x-imapbase"), FIELD_X_IMAP},
	{VIEW("content-length"), FIELD_CONTENT_LENGTH},
	{VIEW("lines"), FIELD_LINES},
};

enum mbox_field
mbox_field_of(struct view line, struct view *ret_value)
{
	/* None of the names is longer; most lines are settled by their first letter. */
	const uint8_t *colon = memchr(line.p, ':', line.n < 24 ? line.n : 24);

	*ret_value = (struct view){line.p, 0};
	if (!colon)
		return FIELD_MESSAGE;
	size_t at = (size_t)(colon - line.p);
	struct view name = ascii_trim_end((struct view){line.p, at});
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!ascii_equal_nocase(name, names[i].name))
			continue;
		struct view v = skip(without_line_end(line), at + 1);
		while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t'))
			v = skip(v, 1);
		*ret_value = ascii_trim_end(v);
		return names[i].field;
	}
	return FIELD_MESSAGE;
}

bool
mbox_subject_is_internal(struct view value)
{
	return begins(value, VIEW("DON'T DELETE THIS MESSAGE"));
}

bool
mbox_uidl_is_legal(struct view value)
{
	for (size_t i = 0; i < value.n; i++)
		if (!ascii_is_graph(value.p[i]))
			return false;
	return value.n >= 1 && value.n <= MBOX_UIDL_MAX;
}

/* ---- quoting ------------------------------------------------------------------ */

/* Where the body's first line begins; n: there is none. */
static size_t
body_at(struct view m)
{
	for (size_t at = 0; at < m.n;) {
		const uint8_t *lf = memchr(m.p + at, '\n', m.n - at);
		if (!lf)
			return m.n;
		size_t n = (size_t)(lf - m.p) + 1 - at;
		if (n == 1 || (n == 2 && m.p[at] == '\r'))
			return at + n;
		at += n;
	}
	return m.n;
}

/* The first > of the next quoted line at or behind `at`; n: there is none. */
static size_t
quote_next(struct view m, size_t body, size_t at)
{
	while (at < m.n) {
		const uint8_t *hit = memmem(m.p + at, m.n - at, ">From ", 6);
		if (!hit)
			break;
		size_t i = (size_t)(hit - m.p);
		at = i + 6;
		while (i > body && m.p[i - 1] == '>')
			i--;
		if (i == body || m.p[i - 1] == '\n')
			return i;
	}
	return m.n;
}

/* From a first > to behind the From of its line. */
static size_t
quote_end(struct view m, size_t at)
{
	while (m.p[at] == '>')
		at++;
	return at;
}

uint64_t
mbox_count_quoted(struct view m)
{
	size_t body = body_at(m);
	uint64_t count = 0;

	for (size_t at = quote_next(m, body, body); at < m.n; count++)
		at = quote_next(m, body, quote_end(m, at));
	return count;
}

size_t
mbox_unquote(struct view m, uint8_t *out)
{
	size_t body = body_at(m), done = 0, n = 0;

	for (size_t at = quote_next(m, body, body); at < m.n;
		at = quote_next(m, body, quote_end(m, at))) {
		memcpy(out + n, m.p + done, at - done);
		n += at - done;
		done = at + 1;
	}
	memcpy(out + n, m.p + done, m.n - done);
	return n + m.n - done;
}
