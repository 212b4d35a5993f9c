#include "control/control_who.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "ipc/mechanism.h"
#include "ipc/permit.h"

#include <string.h>

const char *
who_mechanism(uint8_t mechanism)
{
	bool known = mechanism > 0 && mechanism < MECHANISMS_END;

	return known ? mechanism_name(mechanism) : "other";
}

bool
who_take(const struct who_row *row, uint64_t front, struct who_session *ret)
{
	if (row->used != 1 || row->user_n > WHO_USER_MAX || row->session == 0)
		return false;
	*ret = (struct who_session){.front = front,
		.session = row->session,
		.since_s = row->since_s,
		.octets = row->octets,
		.messages = row->messages,
		.retrieved = row->retrieved,
		.marked = row->marked,
		.listener = row->listener,
		.port = row->port,
		.mechanism = row->mechanism,
		.tls = row->tls != 0,
		.user_n = row->user_n};
	memcpy(ret->address, row->address, sizeof(ret->address));
	memcpy(ret->user, row->user, row->user_n);
	return true;
}

/* ---- which ---- */

static bool
begins(struct view *v, struct view with)
{
	if (v->n < with.n || memcmp(v->p, with.p, with.n) != 0)
		return false;
	v->p += with.n;
	v->n -= with.n;
	return true;
}

static int
hex_digit(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
who_read_hex(struct view v, uint8_t *ret, size_t n)
{
	if (v.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(v.p[2 * i]), low = hex_digit(v.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		ret[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

bool
who_filter_read(struct view words, struct who_filter *ret)
{
	struct who_filter f = {.choice = WHO_USER};

	if (begins(&words, VIEW("user "))) {
		f.user = words;
		if (f.user.n > WHO_USER_MAX)
			f.user.n = WHO_USER_MAX;
		*ret = f;
		return words.n > 0;
	}
	if (begins(&words, VIEW("network "))) {
		f.choice = WHO_NETWORK;
		if (!who_read_hex(words, f.network, sizeof(f.network)) ||
			f.network[16] > 128)
			return false;
		*ret = f;
		return true;
	}
	if (!begins(&words, VIEW("session ")))
		return false;
	f.choice = WHO_SESSION;
	const uint8_t *slash = words.n > 0 ? memchr(words.p, '/', words.n) : NULL;
	if (!slash)
		return false;
	size_t n = (size_t)(slash - words.p);
	if (!num_decimal((struct view){words.p, n}, UINT64_MAX, &f.front) ||
		!num_decimal((struct view){slash + 1, words.n - n - 1}, UINT64_MAX,
			&f.session))
		return false;
	*ret = f;
	return true;
}

static bool
is_within(const uint8_t network[17], const uint8_t address[16])
{
	size_t whole = network[16] / 8, rest = network[16] % 8;

	if (memcmp(network, address, whole) != 0)
		return false;
	return rest == 0 || (network[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool
who_matches(const struct who_filter *f, const struct who_session *s)
{
	switch (f->choice) {
	case WHO_USER:
		return f->user.n == s->user_n &&
			memcmp(f->user.p, s->user, s->user_n) == 0;
	case WHO_SESSION: return f->front == s->front && f->session == s->session;
	case WHO_NETWORK: return is_within(f->network, s->address);
	}
	UNREACHABLE();
}

/* ---- how it is shown ---- */

static void
put_hex16(struct buf *out, uint32_t v, bool all)
{
	static const char digits[] = "0123456789abcdef";
	bool begun = all;

	for (int shift = 12; shift >= 0; shift -= 4) {
		uint32_t d = v >> shift & 15;
		begun |= d != 0 || shift == 0;
		if (begun)
			buf_put_u8(out, (uint8_t)digits[d]);
	}
}

/* IPv6 without the abbreviation `::`: what a script can compare. */
static void
put_address(struct buf *out, const uint8_t a[16])
{
	static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};

	if (memcmp(a, v4, sizeof(v4)) == 0) {
		for (int i = 12; i < 16; i++) {
			buf_put_str(out, i > 12 ? "." : "");
			buf_put_dec(out, a[i]);
		}
		return;
	}
	for (int i = 0; i < 16; i += 2) {
		buf_put_str(out, i > 0 ? ":" : "");
		put_hex16(out, (uint32_t)a[i] << 8 | a[i + 1], false);
	}
}

/*
 * Text that strangers had a hand in, within double quotes, fit for JSON: only printable
 * ASCII stands as it is, and all else as the number of its octet.
 */
static void
put_quoted(struct buf *out, struct view v)
{
	buf_put_u8(out, '"');
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];
		if (c == '"' || c == '\\')
			buf_put_u8(out, '\\');
		if (c >= 0x20 && c < 0x7f) {
			buf_put_u8(out, c);
			continue;
		}
		buf_put_str(out, "\\u");
		put_hex16(out, c, true);
	}
	buf_put_u8(out, '"');
}

static void
put_two(struct buf *out, uint64_t n)
{
	buf_put_u8(out, (uint8_t)('0' + n / 10 % 10));
	buf_put_u8(out, (uint8_t)('0' + n % 10));
}

/* Days since 1970 as a date of the Gregorian calendar, counted from 1 March. */
static void
put_time(struct buf *out, uint64_t s)
{
	/* What a front wrote: no year beyond 9999. */
	if (s > UINT64_C(253402300799))
		s = UINT64_C(253402300799);
	uint64_t days = s / 86400 + 719468, rest = s % 86400;
	uint64_t era = days / 146097, day = days % 146097;
	uint64_t of_era = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
	uint64_t month = (5 * of_year + 2) / 153;
	uint64_t year = of_era + era * 400 + (month >= 10);

	put_two(out, year / 100);
	put_two(out, year % 100);
	buf_put_str(out, "-");
	put_two(out, month < 10 ? month + 3 : month - 9);
	buf_put_str(out, "-");
	put_two(out, of_year - (153 * month + 2) / 5 + 1);
	buf_put_str(out, "T");
	put_two(out, rest / 3600);
	buf_put_str(out, ":");
	put_two(out, rest / 60 % 60);
	buf_put_str(out, ":");
	put_two(out, rest % 60);
	buf_put_str(out, "Z");
}

/* Both forms have the same fields, in the same order. */
struct form {
	const char *first, *next, *is, *text, *end; /* around keys and texts */
};
static const struct form plain = {"", " ", "=", "", "\n"};
static const struct form json = {"{\"", ",\"", "\":", "\"", "}"};

static void
put_key(struct buf *out, const struct form *f, const char *key)
{
	buf_put_str(out, f->next);
	buf_put_str(out, key);
	buf_put_str(out, f->is);
}

static void
put_number(struct buf *out, const struct form *f, const char *key, uint64_t n)
{
	put_key(out, f, key);
	buf_put_dec(out, n);
}

static void
put_session(struct buf *out, const struct form *f, const struct who_session *s)
{
	buf_put_str(out, f->first);
	buf_put_str(out, "user");
	buf_put_str(out, f->is);
	put_quoted(out, (struct view){s->user, s->user_n});
	put_key(out, f, "address");
	buf_put_str(out, f->text);
	put_address(out, s->address);
	buf_put_str(out, f->text);
	put_number(out, f, "port", s->port);
	put_key(out, f, "since");
	buf_put_str(out, f->text);
	put_time(out, s->since_s);
	buf_put_str(out, f->text);
	put_key(out, f, "tls");
	buf_put_str(
		out, f == &json ? (s->tls ? "true" : "false") : (s->tls ? "yes" : "no"));
	put_key(out, f, "mechanism");
	buf_put_str(out, f->text);
	buf_put_str(out, who_mechanism(s->mechanism));
	buf_put_str(out, f->text);
	put_number(out, f, "messages", s->messages);
	put_number(out, f, "retrieved", s->retrieved);
	put_number(out, f, "marked", s->marked);
	put_number(out, f, "octets", s->octets);
	put_number(out, f, "front", s->front);
	put_number(out, f, "session", s->session);
	buf_put_str(out, f->end);
}

void
who_render(const struct who_list *l, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++)
		put_session(out, &plain, &l->at[i]);
}

void
who_render_json(const struct who_list *l, struct buf *out)
{
	buf_put_str(out, "[");
	for (size_t i = 0; i < l->n; i++) {
		buf_put_str(out, i > 0 ? ",\n" : "");
		put_session(out, &json, &l->at[i]);
	}
	buf_put_str(out, "]\n");
}

/* ---- answers of auth ---- */

/* The next pair, taken off the front; false at the end, or where it is malformed. */
static bool
next_pair(struct view *pairs, struct view *ret_key, struct view *ret_value)
{
	if (pairs->n < 1 || pairs->n < 3u + pairs->p[0])
		return false;
	size_t key = pairs->p[0];
	const uint8_t *p = pairs->p + 1 + key;
	size_t value = (size_t)p[0] | (size_t)p[1] << 8;
	if (pairs->n < 3 + key + value || key == 0)
		return false;
	*ret_key = (struct view){pairs->p + 1, key};
	*ret_value = (struct view){p + 2, value};
	pairs->p += 3 + key + value;
	pairs->n -= 3 + key + value;
	return true;
}

/* No line of its own, and nothing for a terminal to obey. */
static void
put_shown(struct buf *out, struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		buf_put_u8(out, v.p[i] >= 0x20 && v.p[i] < 0x7f ? v.p[i] : '?');
}

bool
why_render(struct view pairs, struct buf *out)
{
	struct view key, value;

	while (next_pair(&pairs, &key, &value)) {
		put_shown(out, key);
		buf_put_str(out, ": ");
		put_shown(out, value);
		buf_put_str(out, "\n");
	}
	return pairs.n == 0;
}

struct view
why_value(struct view pairs, const char *key)
{
	struct view k, value, wanted = {(const uint8_t *)key, strlen(key)};

	while (next_pair(&pairs, &k, &value))
		if (view_equal(k, wanted))
			return value;
	return (struct view){NULL, 0};
}
