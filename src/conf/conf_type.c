#include "conf/conf_type.h"
#include "base/ascii.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/num.h"

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

const char *
conf_as_option(const char *name, char option[CONF_NAME_OCTETS_MAX + 3])
{
	size_t n = strnlen(name, CONF_NAME_OCTETS_MAX);

	option[0] = option[1] = '-';
	for (size_t i = 0; i < n; i++)
		option[i + 2] = (char)(name[i] == '_' ? '-' : name[i]);
	option[n + 2] = '\0';
	return option;
}

static bool
wrong(struct ini *ini, const struct conf_row *row, struct view value, const char *wanted)
{
	char shown[CONF_SHOWN_MAX], option[CONF_NAME_OCTETS_MAX + 3];
	const char *what = conf_shown(value, shown);

	if (row->type == CONF_TYPE_SECRET)
		what = "(not shown)";
	if (ini->command_line)
		ini_report(ini, 0, "%s %s: must be %s", conf_as_option(row->name, option),
			what, wanted);
	else
		ini_report(
			ini, ini->line, "%s = %s: must be %s", row->name, what, wanted);
	return false;
}

static bool
out_of_range(struct ini *ini, const struct conf_row *row, struct view value)
{
	char wanted[96];

	snprintf(wanted, sizeof(wanted), "a number from %llu to %llu%s%s",
		(unsigned long long)row->min, (unsigned long long)row->max,
		row->words ? ", or " : "", row->words ? row->words : "");
	return wrong(ini, row, value, wanted);
}

static bool
read_bool(struct ini *ini, const struct conf_row *row, struct view value, bool *ret)
{
	*ret = view_equal(value, VIEW("yes"));
	return *ret || view_equal(value, VIEW("no")) ||
		wrong(ini, row, value, "yes or no");
}

static bool
read_number(struct ini *ini, const struct conf_row *row, struct view value, uint64_t *ret)
{
	if (row->words && view_equal(value, view_of(row->words))) {
		*ret = CONF_NEVER;
		return true;
	}
	if (!num_decimal(value, row->max, ret) || *ret < row->min)
		return out_of_range(ini, row, value);
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
read_duration(
	struct ini *ini, const struct conf_row *row, struct view value, uint64_t *ret)
{
	struct view digits = value;
	uint64_t n;
	char range[128], low[24], high[24];
	struct buf bl = buf_over(low, sizeof(low)), bh = buf_over(high, sizeof(high));

	if (row->words && view_equal(value, view_of(row->words))) {
		*ret = CONF_NEVER;
		return true;
	}
	while (digits.n > 0 && !ascii_is_digit(digits.p[digits.n - 1]))
		digits.n--;
	struct view unit = {value.p + digits.n, value.n - digits.n};
	if (num_decimal(digits, UINT64_MAX, &n)) {
		bool known = unit.n == 0 && n == 0;
		if (unit.n == 0 && row->type == CONF_TYPE_SECONDS)
			unit = VIEW("s");
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
		"a duration from %s to %s, written as 500ms, 30s, 10m, 24h or 7d%s%s",
		low, high, row->words ? ", or " : "", row->words ? row->words : "");
	return wrong(ini, row, value, range);
}

static bool
read_size(struct ini *ini, const struct conf_row *row, struct view value, uint64_t *ret)
{
	static const char letters[] = "kMG";
	struct view digits = value;
	char wanted[128];
	uint64_t n, unit = 1;

	if (row->words && view_equal(value, view_of(row->words))) {
		*ret = CONF_NEVER;
		return true;
	}
	for (size_t i = 0; i < 3 && digits.n > 0; i++)
		if (ascii_lower((uint8_t)letters[i]) ==
			ascii_lower(value.p[value.n - 1])) {
			unit = UINT64_C(1) << (10 * (i + 1));
			digits.n--;
			break;
		}
	if (num_decimal(digits, UINT64_MAX, &n) && num_mul(n, unit, &n) &&
		n >= row->min && n <= row->max) {
		*ret = n;
		return true;
	}
	snprintf(wanted, sizeof(wanted),
		"a size from %llu to %llu octets, written as 4000, 500k, 10M or 2G%s%s",
		(unsigned long long)row->min, (unsigned long long)row->max,
		row->words ? ", or " : "", row->words ? row->words : "");
	return wrong(ini, row, value, wanted);
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
fits(struct ini *ini, const struct conf_row *row, struct view value)
{
	char wanted[96];

	if (value.n >= row->min && value.n <= row->max)
		return true;
	snprintf(wanted, sizeof(wanted), "%llu to %llu octets long",
		(unsigned long long)row->min, (unsigned long long)row->max);
	return wrong(ini, row, value, wanted);
}

static bool
read_text(
	struct ini *ini, const struct conf_row *row, struct view value, const char **ret)
{
	if (!fits(ini, row, value))
		return false;
	*ret = ini_keep(ini, value);
	return true;
}

static bool
read_path(
	struct ini *ini, const struct conf_row *row, struct view *value, const char **ret)
{
	char path[CONF_PATH_OCTETS_MAX];

	if (!fits(ini, row, *value))
		return false;
	if (!ini->paths && !conf_path_is_normal(*value))
		return wrong(ini, row, *value,
			"an absolute path without `.`, `..`, `//` or a slash at its end");
	if (ini->paths) {
		if (!ini_path(ini->paths, *value, path))
			return wrong(ini, row, *value,
				ini->paths->here ? "a path" : "a path from / or ~/ on");
		*value = view_of(path);
		*ret = ini_keep(ini, *value);
		*value = view_of(*ret);
		return true;
	}
	*ret = ini_keep(ini, *value);
	return true;
}

static bool
read_texts(struct ini *ini, const struct conf_row *row, struct view value,
	struct conf_list *ret)
{
	char wanted[64];

	CHECK(ret->n <= CONF_LIST_MAX);
	if (!fits(ini, row, value))
		return false;
	if (ret->n == CONF_LIST_MAX) {
		snprintf(wanted, sizeof(wanted), "given at most %d times", CONF_LIST_MAX);
		return wrong(ini, row, value, wanted);
	}
	ret->lines[ret->n] = ini->line;
	ret->at[ret->n++] = ini_keep(ini, value);
	return true;
}

static bool
read_list(struct ini *ini, const struct conf_row *row, struct view value,
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
			return wrong(ini, row, value, wanted);
		}
		if (n > 0)
			ret->at[ret->n++] = ini_keep(ini, (struct view){value.p + at, n});
		at += n + 1;
	}
	return ret->n >= row->min || wrong(ini, row, value, "a list of at least one");
}

/* `words` is "a,b|c": values, each with its spellings, the first of which is kept. */
static bool
read_enum(struct ini *ini, const struct conf_row *row, struct view value, uint8_t *ret,
	struct view *ret_canonical)
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
	return wrong(ini, row, value, wanted);
}

static bool
read_typed(struct ini *ini, const struct conf_row *row, struct view *value, void *field)
{
	switch (row->type) {
	case CONF_TYPE_BOOL: return read_bool(ini, row, *value, field);
	case CONF_TYPE_NUMBER: return read_number(ini, row, *value, field);
	case CONF_TYPE_DURATION:
	case CONF_TYPE_SECONDS: return read_duration(ini, row, *value, field);
	case CONF_TYPE_SIZE: return read_size(ini, row, *value, field);
	case CONF_TYPE_TEXT:
	case CONF_TYPE_SECRET: return read_text(ini, row, *value, field);
	case CONF_TYPE_PATH: return read_path(ini, row, value, field);
	case CONF_TYPE_LIST: return read_list(ini, row, *value, field);
	case CONF_TYPE_TEXTS: return read_texts(ini, row, *value, field);
	case CONF_TYPE_ENUM: return read_enum(ini, row, *value, field, value);
	}
	UNREACHABLE();
}

/* What an option is that has an empty value. */
static void
clear(const struct conf_row *row, void *field)
{
	switch (row->type) {
	case CONF_TYPE_BOOL: *(bool *)field = false; break;
	case CONF_TYPE_NUMBER:
	case CONF_TYPE_DURATION:
	case CONF_TYPE_SECONDS:
	case CONF_TYPE_SIZE: *(uint64_t *)field = 0; break;
	case CONF_TYPE_TEXT:
	case CONF_TYPE_SECRET:
	case CONF_TYPE_PATH: *(const char **)field = ""; break;
	case CONF_TYPE_LIST:
	case CONF_TYPE_TEXTS: ((struct conf_list *)field)->n = 0; break;
	case CONF_TYPE_ENUM: *(uint8_t *)field = 0; break;
	}
}

size_t
conf_type_octets(enum conf_type type)
{
	switch (type) {
	case CONF_TYPE_BOOL: return sizeof(bool);
	case CONF_TYPE_NUMBER:
	case CONF_TYPE_DURATION:
	case CONF_TYPE_SECONDS:
	case CONF_TYPE_SIZE: return sizeof(uint64_t);
	case CONF_TYPE_TEXT:
	case CONF_TYPE_SECRET:
	case CONF_TYPE_PATH: return sizeof(const char *);
	case CONF_TYPE_LIST:
	case CONF_TYPE_TEXTS: return sizeof(struct conf_list);
	case CONF_TYPE_ENUM: return sizeof(uint8_t);
	}
	UNREACHABLE();
}

bool
conf_type_set(struct ini *ini, const struct conf_row *row, struct view value, void *field,
	struct view *ret)
{
	if (value.n == 0 && row->def[0] == '\0')
		clear(row, field);
	else if (!read_typed(ini, row, &value, field))
		return false;
	if (ret)
		*ret = (struct view){(const uint8_t *)ini_keep(ini, value), value.n};
	return true;
}
