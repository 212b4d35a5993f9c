/*
 * An mbox and the names that servers wrote into it:
 *
 *     X-UIDL: <uidl>                       of each message
 *     X-UID: <uid>                         of each message
 *     X-IMAPbase: <uidvalidity> <last>     of the first message
 *     X-IMAP: <uidvalidity> <last>         of a first message that is none: it holds this
 *
 * popa3d computes: the first half of the MD5 of these fields, whole lines, as two words
 * of 32 bits, the lower octet first: Received, the first one alone; before it came, Date
 * and Message-ID; Delivered-To and X-Delivery-ID always.
 */
#include "base/ascii.h"
#include "base/num.h"
#include "move/foreign.h"
#include "store/mbox_from.h"

#include <string.h>

#define POPA3D_FIELDS_MAX 65536

struct list {
	enum foreign_mbox form;
	const struct foreign_options *o;
	struct foreign_sink *sink;
	uint32_t line, number, uidvalidity;
};

struct message {
	struct view header; /* with its empty line, without the "From " line */
	struct view uidl, uid, base, imap;
	uint64_t wire;
};

static struct view
line_of(struct view v)
{
	const uint8_t *lf = v.n > 0 ? memchr(v.p, '\n', v.n) : NULL;

	return (struct view){v.p, lf ? (size_t)(lf - v.p) + 1 : v.n};
}

static void
step(struct view *v, size_t n)
{
	v->p += n;
	v->n -= n;
}

static bool
starts_with(struct view v, struct view what)
{
	return v.n >= what.n && ascii_equal_nocase((struct view){v.p, what.n}, what);
}

static bool
is_empty(struct view line)
{
	return (line.n == 1 && line.p[0] == '\n') ||
		(line.n == 2 && line.p[0] == '\r' && line.p[1] == '\n');
}

static uint64_t
wire_octets(struct view line)
{
	bool lf = line.n > 0 && line.p[line.n - 1] == '\n';
	bool cr = line.n > 1 && line.p[line.n - 2] == '\r';

	return line.n + (lf && !cr) + (lf ? 0 : 2);
}

/* What stands behind the colon, without the blanks around it. */
static struct view
value_of(struct view line, size_t name_n)
{
	struct view v = line;

	step(&v, name_n);
	while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t'))
		step(&v, 1);
	if (v.n > 0 && v.p[v.n - 1] == '\n')
		v.n--;
	if (v.n > 0 && v.p[v.n - 1] == '\r')
		v.n--;
	return ascii_trim_end(v);
}

static void
take_field(struct view line, struct message *m)
{
	static const struct {
		struct view name;
		size_t at;
	} fields[] = {
		{{(const uint8_t *)"X-UIDL:", 7}, offsetof(struct message, uidl)},
		{{(const uint8_t *)"X-UID:", 6}, offsetof(struct message, uid)},
		{{(const uint8_t *)"X-IMAPbase:", 11}, offsetof(struct message, base)},
		{{(const uint8_t *)"X-IMAP:", 7}, offsetof(struct message, imap)},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct view *to = (struct view *)(void *)((char *)m + fields[i].at);
		if (!to->p && starts_with(line, fields[i].name))
			*to = value_of(line, fields[i].name.n);
	}
}

static void
read_header(struct view *text, struct list *l, struct message *m)
{
	m->header = (struct view){text->p, 0};
	while (text->n > 0) {
		struct view line = line_of(*text);
		l->line++;
		m->header.n += line.n;
		m->wire += wire_octets(line);
		step(text, line.n);
		if (is_empty(line))
			return;
		take_field(line, m);
	}
}

/* Up to the next message; the empty line before it belongs to neither. */
static void
read_body(struct view *text, struct list *l, struct message *m)
{
	bool was_empty = true; /* the one that ended the header */
	uint64_t last = 0;
	size_t from;

	while (text->n > 0) {
		struct view line = line_of(*text);
		if (was_empty && mbox_from_at(*text, true, &from) == BOUNDARY_YES)
			break;
		l->line++;
		was_empty = is_empty(line);
		last = was_empty ? wire_octets(line) : 0;
		m->wire += wire_octets(line);
		step(text, line.n);
	}
	m->wire -= last;
}

/* ---- popa3d --------------------------------------------------------------- */

static bool
popa3d_takes(struct view line, bool *received)
{
	bool before = !*received;

	if (starts_with(line, VIEW("received:"))) {
		*received = true;
		return before;
	}
	if (starts_with(line, VIEW("date:")) || starts_with(line, VIEW("message-id:")))
		return before;
	return starts_with(line, VIEW("delivered-to:")) ||
		starts_with(line, VIEW("x-delivery-id:"));
}

static bool
put_popa3d(const struct list *l, struct view header, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t storage[POPA3D_FIELDS_MAX], sum[16];
	struct buf b = buf_over(storage, sizeof(storage));
	bool received = false, takes = false;

	while (header.n > 0) {
		struct view line = line_of(header);
		if (is_empty(line))
			break;
		step(&header, line.n);
		if (line.p[0] != ' ' && line.p[0] != '\t')
			takes = popa3d_takes(line, &received);
		if (takes)
			buf_put_view(&b, line);
	}
	l->o->md5(buf_view(&b), sum);
	for (size_t i = 0; i < 8; i++) {
		uint8_t c = sum[i ^ 3];
		buf_put(out, &digits[c >> 4], 1);
		buf_put(out, &digits[c & 15], 1);
	}
	return !b.full;
}

static uint32_t
first_number(struct view v)
{
	const uint8_t *blank = v.n > 0 ? memchr(v.p, ' ', v.n) : NULL;
	uint64_t n = 0;

	if (blank)
		v.n = (size_t)(blank - v.p);
	(void)!num_decimal(v, UINT32_MAX, &n);
	return (uint32_t)n;
}

static const char *
name_it(struct list *l, const struct message *m, struct foreign_row *r, struct buf *uidl)
{
	if (l->form == FOREIGN_MBOX_XUIDL) {
		r->uidl = m->uidl;
		return m->uidl.n > 0 ? NULL
				     : "the message that begins here has no X-UIDL";
	}
	if (l->form == FOREIGN_MBOX_POPA3D) {
		if (!put_popa3d(l, m->header, uidl))
			return "the message that begins here has too long a header";
		r->uidl = buf_view(uidl);
		return NULL;
	}
	r->uid = first_number(m->uid);
	if (r->uid == 0)
		return "the message that begins here has no X-UID";
	if (l->uidvalidity == 0)
		return "there is no X-IMAPbase at the beginning of the file";
	struct foreign_values v = {.uid = r->uid, .uidvalidity = l->uidvalidity};
	if (!foreign_format_put(l->o->format, &v, l->o->md5, uidl))
		return "the format asks for what a message of an mbox has not (%f, %g)";
	r->uidl = buf_view(uidl);
	return NULL;
}

static void
take_message(struct list *l, uint32_t line, const struct message *m)
{
	uint8_t storage[FOREIGN_UIDL_MAX];
	struct buf uidl = buf_over(storage, sizeof(storage));
	struct foreign_row r = {.line = line,
		.order = l->number,
		.size = m->wire,
		.header = m->header,
		.saved = true};

	if (l->number == 0)
		l->uidvalidity = first_number(m->imap.p ? m->imap : m->base);
	/* Servers keep their numbers in a first message that they show to nobody. */
	if (l->number++ == 0 && m->imap.p)
		return;
	const char *why = name_it(l, m, &r, &uidl);
	if (why)
		l->sink->bad(l->sink, line, why);
	else
		l->sink->row(l->sink, &r);
}

void
foreign_mbox_read(struct view text, enum foreign_mbox form,
	const struct foreign_options *o, struct foreign_sink *s)
{
	struct list l = {.form = form, .o = o, .sink = s};

	size_t from;

	if (text.n > 0 && mbox_first_at(text, true, &from) != BOUNDARY_YES) {
		s->bad(s, 1, "this is no mbox: it does not begin with \"From \"");
		return;
	}
	while (text.n > 0) {
		struct message m = {.wire = 0};
		uint32_t line = ++l.line;

		step(&text, line_of(text).n);
		read_header(&text, &l, &m);
		read_body(&text, &l, &m);
		take_message(&l, line, &m);
	}
}
