#include "conf/manual.h"

#include <stdio.h>
#include <string.h>

static void
print_limits(const struct conf_row *row)
{
	unsigned long long min = row->min, max = row->max;

	switch (row->type) {
	case CONF_TYPE_BOOL: (void)printf("yes or no"); break;
	case CONF_TYPE_NUMBER: (void)printf("a number, %llu to %llu", min, max); break;
	case CONF_TYPE_DURATION:
	case CONF_TYPE_SECONDS:
		(void)printf("a duration, %llu to %llu seconds", min / 1000, max / 1000);
		break;
	case CONF_TYPE_SIZE: (void)printf("a size, %llu to %llu octets", min, max); break;
	case CONF_TYPE_TEXT:
	case CONF_TYPE_SECRET: (void)printf("a text"); break;
	case CONF_TYPE_TEXTS:
		(void)printf("a text, and may be given several times");
		break;
	case CONF_TYPE_PATH: (void)printf("an absolute path"); break;
	case CONF_TYPE_LIST: (void)printf("a list of up to %llu", max); break;
	case CONF_TYPE_ENUM: (void)printf("one of"); break;
	}
	if (row->type != CONF_TYPE_ENUM && row->words)
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

void
manual_help(const char *help)
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

static void
print_row(const struct conf_row *row)
{
	(void)printf(".It Cm %s\n", row->name);
	manual_help(row->help);
	(void)printf("Takes ");
	print_limits(row);
	print_words(row->words);
	if (row->def[0])
		(void)printf(".Pq default: Cm %s\n", row->def);
}

void
manual_options(const struct conf_row *rows, size_t n, uint32_t sections,
	const char *const *titles)
{
	const char *title = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!(sections & (1u << rows[i].section)))
			continue;
		const char *own = titles[rows[i].section];
		if (own && (!title || strcmp(own, title) != 0))
			(void)printf(".El\n.Ss %s\n.Bl -tag -width Ds\n", own);
		title = own ? own : title;
		print_row(&rows[i]);
	}
}
