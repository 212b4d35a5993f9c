/*
 * dovecot-uidlist:
 *
 *     1 UIDVALIDITY NEXTUID             3 V<uidvalidity> N<nextuid> G<guid>
 *     UID FILENAME                      UID [P<uidl>] [W<size>] [O<order>] [G<guid>]
 * :FILENAME
 *
 * UIDs rise from line to line; where they do not, Dovecot itself reads no further.
 */
#include "base/num.h"
#include "move/foreign.h"

#include <string.h>

struct list {
	const struct foreign_options *o;
	struct foreign_sink *sink;
	uint64_t version;
	uint32_t uidvalidity, last_uid, line;
};

static struct view
take_word(struct view *v)
{
	const uint8_t *blank = v->n > 0 ? memchr(v->p, ' ', v->n) : NULL;
	struct view word = {v->p, blank ? (size_t)(blank - v->p) : v->n};
	size_t used = word.n + (blank ? 1 : 0);

	v->p += used;
	v->n -= used;
	return word;
}

static bool
number(struct view v, uint32_t *ret)
{
	uint64_t n;

	if (!num_decimal(v, UINT32_MAX, &n))
		return false;
	*ret = (uint32_t)n;
	return true;
}

static struct view
without_first(struct view v)
{
	return (struct view){v.p + 1, v.n - 1};
}

static const char *
read_header(struct list *l, struct view line)
{
	if (!num_decimal(take_word(&line), UINT32_MAX, &l->version))
		return "this is no dovecot-uidlist: no version at its beginning";
	if (l->version == 1)
		return number(take_word(&line), &l->uidvalidity) && l->uidvalidity != 0
			? NULL
			: "the first line has no UIDVALIDITY";
	if (l->version != 3)
		return "this version is not known; known are 1 and 3";
	while (line.n > 0) {
		struct view word = take_word(&line);
		if (word.n > 1 && word.p[0] == 'V' &&
			!number(without_first(word), &l->uidvalidity))
			return "the UIDVALIDITY is no number";
	}
	return l->uidvalidity != 0 ? NULL : "the first line has no UIDVALIDITY";
}

/* P, W, O, G and what may come later, up to the colon before the name. */
static const char *
read_extensions(struct view *line, struct foreign_row *r, struct foreign_values *v,
	bool *ret_saved)
{
	uint64_t n;

	*ret_saved = false;
	while (line->n > 0 && line->p[0] != ':') {
		struct view word = take_word(line);
		if (word.n == 0)
			return "two blanks where one belongs";
		struct view value = without_first(word);
		switch (word.p[0]) {
		case 'P':
			r->uidl = value;
			*ret_saved = true;
			break;
		case 'G': v->guid = value; break;
		case 'O':
			if (value.n > 0 && !number(value, &r->order))
				return "the order (O) is no number below 4294967296";
			break;
		case 'W':
			if (num_decimal(value, UINT64_MAX - 1, &n))
				r->size = n;
			break;
		default: break;
		}
	}
	if (line->n < 2)
		return "there is no :NAME";
	*line = without_first(*line);
	return NULL;
}

static struct view
without_flags(struct view name)
{
	const uint8_t *colon = memchr(name.p, ':', name.n);

	return (struct view){name.p, colon ? (size_t)(colon - name.p) : name.n};
}

static const char *
read_row(struct list *l, struct view line)
{
	uint8_t storage[FOREIGN_UIDL_MAX];
	struct buf uidl = buf_over(storage, sizeof(storage));
	struct foreign_row r = {
		.line = l->line, .order = FOREIGN_NO_ORDER, .size = UINT64_MAX};
	struct foreign_values v = {.uidvalidity = l->uidvalidity};
	const char *why = NULL;

	if (!number(take_word(&line), &r.uid) || r.uid == 0)
		return "there is no UID at its beginning";
	if (l->version == 3)
		why = read_extensions(&line, &r, &v, &r.saved);
	if (why)
		return why;
	if (line.n == 0)
		return "there is no file name";
	r.name = without_flags(line);
	if (r.name.n == 0 || memchr(r.name.p, '/', r.name.n))
		return "this is no name of a file";
	v.uid = r.uid;
	v.name = r.name;
	if (!v.guid.p || v.guid.n == 0)
		v.guid = r.name;
	if (r.saved && r.uidl.n == 0) {
		r.uidl = r.name;
	} else if (!r.saved) {
		if (!foreign_format_put(l->o->format, &v, l->o->md5, &uidl))
			return "the UIDL would be longer than 1024 octets";
		r.uidl = buf_view(&uidl);
	}
	l->sink->row(l->sink, &r);
	return NULL;
}

/* False: no more is to be read. */
static bool
take_line(struct list *l, struct view line)
{
	const char *why = NULL;
	struct view rest = line;
	uint32_t uid;

	if (line.n > FOREIGN_LINE_MAX) {
		why = "it is longer than 8192 octets";
	} else if (l->line == 1) {
		why = read_header(l, line);
		if (why)
			l->sink->bad(l->sink, 1, why);
		return !why;
	} else if (number(take_word(&rest), &uid)) {
		if (uid <= l->last_uid) {
			l->sink->bad(l->sink, l->line,
				"its UID is not above the one before; no line from here "
				"on was taken");
			return false;
		}
		l->last_uid = uid;
	}
	if (!why)
		why = read_row(l, line);
	if (why)
		l->sink->bad(l->sink, l->line, why);
	return true;
}

void
foreign_dovecot_read(
	struct view text, const struct foreign_options *o, struct foreign_sink *s)
{
	struct list l = {.o = o, .sink = s};

	if (text.n == 0)
		s->bad(s, 0, "the file is empty");
	while (text.n > 0) {
		const uint8_t *lf = memchr(text.p, '\n', text.n);
		struct view line = {text.p, lf ? (size_t)(lf - text.p) : text.n};

		l.line++;
		/* A line without its end was being written. */
		if (!lf && l.line > 1) {
			s->bad(s, l.line, "it was cut before its end");
			return;
		}
		if (!take_line(&l, line))
			return;
		text.p += line.n + (lf ? 1 : 0);
		text.n -= line.n + (lf ? 1 : 0);
	}
}
