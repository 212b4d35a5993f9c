#include "fetch/settings_table.h"

const struct conf_row fetch_rows[FETCH_OPTIONS] = {
#define OPTION(section, type, name, def, min, max, words, argument, help)                \
	{#name, FETCH_SECTION_##section, CONF_TYPE_##type, def, min, max, words, help,   \
		offsetof(struct fetch_values, CONF_AT_##type(name)), argument},
#include "fetch/fetch_options.def"
#undef OPTION
};
