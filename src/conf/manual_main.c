/*
 * manual_main.c: the options of restante.conf(5), in mdoc, from the table. Run by the
 * build only: head and tail of the page stand under man/.
 */
#include "conf/conf_table.h"

#include <stdio.h>
#include <string.h>

static const char *const sections[] = {NULL, "Options of a listener"};

static void
print_limits(const struct conf_row *row)
{
	unsigned long long min = row->min, max = row->max;

	switch (row->type) {
	case CONF_TYPE_BOOL: (void)printf("yes or no"); break;
	case CONF_TYPE_NUMBER: (void)printf("a number, %llu to %llu", min, max); break;
	case CONF_TYPE_DURATION:
		(void)printf("a duration, %llu to %llu seconds", min / 1000, max / 1000);
		break;
	case CONF_TYPE_TEXT: (void)printf("a text"); break;
	case CONF_TYPE_PATH: (void)printf("an absolute path"); break;
	case CONF_TYPE_LIST: (void)printf("a list of up to %llu", max); break;
	case CONF_TYPE_ENUM: (void)printf("one of"); break;
	}
	if (row->type == CONF_TYPE_NUMBER && row->words)
		(void)printf(", or");
	(void)printf("\n");
}

/* "never,no|loopback" becomes "never (or no), loopback". */
static void
print_words(const char *words)
{
	if (!words)
		return;
	(void)printf(".Cm ");
	for (const char *p = words; *p; p++) {
		if (*p == '|')
			(void)printf(" , ");
		else if (*p == ',')
			(void)printf(" No = Cm ");
		else
			(void)putchar(*p);
	}
	(void)printf("\n");
}

/* Sentences, one a line, as mdoc wants them, and lines short enough for its checker. */
static void
print_help(const char *help)
{
	size_t column = 0;

	for (const char *p = help; *p; p++) {
		bool sentence = p > help && p[-1] == '.' && *p == ' ';
		bool wrap = *p == ' ' && column + strcspn(p + 1, " ") + 1 > 76;
		if (sentence || wrap) {
			(void)putchar('\n');
			column = 0;
		} else {
			(void)putchar(*p);
			column++;
		}
	}
	(void)putchar('\n');
}

int
main(void)
{
	enum conf_section section = CONF_SECTION_GLOBAL;

	for (size_t i = 0; i < CONF_OPTIONS; i++) {
		const struct conf_row *row = &conf_rows[i];
		if (row->section != section) {
			section = row->section;
			(void)printf(
				".El\n.Ss %s\n.Bl -tag -width Ds\n", sections[section]);
		}
		(void)printf(".It Cm %s\n", row->name);
		print_help(row->help);
		(void)printf("Takes ");
		print_limits(row);
		print_words(row->words);
		if (row->def[0])
			(void)printf(".Pq default: Cm %s\n", row->def);
	}
	return 0;
}
