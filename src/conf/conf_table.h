/*
 * conf_table.h: the table of options: options.def as rows.
 */
#ifndef CONF_CONF_TABLE_H
#define CONF_CONF_TABLE_H

#include "conf/conf.h"

enum conf_section { CONF_SECTION_GLOBAL, CONF_SECTION_LISTENER };
enum conf_type {
	CONF_TYPE_BOOL,
	CONF_TYPE_NUMBER,
	CONF_TYPE_DURATION,
	CONF_TYPE_TEXT,
	CONF_TYPE_PATH,
	CONF_TYPE_LIST,
	CONF_TYPE_ENUM
};

struct conf_row {
	const char *name;
	enum conf_section section;
	enum conf_type type;
	const char *def; /* as in a file; "" none */
	uint64_t min, max;
	const char *words; /* or NULL */
	const char *help;
	size_t offset; /* of the field in struct conf or struct conf_listener */
};
extern const struct conf_row conf_rows[CONF_OPTIONS];

/* The row of that name, or NULL. */
const struct conf_row *conf_row_find(enum conf_section section, struct view name);
/* The most similar name of that section, or NULL if none is near. */
const char *conf_suggest(enum conf_section section, struct view name);

#endif
