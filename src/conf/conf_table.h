/*
 * conf_table.h: the table of options: options.def as rows.
 */
#ifndef CONF_CONF_TABLE_H
#define CONF_CONF_TABLE_H

#include "conf/conf.h"

enum conf_section {
	CONF_SECTION_GLOBAL,
	CONF_SECTION_LISTENER,
	CONF_SECTION_CERTIFICATE,
	CONF_SECTIONS
};

extern const struct conf_row conf_rows[CONF_OPTIONS];

/* The row of that name, or NULL. */
const struct conf_row *conf_row_find(enum conf_section section, struct view name);
/* The most similar name of that section, or NULL if none is near. */
const char *conf_suggest(enum conf_section section, struct view name);

#endif
