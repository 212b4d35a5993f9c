#include "fetch/dns_srv.h"

#include "base/ascii.h"
#include "base/buf.h"

#include <string.h>

#define HEADER_OCTETS 12
#define TYPE_CNAME    5
#define TYPE_SRV      33 /* RFC 2782 */
#define CLASS_IN      1
#define LABEL_MAX     63
#define WIRE_NAME_MAX 255
#define ANSWERS_MAX   256 /* records that are looked at */
#define ALIASES_MAX   8

enum dns_flags {
	FLAG_ANSWER = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RECURSE = 0x0100,
	FLAG_RCODE = 0x000F,
};
enum dns_rcode { RCODE_OK = 0, RCODE_NO_NAME = 3 };

static bool
is_name_octet(uint8_t c)
{
	c = ascii_lower(c);
	return (c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '-' || c == '_';
}

bool
dns_is_name(const char *name)
{
	size_t n = strlen(name), label = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)name[i];

		if (c == '.' ? label == 0 : !is_name_octet(c) || label == LABEL_MAX)
			return false;
		label = c == '.' ? 0 : label + 1;
	}
	/* Its wire form has two octets more. */
	return label > 0 && n <= WIRE_NAME_MAX - 2;
}

static void
put_u16(struct buf *b, unsigned int v)
{
	buf_put_u8(b, (uint8_t)(v >> 8));
	buf_put_u8(b, (uint8_t)v);
}

bool
dns_srv_query(const char *name, uint16_t id, struct buf *out)
{
	if (!dns_is_name(name))
		return false;
	put_u16(out, id);
	put_u16(out, FLAG_RECURSE);
	put_u16(out, 1); /* questions */
	for (int i = 0; i < 3; i++)
		put_u16(out, 0);
	while (*name) {
		size_t n = 0;

		while (name[n] && name[n] != '.')
			n++;
		buf_put_u8(out, (uint8_t)n);
		buf_put(out, name, n);
		name += n + (name[n] == '.');
	}
	buf_put_u8(out, 0);
	put_u16(out, TYPE_SRV);
	put_u16(out, CLASS_IN);
	return !out->full;
}

/* ---- reading ---- */

struct reader {
	struct view all; /* the whole message: names point into it */
	size_t at;
	bool bad;
};

static unsigned int
take_u8(struct reader *r)
{
	if (r->bad || r->at >= r->all.n) {
		r->bad = true;
		return 0;
	}
	return r->all.p[r->at++];
}

static unsigned int
take_u16(struct reader *r)
{
	unsigned int high = take_u8(r);

	return high << 8 | take_u8(r);
}

static void
skip(struct reader *r, size_t n)
{
	if (r->bad || n > r->all.n - r->at)
		r->bad = true;
	else
		r->at += n;
}

/* A label at *from into name; false: it does not fit, or is no host name's. */
static bool
take_label(struct view all, size_t from, size_t n, char *name, size_t *used)
{
	if (n > all.n - from || *used + n + 2 > DNS_NAME_MAX)
		return false;
	if (*used > 0)
		name[(*used)++] = '.';
	for (size_t i = 0; i < n; i++) {
		if (!is_name_octet(all.p[from + i]))
			return false;
		name[(*used)++] = (char)ascii_lower(all.p[from + i]);
	}
	return true;
}

/*
 * RFC 1035 s.4.1.4. A pointer must lead to before the run of labels that it ends, so that
 * each jump goes further back: no loop, and no more jumps than octets.
 */
static void
take_name(struct reader *r, char name[DNS_NAME_MAX])
{
	size_t used = 0, at = r->at, run = r->at;
	bool jumped = false;

	memset(name, 0, DNS_NAME_MAX);
	while (!r->bad) {
		if (at >= r->all.n)
			break;
		size_t n = r->all.p[at];
		if (n == 0) {
			if (!jumped)
				r->at = at + 1;
			return;
		}
		if (n <= LABEL_MAX) {
			if (!take_label(r->all, at + 1, n, name, &used))
				break;
			at += 1 + n;
			continue;
		}
		/* 01 and 10 are no labels any more (RFC 6891 s.5). */
		if ((n & 0xC0) != 0xC0 || at + 1 >= r->all.n)
			break;
		size_t to = (n & 0x3F) << 8 | r->all.p[at + 1];
		if (to < HEADER_OCTETS || to >= run)
			break;
		if (!jumped)
			r->at = at + 2;
		jumped = true;
		at = run = to;
	}
	r->bad = true;
}

static bool
is_same_name(const char *a, const char *b)
{
	return ascii_equal_nocase((struct view){(const uint8_t *)a, strlen(a)},
		(struct view){(const uint8_t *)b, strlen(b)});
}

/* A record's frame; its data lies at `at`, `n` octets. */
struct record {
	char owner[DNS_NAME_MAX];
	unsigned int type, class;
	size_t at, n;
};

static bool
take_record(struct reader *r, struct record *ret)
{
	take_name(r, ret->owner);
	ret->type = take_u16(r);
	ret->class = take_u16(r);
	skip(r, 4); /* how long it may be kept */
	ret->n = take_u16(r);
	ret->at = r->at;
	skip(r, ret->n);
	return !r->bad;
}

/* False: the data is not exactly what a record of its type has. */
static bool
take_srv(struct view all, const struct record *record, struct srv_answer *a)
{
	/* Names of the data may point back into the message, never beyond the data. */
	struct reader r = {{all.p, record->at + record->n}, record->at, false};
	struct srv_record s;

	s.priority = (uint16_t)take_u16(&r);
	s.weight = (uint16_t)take_u16(&r);
	s.port = (uint16_t)take_u16(&r);
	take_name(&r, s.target);
	if (r.bad || r.at != record->at + record->n)
		return false;
	if (s.target[0] == '\0')
		a->refused = true;
	else if (s.port != 0 && a->n < SRV_RECORDS_MAX)
		a->records[a->n++] = s;
	return true;
}

static bool
take_alias(struct view all, const struct record *record, char name[DNS_NAME_MAX])
{
	struct reader r = {{all.p, record->at + record->n}, record->at, false};

	take_name(&r, name);
	return !r.bad && r.at == record->at + record->n && name[0] != '\0';
}

/* All records of that name from `r` on; *alias: the name has another. */
static bool
take_answers(struct reader r, size_t n, char name[DNS_NAME_MAX], bool *alias,
	struct srv_answer *a)
{
	char other[DNS_NAME_MAX];
	struct record record;

	*alias = false;
	for (size_t i = 0; i < n; i++) {
		if (!take_record(&r, &record))
			return false;
		if (record.class != CLASS_IN || !is_same_name(record.owner, name))
			continue;
		if (record.type == TYPE_SRV && !take_srv(r.all, &record, a))
			return false;
		if (record.type != TYPE_CNAME)
			continue;
		if (!take_alias(r.all, &record, other))
			return false;
		*alias = true;
	}
	if (*alias)
		memcpy(name, other, DNS_NAME_MAX);
	return true;
}

enum dns_verdict
dns_srv_answer(struct view message, const char *name, uint16_t id, struct srv_answer *ret)
{
	struct reader r = {message, 0, message.n > DNS_MESSAGE_MAX};
	char question[DNS_NAME_MAX];
	struct srv_answer a = {0};
	bool alias = true;

	unsigned int got_id = take_u16(&r), flags = take_u16(&r);
	unsigned int questions = take_u16(&r), answers = take_u16(&r);
	skip(&r, 4);
	if (r.bad || got_id != id || !(flags & FLAG_ANSWER) || (flags & FLAG_OPCODE))
		return DNS_NOT_OURS;
	unsigned int rcode = flags & FLAG_RCODE;
	/* A server that does not understand may leave the question out. */
	if (questions == 0 && rcode != RCODE_OK && rcode != RCODE_NO_NAME)
		return DNS_FAILED;
	if (questions != 1)
		return DNS_NOT_OURS;
	take_name(&r, question);
	unsigned int type = take_u16(&r), class = take_u16(&r);
	if (r.bad || type != TYPE_SRV || class != CLASS_IN ||
		!is_same_name(question, name))
		return DNS_NOT_OURS;
	if (flags & FLAG_TRUNCATED)
		return DNS_TRUNCATED;
	if (rcode == RCODE_OK) {
		if (answers > ANSWERS_MAX)
			return DNS_BROKEN;
		for (int i = 0; alias && a.n == 0 && i < ALIASES_MAX; i++)
			if (!take_answers(r, answers, question, &alias, &a))
				return DNS_BROKEN;
	} else if (rcode != RCODE_NO_NAME) {
		return DNS_FAILED;
	}
	/* "." stands alone (RFC 2782); beside real ones it means nothing. */
	a.refused = a.refused && a.n == 0;
	*ret = a;
	return DNS_ANSWER;
}

/* ---- order ---- */

/* Those of one priority, n of them: each place is drawn by weight among what is left. */
static void
draw(struct srv_record *at, size_t n, const uint32_t *random)
{
	for (size_t i = 0; i + 1 < n; i++) {
		uint64_t sum = 0;
		size_t chosen = i;

		/* One more than its weight each, so that weight 0 is drawn, seldom. */
		for (size_t k = i; k < n; k++)
			sum += at[k].weight + UINT64_C(1);
		uint64_t left = random[i] % sum;
		while (left > at[chosen].weight)
			left -= at[chosen++].weight + UINT64_C(1);
		struct srv_record first = at[chosen];
		memmove(at + i + 1, at + i, (chosen - i) * sizeof(*at));
		at[i] = first;
	}
}

void
dns_srv_order(struct srv_answer *a, const uint32_t random[SRV_RECORDS_MAX])
{
	struct srv_record *at = a->records;

	for (size_t i = 1; i < a->n; i++) {
		struct srv_record moved = at[i];
		size_t k = i;

		for (; k > 0 && at[k - 1].priority > moved.priority; k--)
			at[k] = at[k - 1];
		at[k] = moved;
	}
	for (size_t from = 0, to; from < a->n; from = to) {
		for (to = from + 1; to < a->n && at[to].priority == at[from].priority;
			to++)
			;
		draw(at + from, to - from, random + from);
	}
}
