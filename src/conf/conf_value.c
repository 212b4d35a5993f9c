#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "conf/conf_reader.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Units of a duration; none alone means nothing but 0. */
static const struct {
	const char *name;
	uint64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static bool
wrong(struct conf_reader *r, const struct conf_row *row, struct view value,
	const char *wanted)
{
	char shown[CONF_SHOWN_MAX];

	conf_report(r, r->line, "%s = %s: must be %s", row->name,
		conf_shown(value, shown), wanted);
	return false;
}

static bool
out_of_range(struct conf_reader *r, const struct conf_row *row, struct view value)
{
	char wanted[96];

	snprintf(wanted, sizeof(wanted), "a number from %llu to %llu%s%s",
		(unsigned long long)row->min, (unsigned long long)row->max,
		row->words ? ", or " : "", row->words ? row->words : "");
	return wrong(r, row, value, wanted);
}

static bool
read_bool(struct conf_reader *r, const struct conf_row *row, struct view value, bool *ret)
{
	*ret = view_equal(value, VIEW("yes"));
	return *ret || view_equal(value, VIEW("no")) || wrong(r, row, value, "yes or no");
}

static bool
read_number(struct conf_reader *r, const struct conf_row *row, struct view value,
	uint64_t *ret)
{
	if (row->words && view_equal(value, view_of(row->words))) {
		*ret = CONF_NEVER;
		return true;
	}
	if (!num_decimal(value, row->max, ret) || *ret < row->min)
		return out_of_range(r, row, value);
	return true;
}

/* The largest unit that gives it without a rest. */
static void
put_duration(struct buf *b, uint64_t ms)
{
	size_t i = ARRAY_SIZE(units) - 1;

	while (i > 0 && (ms % units[i].ms != 0 || ms == 0))
		i--;
	buf_put_dec(b, ms / units[i].ms);
	if (ms > 0)
		buf_put_str(b, units[i].name);
	buf_put_u8(b, 0);
}

static bool
read_duration(struct conf_reader *r, const struct conf_row *row, struct view value,
	uint64_t *ret)
{
	struct view digits = value;
	uint64_t n;
	char range[128], low[24], high[24];
	struct buf bl = buf_over(low, sizeof(low)), bh = buf_over(high, sizeof(high));

	while (digits.n > 0 && !ascii_is_digit(digits.p[digits.n - 1]))
		digits.n--;
	struct view unit = {value.p + digits.n, value.n - digits.n};
	if (num_decimal(digits, UINT64_MAX, &n)) {
		bool known = unit.n == 0 && n == 0;
		for (size_t i = 0; i < ARRAY_SIZE(units) && !known; i++)
			if (view_equal(unit, view_of(units[i].name)))
				known = num_mul(n, units[i].ms, &n);
		if (known && n >= row->min && n <= row->max) {
			*ret = n;
			return true;
		}
	}
	put_duration(&bl, row->min);
	put_duration(&bh, row->max);
	snprintf(range, sizeof(range),
		"a duration from %s to %s, written as 500ms, 30s, 10m, 24h or 7d", low,
		high);
	return wrong(r, row, value, range);
}

bool
conf_path_is_normal(struct view v)
{
	size_t start = 1;

	if (v.n < 2 || v.p[0] != '/')
		return false;
	for (size_t i = 1; i <= v.n; i++) {
		if (i < v.n && v.p[i] != '/')
			continue;
		size_t n = i - start;
		if (n == 0 || (n == 1 && v.p[start] == '.') ||
			(n == 2 && v.p[start] == '.' && v.p[start + 1] == '.'))
			return false;
		start = i + 1;
	}
	return true;
}

static bool
read_text(struct conf_reader *r, const struct conf_row *row, struct view value,
	const char **ret)
{
	char wanted[96];

	if (value.n < row->min || value.n > row->max) {
		snprintf(wanted, sizeof(wanted), "%llu to %llu octets long",
			(unsigned long long)row->min, (unsigned long long)row->max);
		return wrong(r, row, value, wanted);
	}
	if (row->type == CONF_TYPE_PATH && !conf_path_is_normal(value))
		return wrong(r, row, value,
			"an absolute path without `.`, `..`, `//` or a slash at its end");
	*ret = conf_keep(r, value);
	return true;
}

static bool
read_list(struct conf_reader *r, const struct conf_row *row, struct view value,
	struct conf_list *ret)
{
	char wanted[64];
	size_t at = 0;

	CHECK(row->max <= CONF_LIST_MAX);
	ret->n = 0;
	while (at < value.n) {
		size_t n = 0;
		while (at + n < value.n && value.p[at + n] != ' ' &&
			value.p[at + n] != '\t' && value.p[at + n] != ',')
			n++;
		if (n > 0 && ret->n >= row->max) {
			snprintf(wanted, sizeof(wanted), "a list of at most %llu",
				(unsigned long long)row->max);
			return wrong(r, row, value, wanted);
		}
		if (n > 0)
			ret->at[ret->n++] = conf_keep(r, (struct view){value.p + at, n});
		at += n + 1;
	}
	return ret->n >= row->min || wrong(r, row, value, "a list of at least one");
}

/* `words` is "a,b|c": values, each with its spellings, the first of which is kept. */
static bool
read_enum(struct conf_reader *r, const struct conf_row *row, struct view value,
	uint8_t *ret, struct view *ret_canonical)
{
	const char *p = row->words;
	struct view first = {(const uint8_t *)p, strcspn(p, ",|")};
	char wanted[96];

	for (uint8_t i = 0;;) {
		struct view word = {(const uint8_t *)p, strcspn(p, ",|")};
		if (view_equal(word, value)) {
			*ret = i;
			*ret_canonical = first;
			return true;
		}
		p += word.n;
		if (*p == '\0')
			break;
		if (*p++ == '|') {
			i++;
			first = (struct view){(const uint8_t *)p, strcspn(p, ",|")};
		}
	}
	struct buf b = buf_over(wanted, sizeof(wanted) - 1);
	buf_put_str(&b, "one of ");
	for (p = row->words; *p; p++) {
		if (*p == '|')
			buf_put_str(&b, ", ");
		else
			buf_put_u8(&b, *p == ',' ? '/' : (uint8_t)*p);
	}
	wanted[b.n] = '\0';
	return wrong(r, row, value, wanted);
}

static bool
read_typed(struct conf_reader *r, const struct conf_row *row, struct view *value,
	void *field)
{
	switch (row->type) {
	case CONF_TYPE_BOOL: return read_bool(r, row, *value, field);
	case CONF_TYPE_NUMBER: return read_number(r, row, *value, field);
	case CONF_TYPE_DURATION: return read_duration(r, row, *value, field);
	case CONF_TYPE_TEXT: return read_text(r, row, *value, field);
	case CONF_TYPE_PATH: return read_text(r, row, *value, field);
	case CONF_TYPE_LIST: return read_list(r, row, *value, field);
	case CONF_TYPE_ENUM: return read_enum(r, row, *value, field, value);
	}
	UNREACHABLE();
}

bool
conf_value_set(struct conf_reader *r, const struct conf_row *row, struct view value,
	struct conf_listener *l)
{
	bool listener = row->section == CONF_SECTION_LISTENER;
	size_t i = (size_t)(row - conf_rows);

	CHECK(i < CONF_OPTIONS);
	CHECK(!listener || l);
	uint8_t *base = listener ? (uint8_t *)l : (uint8_t *)r->conf;
	void *field = base + row->offset;
	if (value.n == 0 && row->def[0] == '\0') {
		/* The field is zero already; only texts need to point somewhere. */
		if (row->type == CONF_TYPE_TEXT || row->type == CONF_TYPE_PATH)
			*(const char **)field = "";
	} else if (!read_typed(r, row, &value, field)) {
		return false;
	}
	struct view kept = {(const uint8_t *)conf_keep(r, value), value.n};
	if (listener)
		l->texts[i] = kept;
	else
		r->conf->texts[i] = kept;
	return true;
}

bool
conf_address_read(struct view text, struct conf_address *ret)
{
	struct conf_address a = {0};
	size_t colon = text.n;
	char host[64];
	uint64_t port;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon < 2 || colon - 1 >= sizeof(host))
		return false;
	if (!num_decimal((struct view){text.p + colon, text.n - colon}, 65535, &port))
		return false;
	a.port = (uint16_t)port;
	size_t n = colon - 1;
	bool v6 = n > 2 && text.p[0] == '[' && text.p[n - 1] == ']';
	memcpy(host, text.p + v6, n - 2 * (size_t)v6);
	host[n - 2 * (size_t)v6] = '\0';
	if (v6) {
		if (inet_pton(AF_INET6, host, a.ip) != 1)
			return false;
	} else if (strcmp(host, "*") == 0) {
		a.any = true;
	} else {
		a.v4 = true;
		a.ip[10] = a.ip[11] = 0xff;
		if (inet_pton(AF_INET, host, a.ip + 12) != 1)
			return false;
	}
	*ret = a;
	return true;
}
