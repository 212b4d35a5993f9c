/*
 * manual_main.c: the options of restante.conf(5), in mdoc, from the table. Run by the
 * build only: head and tail of the page stand under man/.
 */
#include "conf/conf_table.h"
#include "conf/manual.h"

int
main(void)
{
	static const char *const titles[] = {
		NULL, "Options of a listener", "Options of a certificate"};

	manual_options(conf_rows, CONF_OPTIONS,
		1u << CONF_SECTION_GLOBAL | 1u << CONF_SECTION_LISTENER |
			1u << CONF_SECTION_CERTIFICATE,
		titles);
	return 0;
}
