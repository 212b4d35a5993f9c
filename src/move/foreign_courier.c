/*
 * courierpop3dsizelist:
 *
 *     /VERSION NEXTUID [UIDVALIDITY]      (no such line: version 0)
 *     FILENAME SIZE                       version 0: the UIDL is the file's name
 *     FILENAME SIZE UID                   version 1: UID<uid>
 *     FILENAME SIZE UID:UIDVALIDITY       version 2: UID<uid>-<uidvalidity>
 *     FILENAME SIZE UID:UIDVALIDITY:UTF8  version 3
 *
 * In every version, UID 0 stands for the file's name and UIDVALIDITY 0 for UID<uid>: that
 * is how messages of older versions were carried on. Lines are in order of the listing.
 */
#include "base/ascii.h"
#include "base/num.h"
#include "move/foreign.h"

#include <string.h>

#define VERSION_MAX 3

struct list {
	struct foreign_sink *sink;
	uint32_t line;
	uint32_t version;
};

static struct view
before(struct view v, uint8_t c)
{
	const uint8_t *at = v.n > 0 ? memchr(v.p, c, v.n) : NULL;

	return (struct view){v.p, at ? (size_t)(at - v.p) : v.n};
}

static struct view
behind(struct view v, struct view head)
{
	size_t n = head.n < v.n ? head.n + 1 : head.n;

	return (struct view){v.p + n, v.n - n};
}

/* The last word of the line, which is cut by it; names may hold blanks. */
static struct view
last_word(struct view *line)
{
	const uint8_t *blank = line->n > 0 ? memrchr(line->p, ' ', line->n) : NULL;

	if (!blank)
		return (struct view){line->p, 0};
	size_t at = (size_t)(blank - line->p);
	struct view word = {blank + 1, line->n - at - 1};
	line->n = at;
	return word;
}

static const char *
read_header(struct list *l, struct view line)
{
	uint64_t version, next;
	struct view word = before(line, ' ');

	if (!num_decimal(word, UINT32_MAX, &version) || version == 0 ||
		version > VERSION_MAX)
		return "this version is not known; known are none, /1, /2 and /3";
	line = behind(line, word);
	if (!num_decimal(before(line, ' '), UINT64_MAX, &next))
		return "its first line has no number for the next message";
	l->version = (uint32_t)version;
	return NULL;
}

static bool
read_place(const struct list *l, struct view word, uint64_t *uid, uint64_t *uidvalidity)
{
	struct view first = before(word, ':');
	struct view rest = behind(word, first);
	struct view second = before(rest, ':');
	struct view third = behind(rest, second);
	uint64_t utf8;

	*uidvalidity = 0;
	if (!num_decimal(first, UINT64_MAX, uid))
		return false;
	if (l->version == 1 && first.n == word.n)
		return true;
	if (!num_decimal(second, UINT64_MAX, uidvalidity))
		return false;
	return second.n == rest.n || num_decimal(third, UINT32_MAX, &utf8);
}

/* As Courier writes a name where a UIDL belongs. */
static void
put_name(struct buf *b, struct view name)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];
		if (ascii_is_graph(c) && c != '\'' && c != '"' && c != '+') {
			buf_put(b, &c, 1);
			continue;
		}
		buf_put_str(b, "+");
		buf_put(b, &digits[c >> 4], 1);
		buf_put(b, &digits[c & 15], 1);
	}
}

static const char *
read_row(struct list *l, struct view line)
{
	uint8_t storage[FOREIGN_UIDL_MAX];
	struct buf uidl = buf_over(storage, sizeof(storage));
	struct foreign_row r = {.line = l->line, .order = l->line, .saved = true};
	uint64_t uid = 0, uidvalidity = 0;

	if (l->version > 0 && !read_place(l, last_word(&line), &uid, &uidvalidity))
		return "it does not end in UID:UIDVALIDITY";
	if (!num_decimal(last_word(&line), UINT64_MAX - 1, &r.size))
		return "it has no size";
	r.name = before(line, ':');
	if (r.name.n == 0 || memchr(r.name.p, '/', r.name.n))
		return "it does not begin with the name of a file";
	if (uid == 0) {
		put_name(&uidl, r.name);
	} else {
		buf_put_str(&uidl, "UID");
		buf_put_dec(&uidl, uid);
	}
	if (uid != 0 && uidvalidity != 0) {
		buf_put_str(&uidl, "-");
		buf_put_dec(&uidl, uidvalidity);
	}
	if (uidl.full)
		return "the UIDL would be longer than 1024 octets";
	r.uidl = buf_view(&uidl);
	l->sink->row(l->sink, &r);
	return NULL;
}

void
foreign_courier_read(struct view text, struct foreign_sink *s)
{
	struct list l = {.sink = s};

	while (text.n > 0) {
		struct view line = before(text, '\n');
		bool ended = line.n < text.n, header = false;
		const char *why = NULL;

		l.line++;
		text = behind(text, line);
		header = l.line == 1 && line.n > 0 && line.p[0] == '/';
		if (!ended)
			why = "it was cut before its end";
		else if (line.n > FOREIGN_LINE_MAX)
			why = "it is longer than 8192 octets";
		else if (header)
			why = read_header(&l, (struct view){line.p + 1, line.n - 1});
		else
			why = read_row(&l, line);
		if (why)
			s->bad(s, l.line, why);
		if (why && header)
			return;
	}
}
