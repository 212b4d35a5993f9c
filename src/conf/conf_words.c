/* conf_words.c: words of a list, found in the table of those that are known. */
#include "base/ascii.h"
#include "conf/conf_checks.h"

#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

size_t
conf_find_word(struct conf_reader *r, const char *option, uint32_t line, const char *word,
	const char *const *names, size_t n)
{
	struct view given = view_of(word);
	const char *near = NULL;
	size_t best = SIZE_MAX, d;

	for (size_t i = 1; i < n; i++) {
		if (!names[i])
			continue;
		if (ascii_equal_nocase(given, view_of(names[i])))
			return i;
		if (conf_name_is_near(given, view_of(names[i]), &d) && d < best) {
			best = d;
			near = names[i];
		}
	}
	if (near)
		ini_report(&r->ini, line, "%s: %.40s is not known, did you mean %s?",
			option, word, near);
	else
		ini_report(&r->ini, line, "%s: %.40s is not known, see restante.conf(5)",
			option, word);
	return 0;
}
