#include "fetch/settings_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
field_of(struct fetch_values *v, enum fetch_option i)
{
	return (uint8_t *)v + fetch_rows[i].offset;
}

bool
settings_set(struct ini *ini, struct fetch_values *v, enum fetch_option i,
	struct view value, enum fetch_level level)
{
	/* Of what may be given several times, those of one level belong together. */
	if (fetch_rows[i].type == CONF_TYPE_TEXTS && v->levels[i] != level)
		((struct conf_list *)field_of(v, i))->n = 0;
	v->lines[i] = ini->line;
	v->levels[i] = (uint8_t)level;
	return conf_type_set(ini, &fetch_rows[i], value, field_of(v, i), NULL);
}

void
settings_defaults(struct settings_reader *r, struct fetch_values *v)
{
	memset(v, 0, sizeof(*v));
	for (enum fetch_option i = 0; i < FETCH_OPTIONS; i++)
		(void)settings_set(&r->ini, v, i, settings_view(fetch_rows[i].def),
			FETCH_FROM_ROW); /* a row's own default is good, a test says so */
}

void
settings_overlay(
	struct fetch_values *v, const struct fetch_values *from, enum fetch_level level)
{
	for (size_t i = 0; i < FETCH_OPTIONS; i++) {
		if (from->levels[i] != level)
			continue;
		size_t at = fetch_rows[i].offset;
		memcpy((uint8_t *)v + at, (const uint8_t *)from + at,
			conf_type_octets(fetch_rows[i].type));
		v->lines[i] = from->lines[i];
		v->levels[i] = (uint8_t)level;
	}
}

const char *
settings_called(const struct fetch_values *v, enum fetch_option i,
	char called[CONF_NAME_OCTETS_MAX + 3])
{
	if (v->levels[i] == FETCH_FROM_LINE)
		return conf_as_option(fetch_rows[i].name, called);
	return fetch_rows[i].name;
}

void
settings_complain(struct settings_reader *r, const struct fetch_values *v,
	enum fetch_option i, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (r->one_account || v->levels[i] == FETCH_FROM_LINE)
		ini_report(&r->line, 0, "%s", text);
	else
		ini_report(&r->ini, v->lines[i] > 0 ? v->lines[i] : r->section_line,
			"account %s: %s", r->section_name, text);
}

static uint32_t
hash_of(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h;
}

/* The line of the section of that name; 0: there was none. */
static uint32_t
line_of(const struct settings_reader *r, const char *name)
{
	uint32_t hash = hash_of(name);

	for (size_t i = 0; i < r->names_n; i++)
		if (r->names[i].hash == hash && strcmp(r->names[i].name, name) == 0)
			return r->names[i].line;
	return 0;
}

static bool
add_name(struct settings_reader *r, const char *name)
{
	if (r->names_n == r->names_cap) {
		size_t cap = r->names_cap ? 2 * r->names_cap : 16;
		struct settings_name *more = reallocarray(r->names, cap, sizeof(*more));
		if (!more)
			return false;
		r->names = more;
		r->names_cap = cap;
	}
	r->names[r->names_n++] = (struct settings_name){hash_of(name), r->ini.line, name};
	return true;
}

static bool
is_wanted(struct settings_reader *r, const char *name)
{
	bool all = r->wanted_n == 0;

	for (size_t i = 0; i < r->wanted_n; i++) {
		if (strcmp(r->wanted[i], name) != 0)
			continue;
		r->wanted_found[i] = true;
		return true;
	}
	return all;
}

/* The section that was read so far becomes an account. */
static void
finish_account(struct settings_reader *r)
{
	struct fetch_account a;

	if (!r->in_account)
		return;
	r->in_account = false;
	bool wanted = !r->one_account && is_wanted(r, r->section_name);
	if (wanted)
		settings_overlay(&r->now, &r->given, FETCH_FROM_LINE);
	/* One that is not wanted is checked too: the file is right, or it is not. */
	if (settings_account(r, &r->now, r->section_name, &a) && wanted)
		(void)settings_add(r, &a); /* has reported what is wrong */
}

static void
open_account(struct settings_reader *r, struct view name)
{
	struct ini *ini = &r->ini;
	char shown[CONF_SHOWN_MAX];

	if (!ini_is_name(name, "_-.@+")) {
		ini_report(ini, ini->line,
			"an account's name has 1 to %d letters, digits, `_`, `-`, `.`, "
			"`@` "
			"or `+`: write [account NAME]",
			CONF_NAME_OCTETS_MAX);
		return;
	}
	r->section_name = ini_keep(ini, name);
	uint32_t line = line_of(r, r->section_name);
	if (line > 0) {
		ini_report(ini, ini->line,
			"account %s is there since line %u already, name it otherwise",
			conf_shown(name, shown), line);
		return;
	}
	if (r->names_n == FETCH_ACCOUNTS_MAX) {
		ini_report(ini, ini->line, "more than %d accounts, remove some",
			FETCH_ACCOUNTS_MAX);
		return;
	}
	if (!add_name(r, r->section_name)) {
		r->no_memory = true;
		ini_report(ini, ini->line, "out of memory for its name");
		return;
	}
	r->section_line = ini->line;
	r->in_account = true;
	r->now = r->defaults;
	ini->skip = false;
}

static void
read_section(struct ini_handler *h, struct view inner)
{
	struct settings_reader *r = (struct settings_reader *)h;
	struct ini *ini = &r->ini;
	char shown[CONF_SHOWN_MAX];
	struct view name;

	finish_account(r);
	r->in_defaults = false;
	ini->skip = true;
	if (ini_section_name(inner, VIEW("account"), &name)) {
		open_account(r, name);
	} else if (ini_section_name(inner, VIEW("defaults"), &name) && name.n == 0) {
		r->in_defaults = true;
		ini->skip = false;
		if (r->names_n > 0)
			ini_report(ini, ini->line,
				"[defaults] stands before the first account, move it "
				"there");
	} else {
		ini_report(ini, ini->line,
			"[%s]: there is no such section, only [defaults] and [account "
			"NAME]",
			conf_shown(inner, shown));
	}
}

static void
unknown_name(struct settings_reader *r, uint32_t here, struct view name)
{
	bool within = here == FETCH_IN_ACCOUNT;
	const struct conf_row *row = conf_type_find(fetch_rows, FETCH_OPTIONS, ~0u, name);
	const char *near = conf_type_suggest(fetch_rows, FETCH_OPTIONS, here, name);
	char shown[CONF_SHOWN_MAX];
	const char *what = conf_shown(name, shown);

	if (row && ((FETCH_IN_ACCOUNT | FETCH_ON_TOP) & (1u << row->section)))
		ini_report(&r->ini, r->ini.line,
			within ? "%s is an option of the whole run, put it before the "
				 "first section"
			       : "%s is an option of an account, put it below [defaults] "
				 "or [account NAME]",
			what);
	else if (row && row->section == FETCH_SECTION_ACCOUNT_LINE &&
		row->type == CONF_TYPE_TEXTS)
		ini_report(&r->ini, r->ini.line,
			"%s is for the command line, write deliver = %s:WHERE", what,
			row->name);
	else if (row)
		ini_report(&r->ini, r->ini.line, "%s is for the command line only", what);
	else if (near)
		ini_report(&r->ini, r->ini.line, "%s: no such option, did you mean %s?",
			what, near);
	else
		ini_report(&r->ini, r->ini.line,
			"%s: no such option, see restante-fetch.conf(5)", what);
}

static void
read_option(struct ini_handler *h, struct view name, struct view value)
{
	struct settings_reader *r = (struct settings_reader *)h;
	struct ini *ini = &r->ini;
	uint32_t here = r->in_account || r->in_defaults ? FETCH_IN_ACCOUNT : FETCH_ON_TOP;
	struct fetch_values *v = r->in_account ? &r->now : &r->defaults;
	enum fetch_level level = r->in_account ? FETCH_FROM_ACCOUNT : FETCH_FROM_FILE;
	const struct conf_row *row =
		conf_type_find(fetch_rows, FETCH_OPTIONS, here, name);

	if (!row) {
		unknown_name(r, here, name);
		return;
	}
	enum fetch_option i = (enum fetch_option)(row - fetch_rows);
	if (v->levels[i] == level && row->type != CONF_TYPE_TEXTS) {
		ini_report(ini, ini->line,
			"%s was set in line %u already, remove one of them", row->name,
			v->lines[i]);
		return;
	}
	if (row->type == CONF_TYPE_SECRET && value.n > 0 && !r->is_private)
		ini_report(ini, ini->line,
			"%s: the file can be read by others or is not yours, so it must "
			"hold no password: chmod 600 it, or use password_command",
			row->name);
	if (ini_unquote(ini, &value)) {
		(void)settings_set(ini, v, i, value, level); /* has reported it */
	} else {
		v->levels[i] = (uint8_t)level; /* no second error of the same option */
		v->lines[i] = ini->line;
	}
}

void
settings_text(struct settings_reader *r, struct view text)
{
	r->handler = (struct ini_handler){read_section, read_option};
	ini_read(&r->ini, &r->handler, text);
	finish_account(r);
}
