#include "move/passport_read.h"

#include "base/ascii.h"
#include "base/num.h"
#include "move/show.h"

#include <string.h>

static bool
wrong(struct passport *p, const char *why)
{
	if (!p->why)
		p->why = why;
	return false;
}

static bool
take_line(struct passport *p, struct view *ret)
{
	const uint8_t *lf = p->rest.n > 0 ? memchr(p->rest.p, '\n', p->rest.n) : NULL;

	p->line++;
	if (!lf)
		return wrong(p, "the text ends in the middle");
	*ret = (struct view){p->rest.p, (size_t)(lf - p->rest.p)};
	if (ret->n > PASSPORT_LINE_MAX)
		return wrong(p, "the line is too long");
	p->rest.p = lf + 1;
	p->rest.n -= ret->n + 1;
	return true;
}

/* The word in front; what is left has no blank in front, and is empty at the end. */
static struct view
take_word(struct view *line)
{
	const uint8_t *blank = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;
	struct view word = {line->p, blank ? (size_t)(blank - line->p) : line->n};

	line->p += word.n;
	line->n -= word.n;
	/* A blank at the end stays and is found as a word too much. */
	if (line->n > 1) {
		line->p++;
		line->n--;
	}
	return word;
}

static bool
is(struct view word, const char *what)
{
	return view_equal(word, show_view(what));
}

static bool
take_number(struct view *line, uint64_t max, uint64_t *ret)
{
	struct view word = take_word(line);

	if (word.n > 1 && word.p[0] == '0')
		return false;
	return num_decimal(word, max, ret);
}

/* "NAME value" in a line of its own. */
static bool
take_field(struct passport *p, const char *name, struct view *ret)
{
	if (!take_line(p, ret))
		return false;
	if (!is(take_word(ret), name) || ret->n == 0)
		return wrong(p, "the line is not the one that belongs here");
	return true;
}

static bool
is_time(struct view v)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";

	if (v.n != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (form[i] == 'd' ? !ascii_is_digit(v.p[i]) : v.p[i] != form[i])
			return false;
	return true;
}

static bool
is_source(struct view v)
{
	uint8_t storage[PASSPORT_LINE_MAX];
	struct buf b = buf_over(storage, sizeof(storage));

	return show_word_read(v, &b);
}

static bool
take_counts(struct passport *p)
{
	struct view v;
	uint64_t n;

	if (!take_field(p, "messages", &v))
		return false;
	if (!take_number(&v, PASSPORT_MESSAGES_MAX, &n) ||
		!take_number(&v, UINT64_MAX, &p->octets) || v.n > 0)
		return wrong(p, "the numbers of messages and octets cannot be read");
	p->messages = (uint32_t)n;
	return true;
}

bool
passport_open(struct view text, struct passport *p)
{
	struct view v;
	uint64_t version;

	*p = (struct passport){.rest = text, .sealed = {text.p, 0}};
	if (text.n > PASSPORT_OCTETS_MAX)
		return wrong(p, "the text is larger than 1 GiB");
	if (!take_line(p, &v) || !is(take_word(&v), "restante-passport") ||
		!take_number(&v, UINT32_MAX, &version) || v.n > 0) {
		p->why = "this is no passport of restante";
		return false;
	}
	if (version != PASSPORT_VERSION)
		return wrong(p, "this restante knows passports of version 1 only");
	if (!take_field(p, "made", &p->made))
		return false;
	if (!is_time(p->made))
		return wrong(p, "the time cannot be read");
	if (!take_field(p, "of", &p->of))
		return false;
	if (!is_source(p->of))
		return wrong(p, "the maildrop's name cannot be read");
	if (!take_field(p, "digests", &v))
		return false;
	p->whole = is(v, "header whole");
	if (!p->whole && !is(v, "header"))
		return wrong(p, "the kinds of digests are unknown");
	if (!take_field(p, "uidls", &v))
		return false;
	p->has_uidls = is(v, "yes");
	if (!p->has_uidls && !is(v, "no"))
		return wrong(p, "it must say yes or no");
	return take_counts(p);
}

static bool
take_digest(struct view *line, bool *ret_has, uint8_t ret[MESSAGE_DIGEST_OCTETS])
{
	struct view word = take_word(line);

	*ret_has = !is(word, "-");
	return !*ret_has || show_hex_read(word, ret, MESSAGE_DIGEST_OCTETS);
}

static bool
take_uidl(struct view *line, struct compare_message *m, struct buf *uidls)
{
	struct view word = take_word(line);
	size_t start = uidls->n;

	if (is(word, "-"))
		return true;
	/* An empty one: some servers have it. */
	if (!is(word, "%") && !show_word_read(word, uidls))
		return false;
	m->uidl = (struct view){uidls->p + start, uidls->n - start};
	return true;
}

static enum passport_step
bad(struct passport *p, const char *why)
{
	(void)wrong(p, why);
	return PASSPORT_BAD;
}

static enum passport_step
take_seal(struct passport *p)
{
	struct view v;
	uint64_t n;

	if (!take_field(p, "end", &v))
		return PASSPORT_BAD;
	if (!take_number(&v, UINT32_MAX, &n) || v.n > 0 || n != p->messages)
		return bad(p, "the number of messages is not the one above");
	if (p->sum != p->octets)
		return bad(p, "the sizes do not add up to what the head says");
	p->sealed.n = (size_t)(p->rest.p - p->sealed.p);
	if (!take_line(p, &v))
		return PASSPORT_BAD;
	struct view kind = take_word(&v);
	p->is_signed = is(kind, "ed25519");
	bool good = p->is_signed
		? show_hex_read(take_word(&v), p->key, PASSPORT_KEY_OCTETS) &&
			show_hex_read(
				take_word(&v), p->signature, PASSPORT_SIGNATURE_OCTETS)
		: is(kind, "sha256") &&
			show_hex_read(take_word(&v), p->digest, MESSAGE_DIGEST_OCTETS);
	if (!good || v.n > 0)
		return bad(p, "the seal cannot be read");
	if (p->rest.n > 0)
		return bad(p, "something stands behind the seal");
	return PASSPORT_END;
}

enum passport_step
passport_next(struct passport *p, struct compare_message *ret, struct buf *uidls)
{
	struct compare_message m = {0};
	struct view v;
	uint64_t number;

	if (p->done == p->messages)
		return take_seal(p);
	if (!take_line(p, &v))
		return PASSPORT_BAD;
	if (!take_number(&v, UINT32_MAX, &number) || number <= p->last_number)
		return bad(p, "the message's number cannot be read, or does not rise");
	if (!take_uidl(&v, &m, uidls) || (m.uidl.p && !p->has_uidls))
		return bad(p, "the UIDL cannot be read");
	if (!take_number(&v, UINT64_MAX, &m.size) || !num_add(p->sum, m.size, &p->sum))
		return bad(p, "the size cannot be read");
	if (!take_digest(&v, &m.has_header, m.header) ||
		(p->whole && !take_digest(&v, &m.has_whole, m.whole)) || v.n > 0)
		return bad(p, "the digests cannot be read");
	m.number = p->last_number = (uint32_t)number;
	m.refused = !m.has_header;
	p->done++;
	*ret = m;
	return PASSPORT_MESSAGE;
}
