/*
 * settings_table.h: fetch_options.def as rows, and the struct that their values fill.
 */
#ifndef FETCH_SETTINGS_TABLE_H
#define FETCH_SETTINGS_TABLE_H

#include "conf/conf_type.h"

enum fetch_section {
	FETCH_SECTION_COMMAND,
	FETCH_SECTION_RUN,
	FETCH_SECTION_ACCOUNT,
	FETCH_SECTION_ACCOUNT_FILE,
	FETCH_SECTION_ACCOUNT_LINE,
};
#define FETCH_IN(section) (1u << FETCH_SECTION_##section)
/* What may stand on the command line, in front of the file's sections, and in them. */
#define FETCH_ON_LINE                                                                    \
	(FETCH_IN(COMMAND) | FETCH_IN(RUN) | FETCH_IN(ACCOUNT) | FETCH_IN(ACCOUNT_LINE))
#define FETCH_ON_TOP	 FETCH_IN(RUN)
#define FETCH_IN_ACCOUNT (FETCH_IN(ACCOUNT) | FETCH_IN(ACCOUNT_FILE))

enum fetch_option {
#define OPTION(section, type, name, ...) FETCH_OPTION_##name,
#include "fetch/fetch_options.def"
#undef OPTION
	FETCH_OPTIONS
};

extern const struct conf_row fetch_rows[FETCH_OPTIONS];

/* Where a value is from; a later one wins. */
enum fetch_level {
	FETCH_FROM_ROW,
	FETCH_FROM_FILE, /* its top, or [defaults] */
	FETCH_FROM_ACCOUNT,
	FETCH_FROM_LINE,
};

struct fetch_values {
#define OPTION(section, type, name, ...) CONF_FIELD_##type(name)
#include "fetch/fetch_options.def"
#undef OPTION
	uint32_t lines[FETCH_OPTIONS]; /* of the file */
	uint8_t levels[FETCH_OPTIONS]; /* enum fetch_level */
};

#endif
