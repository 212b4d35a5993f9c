#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "wire/lmtp_parse.h"

#include <string.h>

#define DOMAIN_MAX 255 /* RFC 5321 s.4.5.3.1.2 */
#define LABEL_MAX  63  /* RFC 1035 s.2.3.4 */

static void
skip(struct view *v, size_t n)
{
	CHECK(n <= v->n);
	v->p += n;
	v->n -= n;
}

static bool
take_octet(struct view *v, uint8_t octet)
{
	if (v->n == 0 || v->p[0] != octet)
		return false;
	skip(v, 1);
	return true;
}

static bool
is_alnum(uint8_t c)
{
	return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* RFC 5322 s.3.2.3 atext, and UTF8-non-ascii of RFC 6531 s.3.3. */
static bool
is_atext(uint8_t c)
{
	return is_alnum(c) || c >= 0x80 ||
		(c != '\0' && memchr("!#$%&'*+-/=?^_`{|}~", c, 19));
}

/* ---- domains ---------------------------------------------------------------------- */

/* A label; _ is taken too, as names of machines have it. */
static bool
take_label(struct view *v)
{
	size_t n = 0;

	while (n < v->n &&
		(is_alnum(v->p[n]) || v->p[n] >= 0x80 || v->p[n] == '-' ||
			v->p[n] == '_'))
		n++;
	if (n == 0 || n > LABEL_MAX || v->p[0] == '-' || v->p[n - 1] == '-')
		return false;
	skip(v, n);
	return true;
}

/* Four decimal numbers up to 255 and nothing else. */
static bool
is_ipv4(struct view v)
{
	for (int i = 0; i < 4; i++) {
		size_t n = 0;
		uint64_t number;

		while (n < v.n && ascii_is_digit(v.p[n]))
			n++;
		if (n > 3 || !num_decimal((struct view){v.p, n}, 255, &number))
			return false;
		skip(&v, n);
		if (i < 3 && !take_octet(&v, '.'))
			return false;
	}
	return v.n == 0;
}

static bool
is_hex(uint8_t c)
{
	return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* RFC 5321 s.4.1.3: groups, at most one "::", an IPv4 address for the last two. */
static bool
is_ipv6(struct view v)
{
	bool gap = false, after_colon = false;
	size_t groups = 0;

	if (v.n >= 2 && v.p[0] == ':' && v.p[1] != ':')
		return false;
	while (v.n > 0) {
		size_t n = 0;

		if (v.n >= 2 && v.p[0] == ':' && v.p[1] == ':') {
			if (gap || after_colon)
				return false;
			gap = after_colon = true;
			skip(&v, 2);
			continue;
		}
		if (groups > 0 && !after_colon && !take_octet(&v, ':'))
			return false;
		while (n < v.n && is_hex(v.p[n]))
			n++;
		if (n < v.n && v.p[n] == '.')
			return is_ipv4(v) && (gap ? groups <= 5 : groups == 6);
		if (n == 0 || n > 4 || ++groups > 8)
			return false;
		skip(&v, n);
		after_colon = false;
	}
	return gap ? groups <= 7 : groups == 8;
}

/* Standardized-tag ":" 1*dcontent */
static bool
is_general(struct view v)
{
	size_t n = 0;

	while (n < v.n && (is_alnum(v.p[n]) || v.p[n] == '-'))
		n++;
	if (n == 0 || v.p[n - 1] == '-' || n + 1 >= v.n || v.p[n] != ':')
		return false;
	for (size_t i = n + 1; i < v.n; i++)
		if (!ascii_is_graph(v.p[i]) || v.p[i] == '[' || v.p[i] == '\\')
			return false;
	return true;
}

static bool
take_literal(struct view *v)
{
	static const struct view ipv6 = {(const uint8_t *)"IPv6:", 5};
	const uint8_t *end = memchr(v->p, ']', v->n);
	struct view inside;
	bool good;

	if (!end)
		return false;
	inside = (struct view){v->p + 1, (size_t)(end - v->p) - 1};
	if (inside.n > ipv6.n &&
		ascii_equal_nocase((struct view){inside.p, ipv6.n}, ipv6))
		good = is_ipv6((struct view){inside.p + ipv6.n, inside.n - ipv6.n});
	else
		good = is_ipv4(inside) || is_general(inside);
	if (good)
		skip(v, inside.n + 2);
	return good;
}

static bool
take_domain(struct view *v, bool literal, struct view *ret)
{
	const uint8_t *start = v->p;

	if (literal && v->n > 0 && v->p[0] == '[') {
		if (!take_literal(v))
			return false;
	} else {
		do {
			if (!take_label(v))
				return false;
		} while (take_octet(v, '.'));
	}
	*ret = (struct view){start, (size_t)(v->p - start)};
	return ret->n <= DOMAIN_MAX;
}

/* ---- paths ------------------------------------------------------------------------ */

/* RFC 5321 s.4.1.2, A-d-l; RFC 5321 s.3.6.1: it is to be ignored. */
static bool
take_route(struct view *v)
{
	struct view domain;

	if (v->n == 0 || v->p[0] != '@')
		return true;
	do {
		if (!take_octet(v, '@') || !take_domain(v, false, &domain))
			return false;
	} while (take_octet(v, ','));
	return take_octet(v, ':');
}

static bool
take_quoted(struct view *v)
{
	skip(v, 1);
	while (v->n > 0 && v->p[0] != '"') {
		bool pair = v->p[0] == '\\';

		if (pair)
			skip(v, 1);
		/* quoted-pairSMTP is ASCII, qtextSMTP may be UTF-8 (RFC 6531 s.3.3). */
		if (v->n == 0 || v->p[0] < 0x20 || v->p[0] == 0x7F ||
			(pair && v->p[0] >= 0x80))
			return false;
		skip(v, 1);
	}
	return take_octet(v, '"');
}

static bool
take_atoms(struct view *v)
{
	do {
		size_t n = 0;

		while (n < v->n && is_atext(v->p[n]))
			n++;
		if (n == 0)
			return false;
		skip(v, n);
	} while (take_octet(v, '.'));
	return true;
}

static bool
take_mailbox(struct view *v, struct lmtp_path *ret)
{
	const uint8_t *start = v->p;

	ret->quoted = v->n > 0 && v->p[0] == '"';
	if (ret->quoted ? !take_quoted(v) : !take_atoms(v))
		return false;
	ret->local = (struct view){start, (size_t)(v->p - start)};
	if (take_octet(v, '@')) {
		if (!take_domain(v, true, &ret->domain))
			return false;
	} else if (ret->quoted) {
		/* What is an @ inside of the quotes would be taken for the one outside.
		 */
		return false;
	}
	ret->mailbox = (struct view){start, (size_t)(v->p - start)};
	return ret->mailbox.n <= LMTP_PATH_MAX;
}

bool
lmtp_path_take(struct view *in, struct lmtp_path *ret)
{
	struct lmtp_path path = {0};
	struct view v = *in;

	if (!take_octet(&v, '<'))
		return false;
	if (v.n > 0 && v.p[0] != '>' && (!take_route(&v) || !take_mailbox(&v, &path)))
		return false;
	if (!take_octet(&v, '>'))
		return false;
	*in = v;
	*ret = path;
	return true;
}

size_t
lmtp_path_unquote(const struct lmtp_path *p, uint8_t out[LMTP_PATH_MAX])
{
	size_t n = 0;
	size_t from = p->quoted ? 1 : 0;

	CHECK(p->mailbox.n <= LMTP_PATH_MAX);
	CHECK(p->local.n >= 2 * from);
	for (size_t i = from; i < p->local.n - from; i++) {
		if (p->quoted && p->local.p[i] == '\\')
			i++;
		out[n++] = p->local.p[i];
	}
	if (p->domain.n > 0) {
		out[n++] = '@';
		memcpy(out + n, p->domain.p, p->domain.n);
		n += p->domain.n;
	}
	return n;
}
