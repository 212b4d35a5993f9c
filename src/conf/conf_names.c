#include "base/ascii.h"
#include "conf/conf_type.h"

#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static bool
is_in(const struct conf_row *row, uint32_t sections)
{
	return (sections & (1u << row->section)) != 0;
}

const struct conf_row *
conf_type_find(const struct conf_row *rows, size_t n, uint32_t sections, struct view name)
{
	for (size_t i = 0; i < n; i++)
		if (is_in(&rows[i], sections) && view_equal(view_of(rows[i].name), name))
			return &rows[i];
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
size_t
conf_name_distance(struct view a, struct view b)
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

bool
conf_name_is_near(struct view wrong, struct view known, size_t *ret_distance)
{
	if (wrong.n > CONF_NAME_OCTETS_MAX || known.n > CONF_NAME_OCTETS_MAX)
		return false;
	*ret_distance = conf_name_distance(wrong, known);
	/* A fourth of the letters may be wrong, or one of a short name. */
	return *ret_distance <= 1 + known.n / 4;
}

const char *
conf_type_suggest(
	const struct conf_row *rows, size_t n, uint32_t sections, struct view name)
{
	const char *best = NULL;
	size_t best_d = SIZE_MAX, d;

	for (size_t i = 0; i < n; i++) {
		if (!is_in(&rows[i], sections) ||
			!conf_name_is_near(name, view_of(rows[i].name), &d) ||
			d >= best_d)
			continue;
		best_d = d;
		best = rows[i].name;
	}
	return best;
}
