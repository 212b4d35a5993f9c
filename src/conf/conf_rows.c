#include "base/ascii.h"
#include "conf/conf_table.h"

#include <string.h>

#define CONF_AT_NUMBER(name)	       name
#define CONF_AT_BOOL(name)	       name
#define CONF_AT_DURATION(name)	       name##_ms
#define CONF_AT_TEXT(name)	       name
#define CONF_AT_PATH(name)	       name
#define CONF_AT_LIST(name)	       name
#define CONF_AT_ENUM(name)	       name
#define CONF_OFFSET_GLOBAL(type, name) offsetof(struct conf, CONF_AT_##type(name))
#define CONF_OFFSET_LISTENER(type, name)                                                 \
	offsetof(struct conf_listener, CONF_AT_##type(name))

const struct conf_row conf_rows[CONF_OPTIONS] = {
#define OPTION(section, type, name, def, min, max, words, help)                          \
	{#name, CONF_SECTION_##section, CONF_TYPE_##type, def, min, max, words, help,    \
		CONF_OFFSET_##section(type, name)},
#include "conf/options.def"
#undef OPTION
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

const struct conf_row *
conf_row_find(enum conf_section section, struct view name)
{
	for (size_t i = 0; i < CONF_OPTIONS; i++)
		if (conf_rows[i].section == section &&
			view_equal(view_of(conf_rows[i].name), name))
			return &conf_rows[i];
	return NULL;
}

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/*
 * Levenshtein's distance where two letters in the wrong order count as one mistake, three
 * rows of the table at a time. Both at most CONF_NAME_OCTETS_MAX.
 */
static size_t
distance(struct view a, struct view b)
{
	size_t rows[3][CONF_NAME_OCTETS_MAX + 1];

	for (size_t j = 0; j <= b.n; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *now = rows[i % 3], *above = rows[(i - 1) % 3],
		       *two = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			uint8_t x = ascii_lower(a.p[i - 1]), y = ascii_lower(b.p[j - 1]);
			now[j] = least(
				above[j] + 1, now[j - 1] + 1, above[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == ascii_lower(b.p[j - 2]) &&
				y == ascii_lower(a.p[i - 2]))
				now[j] = least(now[j], two[j - 2] + 1, SIZE_MAX);
		}
	}
	return rows[a.n % 3][b.n];
}

const char *
conf_suggest(enum conf_section section, struct view name)
{
	const char *best = NULL;
	size_t best_d = SIZE_MAX;

	if (name.n > CONF_NAME_OCTETS_MAX)
		return NULL;
	for (size_t i = 0; i < CONF_OPTIONS; i++) {
		if (conf_rows[i].section != section)
			continue;
		struct view known = view_of(conf_rows[i].name);
		size_t d = distance(name, known);
		/* A third of the letters may be wrong, or one of a short name. */
		if (d <= 1 + known.n / 4 && d < best_d) {
			best_d = d;
			best = conf_rows[i].name;
		}
	}
	return best;
}

struct view
conf_get(const struct conf *c, const char *name)
{
	const struct conf_row *row = conf_row_find(CONF_SECTION_GLOBAL, view_of(name));

	return row ? c->texts[row - conf_rows] : (struct view){NULL, 0};
}

struct view
conf_listener_get(const struct conf_listener *l, const char *name)
{
	const struct conf_row *row = conf_row_find(CONF_SECTION_LISTENER, view_of(name));

	return row ? l->texts[row - conf_rows] : (struct view){NULL, 0};
}
