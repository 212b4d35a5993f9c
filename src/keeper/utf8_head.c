#include "keeper/utf8_head.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/utf8.h"
#include "keeper/encoded_word.h"

#include <string.h>

#define INVALID "<invalid@internationalized-address.invalid>"

/* ---- lines and fields ------------------------------------------------------ */

/* Octets of the first line with its end. */
static size_t
line_octets(struct view v)
{
	const uint8_t *lf = v.n > 0 ? memchr(v.p, '\n', v.n) : NULL;

	return lf ? (size_t)(lf - v.p) + 1 : v.n;
}

static bool
line_is_blank(const uint8_t *p, size_t n)
{
	return (n == 1 && p[0] == '\n') || (n == 2 && p[0] == '\r' && p[1] == '\n');
}

size_t
utf8_head_octets(struct view message)
{
	size_t at = 0;

	while (at < message.n) {
		size_t n = line_octets((struct view){message.p + at, message.n - at});
		at += n;
		if (line_is_blank(message.p + at - n, n))
			break;
	}
	return at;
}

/* The first field with its continuation lines (RFC 5322 s.2.2.3). */
static size_t
field_octets(struct view v)
{
	size_t at = line_octets(v);

	while (at < v.n && (v.p[at] == ' ' || v.p[at] == '\t'))
		at += line_octets((struct view){v.p + at, v.n - at});
	return at;
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct field {
	struct view name, value; /* value: without the last line end */
	const char *end, *fold;	 /* as its first line ends */
	struct buf *out;
};

static bool
split_field(struct view whole, struct field *ret)
{
	const uint8_t *colon = memchr(whole.p, ':', whole.n);
	size_t first = line_octets(whole);
	bool crlf = first >= 2 && whole.p[first - 2] == '\r';

	ret->end = crlf ? "\r\n" : "\n";
	ret->fold = crlf ? "\r\n " : "\n ";
	if (!colon)
		return false;
	ret->name = (struct view){whole.p, (size_t)(colon - whole.p)};
	for (size_t i = 0; i < ret->name.n; i++)
		if (!ascii_is_graph(ret->name.p[i]))
			return false;
	ret->value = (struct view){colon + 1, whole.n - ret->name.n - 1};
	/* Lines of nothing but blanks at the end would leave the field's last line empty.
	 */
	while (ret->value.n > 0 && is_space(ret->value.p[ret->value.n - 1]))
		ret->value.n--;
	return ret->name.n > 0;
}

/* ---- kinds of fields --------------------------------------------------------- */

static void
put_text(const struct field *f, struct view text)
{
	encoded_word_put_text(text, f->fold, f->out);
}

static void
put_unstructured(const struct field *f)
{
	buf_put_view(f->out, f->name);
	buf_put_u8(f->out, ':');
	put_text(f, f->value);
	buf_put_str(f->out, f->end);
}

static void
put_downgraded(const struct field *f)
{
	buf_put_str(f->out, "Downgraded-");
	put_unstructured(f);
}

/*
 * Octets up to the separator, or to the end, past quoted strings, comments and angle
 * brackets (RFC 5322 s.3.2). Unbalanced ones reach to the end.
 */
static size_t
part_octets(struct view v, uint8_t separator)
{
	int comments = 0;
	bool quoted = false;
	bool angle = false;
	size_t i;

	for (i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];
		if (c == '\\' && (quoted || comments > 0) && i + 1 < v.n)
			i++;
		else if (quoted)
			quoted = c != '"';
		else if (c == '(')
			comments++;
		else if (c == ')' && comments > 0)
			comments--;
		else if (comments > 0)
			continue;
		else if (c == '"')
			quoted = true;
		else if (c == '<' || c == '>')
			angle = c == '<';
		else if (c == separator && !angle)
			break;
	}
	return i;
}

static struct view
trim(struct view v)
{
	while (v.n > 0 && is_space(v.p[0])) {
		v.p++;
		v.n--;
	}
	while (v.n > 0 && is_space(v.p[v.n - 1]))
		v.n--;
	return v;
}

/* A phrase or a whole mailbox as encoded words: quotes and folds are no part of it. */
static void
put_phrase(const struct field *f, struct view phrase)
{
	uint8_t flat[512];
	size_t n = 0;

	for (size_t i = 0; i < phrase.n; i++) {
		uint8_t c = phrase.p[i];
		/* In pieces, cut before a character. */
		if (n > sizeof(flat) - 4 && (c & 0xC0) != 0x80) {
			encoded_word_put((struct view){flat, n}, f->fold, f->out);
			buf_put_str(f->out, f->fold);
			n = 0;
		}
		if (c == '\r' || c == '\n' || c == '"')
			continue;
		if (c == '\\' && i + 1 < phrase.n)
			c = phrase.p[++i];
		if (n < sizeof(flat))
			flat[n++] = c;
	}
	encoded_word_put((struct view){flat, n}, f->fold, f->out);
}

static void
put_mailbox(const struct field *f, struct view whole)
{
	struct view mailbox = trim(whole);
	const uint8_t *angle = mailbox.n > 0 ? memrchr(mailbox.p, '<', mailbox.n) : NULL;

	if (!encoded_word_is_raw(mailbox)) {
		buf_put_view(f->out, mailbox);
		return;
	}
	if (!angle) {
		put_phrase(f, mailbox);
		buf_put_str(f->out, " " INVALID);
		return;
	}
	struct view phrase = trim((struct view){mailbox.p, (size_t)(angle - mailbox.p)});
	struct view address = {angle, mailbox.n - (size_t)(angle - mailbox.p)};
	if (encoded_word_is_raw(address)) {
		put_phrase(f, mailbox);
		buf_put_str(f->out, " " INVALID);
		return;
	}
	put_phrase(f, phrase);
	buf_put_u8(f->out, ' ');
	buf_put_view(f->out, address);
}

static void
put_addresses(const struct field *f)
{
	struct view rest = f->value;
	bool first = true;

	/* A group: its members cannot be told from its name by commas. */
	if (part_octets(rest, ':') < rest.n) {
		put_downgraded(f);
		return;
	}
	buf_put_view(f->out, f->name);
	buf_put_str(f->out, ": ");
	for (;;) {
		size_t n = part_octets(rest, ',');
		if (!first) {
			buf_put_u8(f->out, ',');
			buf_put_str(f->out, f->fold);
		}
		first = false;
		put_mailbox(f, (struct view){rest.p, n});
		if (n == rest.n)
			break;
		rest.p += n + 1;
		rest.n -= n + 1;
	}
	buf_put_str(f->out, f->end);
}

static void
put_asked(const struct field *f, struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		buf_put_u8(f->out, v.p[i] < 0x80 ? v.p[i] : '?');
}

/* name="value" as name*=utf-8''%..., RFC 2231 s.4. */
static void
put_parameter(const struct field *f, struct view part)
{
	static const char hex[] = "0123456789ABCDEF";
	struct view p = trim(part);
	const uint8_t *equal = p.n > 0 ? memchr(p.p, '=', p.n) : NULL;

	if (!equal || encoded_word_is_raw((struct view){p.p, (size_t)(equal - p.p)})) {
		put_asked(f, p);
		return;
	}
	struct view value = {equal + 1, p.n - (size_t)(equal - p.p) - 1};
	buf_put_view(f->out, ascii_trim_end((struct view){p.p, (size_t)(equal - p.p)}));
	buf_put_str(f->out, utf8_is_sound(value) ? "*=utf-8''" : "*=unknown-8bit''");
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i];
		uint8_t low = ascii_lower(c);
		if (c == '"' || c == '\r' || c == '\n')
			continue;
		if (c == '\\' && i + 1 < value.n)
			c = value.p[++i];
		if ((low >= 'a' && low <= 'z') || ascii_is_digit(c) || c == '.' ||
			c == '-' || c == '_') {
			buf_put_u8(f->out, c);
			continue;
		}
		buf_put_u8(f->out, '%');
		buf_put_u8(f->out, (uint8_t)hex[c >> 4]);
		buf_put_u8(f->out, (uint8_t)hex[c & 15]);
	}
}

static void
put_parameters(const struct field *f)
{
	struct view rest = f->value;

	buf_put_view(f->out, f->name);
	buf_put_str(f->out, ": ");
	for (bool first = true;; first = false) {
		size_t n = part_octets(rest, ';');
		struct view part = {rest.p, n};
		if (!first) {
			buf_put_u8(f->out, ';');
			buf_put_str(f->out, f->fold);
		}
		if (first)
			put_asked(f, trim(part));
		else if (encoded_word_is_raw(part))
			put_parameter(f, part);
		else
			buf_put_view(f->out, trim(part));
		if (n == rest.n)
			break;
		rest.p += n + 1;
		rest.n -= n + 1;
	}
	buf_put_str(f->out, f->end);
}

/* Fields that are no unstructured text, and how each is written; all others are. */
static const struct kind {
	const char *name;
	void (*put)(const struct field *f);
} kinds[] = {
	{"from", put_addresses},
	{"sender", put_addresses},
	{"reply-to", put_addresses},
	{"to", put_addresses},
	{"cc", put_addresses},
	{"bcc", put_addresses},
	{"resent-from", put_addresses},
	{"resent-sender", put_addresses},
	{"resent-reply-to", put_addresses},
	{"resent-to", put_addresses},
	{"resent-cc", put_addresses},
	{"resent-bcc", put_addresses},
	{"disposition-notification-to", put_addresses},
	{"content-type", put_parameters},
	{"content-disposition", put_parameters},
	{"return-path", put_downgraded},
	{"delivered-to", put_downgraded},
	{"received", put_downgraded},
	{"date", put_downgraded},
	{"resent-date", put_downgraded},
	{"message-id", put_downgraded},
	{"resent-message-id", put_downgraded},
	{"in-reply-to", put_downgraded},
	{"references", put_downgraded},
	{"mime-version", put_downgraded},
	{"content-transfer-encoding", put_downgraded},
	{"content-id", put_downgraded},
	{"dkim-signature", put_downgraded},
	{"authentication-results", put_downgraded},
};

static void
put_field(const struct field *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct view name = {
			(const uint8_t *)kinds[i].name, strlen(kinds[i].name)};
		if (ascii_equal_nocase(name, f->name)) {
			kinds[i].put(f);
			return;
		}
	}
	put_unstructured(f);
}

void
utf8_head_put(struct view head, struct buf *out)
{
	while (head.n > 0 && !out->full) {
		size_t n = field_octets(head);
		struct view whole = {head.p, n};
		struct field f = {.out = out};
		if (!encoded_word_is_raw(whole))
			buf_put_view(out, whole);
		else if (split_field(whole, &f))
			put_field(&f);
		else
			put_asked(&f, whole);
		head.p += n;
		head.n -= n;
	}
}
