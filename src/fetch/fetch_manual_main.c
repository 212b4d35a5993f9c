/*
 * fetch_manual_main.c: the options of restante-fetch.conf(5), or with the argument `line`
 * those of restante-fetch(1), in mdoc, from the table. Run by the build only.
 */
#include "conf/manual.h"
#include "fetch/settings_table.h"

#include <stdio.h>
#include <string.h>

/* --the-name as mdoc's Fl, whose own dash is the first. */
static void
print_line_option(const struct conf_row *row)
{
	char option[CONF_NAME_OCTETS_MAX + 3];

	(void)printf(".It Fl %s", conf_as_option(row->name, option) + 1);
	if (row->argument)
		(void)printf(" Ar %s", row->argument);
	(void)printf("\n");
	manual_help(row->help);
}

int
main(int argc, char **argv)
{
	static const char *const titles[] = {
		[FETCH_SECTION_ACCOUNT] = "Options of an account",
		[FETCH_SECTION_ACCOUNT_FILE] = "Options of an account"};
	bool line = argc > 1 && strcmp(argv[1], "line") == 0;

	if (!line)
		manual_options(fetch_rows, FETCH_OPTIONS, FETCH_ON_TOP | FETCH_IN_ACCOUNT,
			titles);
	for (size_t i = 0; line && i < FETCH_OPTIONS; i++)
		if (FETCH_ON_LINE & (1u << fetch_rows[i].section))
			print_line_option(&fetch_rows[i]);
	return 0;
}
