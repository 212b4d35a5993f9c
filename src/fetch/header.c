#include "fetch/header.h"

#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

enum header_at {
	AT_START,      /* before the first octet */
	AT_LINE,       /* before the first octet of a later line */
	AT_FIRST_NAME, /* in what may be a field's name, or a From_ line */
	AT_NAME,
	AT_VALUE,
};

enum header_keeps { KEEPS_NONE, KEEPS_SUBJECT, KEEPS_FROM, KEEPS_MESSAGE_ID };

enum header_rule { WHOLE, PREFIX };

static const struct {
	struct view name;
	enum header_rule rule;
} left_out[] = {
#define HEADER_LEFT_OUT(name, rule) {{(const uint8_t *)"" name, sizeof(name) - 1}, rule},
#include "fetch/header_fields.def"
#undef HEADER_LEFT_OUT
};

void
header_init(struct header_scan *h)
{
	memset(h, 0, sizeof(*h));
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Octets of the text that is kept, without the blanks before its first. */
static void
keep(uint8_t *text, uint16_t *n, struct view v)
{
	while (*n == 0 && v.n > 0 && is_blank(v.p[0])) {
		v.p++;
		v.n--;
	}
	if (v.n > (size_t)(HEADER_FIELD_MAX - *n))
		v.n = (size_t)(HEADER_FIELD_MAX - *n);
	if (v.n > 0)
		memcpy(text + *n, v.p, v.n);
	*n = (uint16_t)(*n + v.n);
}

static void
header_count(struct header_scan *h, struct view v, struct header_sink *sink)
{
	if (h->skip || h->done || v.n == 0)
		return;
	CHECK(h->octets <= HEADER_OCTETS_MAX);
	if (v.n > HEADER_OCTETS_MAX - h->octets)
		v.n = (size_t)(HEADER_OCTETS_MAX - h->octets);
	if (v.n > 0)
		sink->take(sink, v);
	h->octets += v.n;
	h->done = h->octets == HEADER_OCTETS_MAX;
}

/* Octets of a field after its colon. */
static void
header_value(struct header_scan *h, struct view v, struct header_sink *sink)
{
	switch ((enum header_keeps)h->keeps) {
	case KEEPS_NONE: break;
	case KEEPS_SUBJECT: keep(h->subject, &h->subject_n, v); break;
	case KEEPS_FROM: keep(h->from, &h->from_n, v); break;
	case KEEPS_MESSAGE_ID: keep(h->message_id, &h->message_id_n, v); break;
	}
	header_count(h, v, sink);
}

/* CRs that turned out to be no part of a line end. */
static void
header_release(struct header_scan *h, struct header_sink *sink)
{
	static const uint8_t crs[64] = "\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r"
				       "\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r"
				       "\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r"
				       "\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r";

	while (h->held_cr > 0 && !h->done) {
		size_t n = h->held_cr < sizeof(crs) ? (size_t)h->held_cr : sizeof(crs);
		header_value(h, (struct view){crs, n}, sink);
		h->held_cr -= n;
	}
	h->held_cr = 0;
}

static bool
is_left_out(struct view name, bool whole)
{
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++) {
		struct view row = left_out[i].name;
		if (left_out[i].rule == PREFIX && name.n >= row.n &&
			memcmp(name.p, row.p, row.n) == 0)
			return true;
		if (left_out[i].rule == WHOLE && whole && view_equal(name, row))
			return true;
	}
	return false;
}

/* The first of each kind is kept. */
static enum header_keeps
keeps_of(const struct header_scan *h, struct view name)
{
	if (view_equal(name, VIEW("subject")) && h->subject_n == 0)
		return KEEPS_SUBJECT;
	if (view_equal(name, VIEW("from")) && h->from_n == 0)
		return KEEPS_FROM;
	if (view_equal(name, VIEW("message-id")) && h->message_id_n == 0)
		return KEEPS_MESSAGE_ID;
	return KEEPS_NONE;
}

/* The name's end: what was held back of it counts now, or the field is left out. */
static void
header_named(struct header_scan *h, bool field, struct header_sink *sink)
{
	struct view held = {h->name, h->name_n}, name = ascii_trim_end(held);
	bool postmark = h->at == AT_FIRST_NAME && !field && name.n < held.n &&
		(view_equal(name, VIEW("from")) || view_equal(name, VIEW(">from")));
	bool full = h->name_n == sizeof(h->name);

	h->skip = postmark || ((field || full) && is_left_out(name, field));
	h->keeps = KEEPS_NONE;
	header_count(h, held, sink);
	if (field && !h->skip)
		h->keeps = (uint8_t)keeps_of(h, name);
	h->names_one = h->names_one ||
		(field &&
			(view_equal(name, VIEW("message-id")) ||
				view_equal(name, VIEW("received"))));
	h->name_n = 0;
	h->at = AT_VALUE;
}

/* Whether the octet was used up. */
static bool
at_line(struct header_scan *h, uint8_t c, struct header_sink *sink)
{
	bool first = h->at == AT_START;

	if (c == '\r') {
		h->held_cr++;
		return true;
	}
	if (c == '\n') {
		h->done = true;
		return true;
	}
	/* A folded line belongs to its field (RFC 5322 s.2.2.3). */
	bool folded = is_blank(c) && h->held_cr == 0;
	if (!folded) {
		h->skip = false;
		h->keeps = KEEPS_NONE;
	}
	if (folded || h->held_cr > 0) {
		h->at = AT_VALUE;
		header_release(h, sink);
	} else {
		h->at = first ? AT_FIRST_NAME : AT_NAME;
	}
	return false;
}

static bool
at_name(struct header_scan *h, uint8_t c, struct header_sink *sink)
{
	bool after_blank = h->name_n > 0 && is_blank(h->name[h->name_n - 1]);

	if (c == ':') {
		header_named(h, true, sink);
		header_count(h, VIEW(":"), sink);
		return true;
	}
	/* A name has no blank inside, and no line end. */
	if (c == '\r' || c == '\n' || (after_blank && !is_blank(c)) ||
		h->name_n == sizeof(h->name)) {
		header_named(h, false, sink);
		return false;
	}
	h->name[h->name_n++] = ascii_lower(c);
	return true;
}

/* The octets used up, at least one. */
static size_t
at_value(struct header_scan *h, struct view v, struct header_sink *sink)
{
	size_t n = 0;

	if (v.p[0] == '\r') {
		h->held_cr++;
		return 1;
	}
	if (v.p[0] == '\n') {
		h->held_cr = 0;
		h->at = AT_LINE;
		return 1;
	}
	header_release(h, sink);
	while (n < v.n && v.p[n] != '\r' && v.p[n] != '\n')
		n++;
	header_value(h, (struct view){v.p, n}, sink);
	return n;
}

void
header_take(struct header_scan *h, struct view octets, struct header_sink *sink)
{
	while (octets.n > 0 && !h->done) {
		size_t used = 0;

		switch ((enum header_at)h->at) {
		case AT_START:
		case AT_LINE: used = at_line(h, octets.p[0], sink); break;
		case AT_FIRST_NAME:
		case AT_NAME: used = at_name(h, octets.p[0], sink); break;
		case AT_VALUE: used = at_value(h, octets, sink); break;
		}
		octets.p += used;
		octets.n -= used;
	}
}
