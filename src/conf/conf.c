#include "base/ascii.h"
#include "base/check.h"
#include "conf/conf_reader.h"

#include <string.h>

/* The text within the brackets of [listener NAME]. */
static void
open_listener(struct conf_reader *r, struct view name)
{
	struct conf *c = r->conf;
	char shown[CONF_SHOWN_MAX];

	if (!ini_is_name(name, "_-.")) {
		ini_report(&r->ini, r->ini.line,
			"a listener's name has 1 to %d letters, digits, `_`, `-` or `.`: "
			"write "
			"[listener NAME]",
			CONF_NAME_OCTETS_MAX);
		return;
	}
	for (size_t i = 0; i < c->listeners_n; i++) {
		if (!view_equal((struct view){(const uint8_t *)c->listeners[i].name,
					strlen(c->listeners[i].name)},
			    name))
			continue;
		ini_report(&r->ini, r->ini.line,
			"listener %s is there since line %u already, name it otherwise",
			conf_shown(name, shown), c->listeners[i].line);
		return;
	}
	if (c->listeners_n == CONF_LISTENERS_MAX) {
		ini_report(&r->ini, r->ini.line, "more than %d listeners, remove some",
			CONF_LISTENERS_MAX);
		return;
	}
	r->section = &c->listeners[c->listeners_n++];
	r->section->name = ini_keep(&r->ini, name);
	r->section->line = r->ini.line;
	r->ini.skip = false;
}

static void
read_section(struct ini_handler *h, struct view inner)
{
	struct conf_reader *r = (struct conf_reader *)h;
	char shown[CONF_SHOWN_MAX];
	struct view name;

	r->section = NULL;
	r->ini.skip =
		true; /* options of an unknown section would only give more errors */
	if (ini_section_name(inner, VIEW("listener"), &name)) {
		open_listener(r, name);
		return;
	}
	ini_report(&r->ini, r->ini.line,
		"[%s]: there is no such section, only [listener NAME]; other options "
		"stand before the first section",
		conf_shown(inner, shown));
}

static void
unknown_name(struct conf_reader *r, struct view name)
{
	enum conf_section here = r->section ? CONF_SECTION_LISTENER : CONF_SECTION_GLOBAL;
	enum conf_section there =
		r->section ? CONF_SECTION_GLOBAL : CONF_SECTION_LISTENER;
	const char *near = conf_suggest(here, name);
	char shown[CONF_SHOWN_MAX];

	if (conf_row_find(there, name))
		ini_report(&r->ini, r->ini.line,
			r->section ? "%s is no option of a listener, put it before the "
				     "first section"
				   : "%s is an option of a listener, put it below "
				     "[listener NAME]",
			conf_shown(name, shown));
	else if (near)
		ini_report(&r->ini, r->ini.line, "%s: no such option, did you mean %s?",
			conf_shown(name, shown), near);
	else
		ini_report(&r->ini, r->ini.line,
			"%s: no such option, see restante.conf(5)",
			conf_shown(name, shown));
}

static void
read_option(struct ini_handler *h, struct view name, struct view value)
{
	struct conf_reader *r = (struct conf_reader *)h;
	enum conf_section here = r->section ? CONF_SECTION_LISTENER : CONF_SECTION_GLOBAL;
	const struct conf_row *row = conf_row_find(here, name);

	if (!row) {
		unknown_name(r, name);
		return;
	}
	uint32_t *lines = r->section ? r->section->lines : r->conf->lines;
	size_t i = (size_t)(row - conf_rows);
	if (lines[i] > 0) {
		ini_report(&r->ini, r->ini.line,
			"%s was set in line %u already, remove one of them", row->name,
			lines[i]);
		return;
	}
	lines[i] = r->ini.line; /* also when it is wrong: no second error for the same
				   option */
	if (ini_unquote(&r->ini, &value))
		(void)conf_value_set(
			r, row, value, r->section); /* has reported what is wrong */
}

size_t
conf_load(struct view text, const char *file, const struct conf_facts *facts,
	struct conf_sink *sink, struct conf *conf)
{
	struct conf_reader r = {.handler = {read_section, read_option}, .conf = conf};

	memset(conf, 0, sizeof(*conf));
	r.ini = (struct ini){.file = file,
		.sink = sink,
		.pool = conf->pool,
		.pool_cap = sizeof(conf->pool)};
	if (text.n > CONF_FILE_OCTETS_MAX) {
		ini_report(&r.ini, 0, "the file is larger than %d octets, shorten it",
			CONF_FILE_OCTETS_MAX);
		return r.ini.errors;
	}
	ini_read(&r.ini, &r.handler, text);
	conf_defaults(&r, facts);
	conf_check(&r);
	return r.ini.errors;
}
