#include "base/ascii.h"
#include "base/check.h"
#include "conf/conf_reader.h"

#include <string.h>

/* The text within the brackets of [kind NAME]. */
static bool
good_name(struct conf_reader *r, const char *kind, struct view name)
{
	if (ini_is_name(name, "_-."))
		return true;
	ini_report(&r->ini, r->ini.line,
		"a %s's name has 1 to %d letters, digits, `_`, `-` or `.`: write [%s "
		"NAME]",
		kind, CONF_NAME_OCTETS_MAX, kind);
	return false;
}

static bool
same_name(struct conf_reader *r, const char *kind, struct view name, const char *other,
	uint32_t line)
{
	char shown[CONF_SHOWN_MAX];

	if (!view_equal((struct view){(const uint8_t *)other, strlen(other)}, name))
		return false;
	ini_report(&r->ini, r->ini.line,
		"%s %s is there since line %u already, name it otherwise", kind,
		conf_shown(name, shown), line);
	return true;
}

static void
open_listener(struct conf_reader *r, struct view name)
{
	struct conf *c = r->conf;

	if (!good_name(r, "listener", name))
		return;
	for (size_t i = 0; i < c->listeners_n; i++)
		if (same_name(r, "listener", name, c->listeners[i].name,
			    c->listeners[i].line))
			return;
	if (c->listeners_n == CONF_LISTENERS_MAX) {
		ini_report(&r->ini, r->ini.line, "more than %d listeners, remove some",
			CONF_LISTENERS_MAX);
		return;
	}
	r->listener = &c->listeners[c->listeners_n++];
	r->listener->name = ini_keep(&r->ini, name);
	r->listener->line = r->ini.line;
	r->ini.skip = false;
}

static void
open_certificate(struct conf_reader *r, struct view name)
{
	struct conf *c = r->conf;

	if (!good_name(r, "certificate", name))
		return;
	for (size_t i = 0; i < c->certificates_n; i++)
		if (same_name(r, "certificate", name, c->certificates[i].name,
			    c->certificates[i].line))
			return;
	if (c->certificates_n == CONF_CERTIFICATES_MAX) {
		ini_report(&r->ini, r->ini.line, "more than %d certificates, remove some",
			CONF_CERTIFICATES_MAX);
		return;
	}
	r->certificate = &c->certificates[c->certificates_n++];
	r->certificate->name = ini_keep(&r->ini, name);
	r->certificate->line = r->ini.line;
	r->ini.skip = false;
}

static void
read_section(struct ini_handler *h, struct view inner)
{
	struct conf_reader *r = (struct conf_reader *)h;
	char shown[CONF_SHOWN_MAX];
	struct view name;

	r->listener = NULL;
	r->certificate = NULL;
	r->ini.skip =
		true; /* options of an unknown section would only give more errors */
	if (ini_section_name(inner, VIEW("listener"), &name)) {
		open_listener(r, name);
		return;
	}
	if (ini_section_name(inner, VIEW("certificate"), &name)) {
		open_certificate(r, name);
		return;
	}
	ini_report(&r->ini, r->ini.line,
		"[%s]: there is no such section, only [listener NAME] and [certificate "
		"NAME]; other options stand before the first section",
		conf_shown(inner, shown));
}

static enum conf_section
section_of(const struct conf_reader *r)
{
	if (r->listener)
		return CONF_SECTION_LISTENER;
	return r->certificate ? CONF_SECTION_CERTIFICATE : CONF_SECTION_GLOBAL;
}

/* The name is an option elsewhere: where it belongs. */
static const char *
belongs(struct view name)
{
	if (conf_row_find(CONF_SECTION_GLOBAL, name))
		return "before the first section";
	if (conf_row_find(CONF_SECTION_LISTENER, name))
		return "below [listener NAME]";
	if (conf_row_find(CONF_SECTION_CERTIFICATE, name))
		return "below [certificate NAME]";
	return NULL;
}

static void
unknown_name(struct conf_reader *r, struct view name)
{
	static const char *const kinds[CONF_SECTIONS] = {"no option of the whole server",
		"no option of a listener", "no option of a certificate"};
	enum conf_section here = section_of(r);
	const char *near = conf_suggest(here, name), *where = belongs(name);
	char shown[CONF_SHOWN_MAX];

	if (where)
		ini_report(&r->ini, r->ini.line, "%s is %s, put it %s",
			conf_shown(name, shown), kinds[here], where);
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
	const struct conf_row *row = conf_row_find(section_of(r), name);
	struct conf_place at = r->listener ? conf_of_listener(r->listener)
		: r->certificate	   ? conf_of_certificate(r->certificate)
					   : conf_of_global(r->conf);

	if (!row) {
		unknown_name(r, name);
		return;
	}
	size_t i = (size_t)(row - conf_rows);
	if (at.lines[i] > 0) {
		ini_report(&r->ini, r->ini.line,
			"%s was set in line %u already, remove one of them", row->name,
			at.lines[i]);
		return;
	}
	at.lines[i] = r->ini.line; /* also when it is wrong: no second error for the same
				   option */
	if (ini_unquote(&r->ini, &value))
		(void)conf_value_set(r, row, value, at); /* has reported what is wrong */
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
