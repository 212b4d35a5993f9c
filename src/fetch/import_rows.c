#include "fetch/import_rows.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/num.h"

#include <string.h>

#define LETTER_UID_OCTETS 1024 /* LETTER_UID_MAX: what a session keeps of a UIDL */

struct reading {
	struct import_sink *sink;
	uint32_t line;
	/* The list that is being read: mpop, popstate. */
	bool in_list;
	uint64_t left; /* mpop: UIDLs to come */
	struct view host, user;
};

static struct view
without_first(struct view v, size_t n)
{
	return (struct view){v.p + n, v.n - n};
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct view
trim(struct view v)
{
	while (v.n > 0 && is_blank(v.p[0]))
		v = without_first(v, 1);
	return ascii_trim_end(v);
}

/* Up to the first blank; *rest is what follows the blanks. */
static struct view
take_word(struct view v, struct view *rest)
{
	size_t n = 0;

	while (n < v.n && !is_blank(v.p[n]))
		n++;
	struct view word = {v.p, n};
	while (n < v.n && is_blank(v.p[n]))
		n++;
	*rest = without_first(v, n);
	return word;
}

static void
unreadable(const struct reading *r, const char *why)
{
	r->sink->unreadable(r->sink, r->line, why);
}

/* RFC 1939 s.7 wants 1 to 70 printable octets; servers are less strict, blanks and
 * control characters are none all the same. */
static bool
is_uid(const struct reading *r, struct view uid)
{
	if (uid.n == 0) {
		unreadable(r, "there is no UIDL");
		return false;
	}
	if (uid.n > LETTER_UID_OCTETS) {
		unreadable(r, "its UIDL is longer than 1024 octets");
		return false;
	}
	for (size_t i = 0; i < uid.n; i++) {
		if (uid.p[i] <= ' ' || uid.p[i] == 0x7F) {
			unreadable(r, "its UIDL holds a blank or a control character");
			return false;
		}
	}
	return true;
}

static void
give(const struct reading *r, struct view host, struct view user, struct view uid)
{
	struct import_row row = {r->line, host, user, uid};

	if (is_uid(r, uid))
		r->sink->row(r->sink, &row);
}

/* ---- fetchmail ---- */

static void
read_fetchids(struct reading *r, struct view line)
{
	line = trim(line);
	if (line.n == 0)
		return;
	const uint8_t *sign = memchr(line.p, '@', line.n);
	if (!sign) {
		unreadable(r, "it is not USER@HOST UIDL: there is no @");
		return;
	}
	size_t end = (size_t)(sign - line.p);
	while (end < line.n && !is_blank(line.p[end]))
		end++;
	/* A user's name may hold an @ itself: the last one is the separator. */
	size_t at = end;
	while (line.p[at - 1] != '@')
		at--;
	struct view host = {line.p + at, end - at}, user = {line.p, at - 1}, rest;
	if (host.n == 0 || user.n == 0) {
		unreadable(r, "it is not USER@HOST UIDL: user or host are missing");
		return;
	}
	struct view uid = take_word(trim(without_first(line, end)), &rest);
	give(r, host, user, uid);
}

/* ---- mpop ---- */

static void
read_mpop_list(struct reading *r, struct view line)
{
	struct view count = take_word(without_first(line, 1), &line);

	r->host = take_word(line, &line);
	r->user = ascii_trim_end(line);
	r->in_list = num_decimal(count, UINT32_MAX, &r->left) && r->host.n > 0 &&
		r->user.n > 0;
	if (!r->in_list)
		unreadable(r, "a list begins with \" COUNT HOST USER\"");
}

static void
read_mpop(struct reading *r, struct view line)
{
	bool listing = r->in_list && r->left > 0;

	if (line.n == 0)
		return;
	/* No UIDL begins with a blank, but one may begin with `#`. */
	if (line.p[0] == ' ') {
		if (listing)
			unreadable(r, "the list before it ends too early");
		read_mpop_list(r, line);
	} else if (listing) {
		r->left--;
		give(r, r->host, r->user, line);
	} else if (line.p[0] != '#') {
		unreadable(r,
			r->in_list ? "it is one more than the list's count"
				   : "a UIDL before the first list");
	}
}

/* ---- getmail ---- */

static void
read_getmail(struct reading *r, struct view line)
{
	struct view none = {NULL, 0}, uid = line = trim(line);
	uint64_t time;

	if (line.n == 0)
		return;
	const uint8_t *nul = memchr(line.p, '\0', line.n);
	if (nul) {
		uid.n = (size_t)(nul - line.p);
		if (!num_decimal(
			    trim(without_first(line, uid.n + 1)), UINT64_MAX, &time)) {
			unreadable(r, "behind its NUL there is no time");
			return;
		}
	}
	give(r, none, none, uid);
}

static bool
is_stripped(uint8_t c)
{
	return c == '/' || c == '\\' || c == ':' || c == ';' || c == '<' || c == '>' ||
		c == '|';
}

static void
put_stripped(struct buf *b, struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (!is_stripped(v.p[i]))
			buf_put_u8(b, v.p[i]);
		else if (i == 0 || !is_stripped(v.p[i - 1]))
			buf_put_u8(b, '-');
	}
}

bool
import_getmail_is(struct view name, struct view host, uint16_t port, struct view user)
{
	uint8_t storage[1024];
	struct buf b = buf_over(storage, sizeof(storage));

	buf_put_str(&b, "oldmail-");
	put_stripped(&b, host);
	buf_put_u8(&b, '-');
	buf_put_dec(&b, port);
	buf_put_u8(&b, '-');
	put_stripped(&b, user);
	if (b.full || name.n < b.n)
		return false;
	/* Behind the name a mailbox may follow, which POP3 has not. */
	return ascii_equal_nocase((struct view){name.p, b.n}, buf_view(&b)) &&
		(name.n == b.n || name.p[b.n] == '-');
}

/* ---- Thunderbird ---- */

static void
read_popstate_row(struct reading *r, struct view line)
{
	struct view rest, state = take_word(line, &rest), uid = take_word(rest, &rest);
	uint64_t time;

	if (!r->in_list) {
		unreadable(r, "a message before the first *HOST USER");
		return;
	}
	rest = trim(rest);
	if (state.n != 1 || (rest.n > 0 && !num_decimal(rest, UINT64_MAX, &time))) {
		unreadable(r, "it is not STATE UIDL TIME");
		return;
	}
	struct import_row row = {r->line, r->host, r->user, uid};
	switch (state.p[0]) {
	case 'k':
	case 'd': give(r, r->host, r->user, uid); return;
	case 'b':
	case 'f':
		if (is_uid(r, uid))
			r->sink->later(r->sink, &row);
		return;
	default: break;
	}
	unreadable(r, "its state is none of k, d, b, f");
}

static void
read_popstate(struct reading *r, struct view line)
{
	line = trim(line);
	if (line.n == 0 || line.p[0] == '#')
		return;
	if (line.p[0] != '*') {
		read_popstate_row(r, line);
		return;
	}
	r->host = take_word(without_first(line, 1), &r->user);
	r->in_list = r->host.n > 0 && r->user.n > 0;
	if (!r->in_list)
		unreadable(r, "it is not *HOST USER");
}

/* ---- all ---- */

static const struct {
	struct view word;
	void (*read)(struct reading *r, struct view line);
} kinds[IMPORT_KINDS] = {
	[IMPORT_FETCHIDS] = {{(const uint8_t *)"fetchids", 8}, read_fetchids},
	[IMPORT_MPOP] = {{(const uint8_t *)"mpop", 4}, read_mpop},
	[IMPORT_GETMAIL] = {{(const uint8_t *)"getmail", 7}, read_getmail},
	[IMPORT_POPSTATE] = {{(const uint8_t *)"popstate", 8}, read_popstate},
};

enum import_kind
import_kind_of(struct view word)
{
	enum import_kind k = IMPORT_FETCHIDS;

	while (k < IMPORT_KINDS && !view_equal(kinds[k].word, word))
		k++;
	return k;
}

void
import_read(enum import_kind kind, struct view text, struct import_sink *s)
{
	struct reading r = {.sink = s};

	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		struct view line = {text.p, n};

		r.line++;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > IMPORT_LINE_MAX)
			unreadable(&r, "it is longer than 4096 octets");
		else
			kinds[kind].read(&r, line);
		text = without_first(text, n + (end != NULL));
	}
	if (kind == IMPORT_MPOP && r.in_list && r.left > 0)
		unreadable(&r, "the last list ends too early");
}
