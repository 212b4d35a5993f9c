#include "conf/conf_table.h"

#include <string.h>

#define CONF_OFFSET_GLOBAL(type, name) offsetof(struct conf, CONF_AT_##type(name))
#define CONF_OFFSET_LISTENER(type, name)                                                 \
	offsetof(struct conf_listener, CONF_AT_##type(name))
#define CONF_OFFSET_CERTIFICATE(type, name)                                              \
	offsetof(struct conf_certificate, CONF_AT_##type(name))

const struct conf_row conf_rows[CONF_OPTIONS] = {
#define OPTION(section, type, name, def, min, max, words, help)                          \
	{#name, CONF_SECTION_##section, CONF_TYPE_##type, def, min, max, words, help,    \
		CONF_OFFSET_##section(type, name), NULL},
#include "conf/options.def"
#undef OPTION
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

const struct conf_row *
conf_row_find(enum conf_section section, struct view name)
{
	return conf_type_find(conf_rows, CONF_OPTIONS, 1u << section, name);
}

const char *
conf_suggest(enum conf_section section, struct view name)
{
	return conf_type_suggest(conf_rows, CONF_OPTIONS, 1u << section, name);
}

struct view
conf_get(const struct conf *c, const char *name)
{
	const struct conf_row *row = conf_row_find(CONF_SECTION_GLOBAL, view_of(name));

	return row ? c->texts[row - conf_rows] : (struct view){NULL, 0};
}

struct view
conf_listener_get(const struct conf_listener *l, const char *name)
{
	const struct conf_row *row = conf_row_find(CONF_SECTION_LISTENER, view_of(name));

	return row ? l->texts[row - conf_rows] : (struct view){NULL, 0};
}
