#include "fetch/settings.h"
#include "fetch/settings_table.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 26
#define HELP_WIDTH  80

/* Words up to the width, each further line below the first. */
static void
put_wrapped(const char *text)
{
	size_t column = HELP_COLUMN;

	while (*text) {
		size_t n = strcspn(text, " ");
		if (column > HELP_COLUMN && column + 1 + n > HELP_WIDTH) {
			(void)printf("\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
		} else if (column > HELP_COLUMN) {
			(void)putchar(' ');
			column++;
		}
		(void)printf("%.*s", (int)n, text);
		column += n;
		text += n + strspn(text + n, " ");
	}
	(void)putchar('\n');
}

static void
put_row(const struct conf_row *row)
{
	char option[CONF_NAME_OCTETS_MAX + 3];
	int n = printf("  %s%s%s", conf_as_option(row->name, option),
		row->argument ? " " : "", row->argument ? row->argument : "");

	if (n < 0)
		return;
	if (n + 2 > HELP_COLUMN)
		(void)printf("\n%*s", HELP_COLUMN, "");
	else
		(void)printf("%*s", HELP_COLUMN - n, "");
	put_wrapped(row->help);
}

static void
put_rows(const char *title, uint32_t sections)
{
	(void)printf("\n%s\n", title);
	for (size_t i = 0; i < FETCH_OPTIONS; i++)
		if (sections & (1u << fetch_rows[i].section))
			put_row(&fetch_rows[i]);
}

void
settings_help(void)
{
	(void)printf(
		"usage: restante fetch [-c FILE] [ACCOUNT...] [OPTION...]\n"
		"       restante fetch --server HOST:PORT --user USER --password-file "
		"FILE\n"
		"                      --tls none|stls|tls --maildir DIR [OPTION...]\n"
		"       restante fetch --list | --status [ACCOUNT...]\n"
		"       restante fetch --configure USER@DOMAIN\n"
		"\nCollects mail from POP3 servers, each message exactly once.\n");
	put_rows("What to do:", FETCH_IN(COMMAND));
	put_rows("The whole run, also in the file:", FETCH_IN(RUN));
	put_rows("Each account, also in the file (with _ for -):", FETCH_IN(ACCOUNT));
	put_rows("Each account, here only:", FETCH_IN(ACCOUNT_LINE));
	(void)printf(
		"\nThe file: restante-fetch.conf(5). Exit status: 0 also where there "
		"was\n"
		"nothing new, 64 wrong usage, 65 something put aside, 69 unreachable,\n"
		"75 later, 76 protocol or certificate, 77 login refused, 78 wrong "
		"file.\n");
}
