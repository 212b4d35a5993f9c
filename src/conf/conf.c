#include "base/ascii.h"
#include "base/check.h"
#include "conf/conf_reader.h"
#include "conf/conf_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
conf_report(struct conf_reader *r, uint32_t line, const char *fmt, ...)
{
	char text[1536];
	int n = line > 0 ? snprintf(text, sizeof(text), "%s:%u: ", r->file, line)
			 : snprintf(text, sizeof(text), "%s: ", r->file);
	va_list args;

	r->errors++;
	if (r->errors > CONF_ERRORS_MAX)
		return;
	if (n > 0 && (size_t)n < sizeof(text)) {
		va_start(args, fmt);
		(void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
		va_end(args);
	}
	r->sink->error(r->sink, text);
	if (r->errors == CONF_ERRORS_MAX) {
		snprintf(text, sizeof(text), "%s: more errors are not shown", r->file);
		r->sink->error(r->sink, text);
	}
}

const char *
conf_shown(struct view v, char shown[CONF_SHOWN_MAX])
{
	size_t n = v.n < CONF_SHOWN_MAX - 4 ? v.n : CONF_SHOWN_MAX - 4;

	for (size_t i = 0; i < n; i++)
		shown[i] = v.p[i] == ' ' || ascii_is_graph(v.p[i]) ? (char)v.p[i] : '?';
	memcpy(shown + n, n < v.n ? "..." : "", n < v.n ? 4 : 1);
	return shown;
}

const char *
conf_keep(struct conf_reader *r, struct view v)
{
	struct conf *c = r->conf;

	if (v.n >= sizeof(c->pool) - c->pool_n) {
		conf_report(r, r->line, "the values together are too long, shorten them");
		return "";
	}
	char *kept = c->pool + c->pool_n;
	if (v.n > 0)
		memcpy(kept, v.p, v.n);
	kept[v.n] = '\0';
	c->pool_n += v.n + 1;
	return kept;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct view
trim(struct view v)
{
	while (v.n > 0 && is_blank(v.p[0])) {
		v.p++;
		v.n--;
	}
	while (v.n > 0 && is_blank(v.p[v.n - 1]))
		v.n--;
	return v;
}

static bool
is_name(struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = ascii_lower(v.p[i]);
		if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '_' &&
			c != '-' && c != '.')
			return false;
	}
	return v.n > 0 && v.n <= CONF_NAME_OCTETS_MAX;
}

/* The text within the brackets of [listener NAME]. */
static void
open_listener(struct conf_reader *r, struct view name)
{
	struct conf *c = r->conf;
	char shown[CONF_SHOWN_MAX];

	if (!is_name(name)) {
		conf_report(r, r->line,
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
		conf_report(r, r->line,
			"listener %s is there since line %u already, name it otherwise",
			conf_shown(name, shown), c->listeners[i].line);
		return;
	}
	if (c->listeners_n == CONF_LISTENERS_MAX) {
		conf_report(r, r->line, "more than %d listeners, remove some",
			CONF_LISTENERS_MAX);
		return;
	}
	r->section = &c->listeners[c->listeners_n++];
	r->section->name = conf_keep(r, name);
	r->section->line = r->line;
	r->skip = false;
}

static void
read_section(struct conf_reader *r, struct view line)
{
	char shown[CONF_SHOWN_MAX];
	struct view word = VIEW("listener");

	r->section = NULL;
	r->skip = true; /* options of an unknown section would only give more errors */
	if (line.p[line.n - 1] != ']') {
		conf_report(r, r->line, "%s: a section ends with `]`",
			conf_shown(line, shown));
		return;
	}
	struct view inner = trim((struct view){line.p + 1, line.n - 2});
	if (inner.n < word.n || !view_equal((struct view){inner.p, word.n}, word) ||
		(inner.n > word.n && !is_blank(inner.p[word.n]))) {
		conf_report(r, r->line,
			"[%s]: there is no such section, only [listener NAME]; other "
			"options stand "
			"before the first section",
			conf_shown(inner, shown));
		return;
	}
	open_listener(r, trim((struct view){inner.p + word.n, inner.n - word.n}));
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
		conf_report(r, r->line,
			r->section ? "%s is no option of a listener, put it before the "
				     "first section"
				   : "%s is an option of a listener, put it below "
				     "[listener NAME]",
			conf_shown(name, shown));
	else if (near)
		conf_report(r, r->line, "%s: no such option, did you mean %s?",
			conf_shown(name, shown), near);
	else
		conf_report(r, r->line, "%s: no such option, see restante.conf(5)",
			conf_shown(name, shown));
}

static bool
unquote(struct conf_reader *r, struct view *value)
{
	if (value->n == 0 || value->p[0] != '"')
		return true;
	if (value->n < 2 || value->p[value->n - 1] != '"' ||
		memchr(value->p + 1, '"', value->n - 2)) {
		conf_report(r, r->line,
			"a value that begins with `\"` ends with one and holds no other");
		return false;
	}
	*value = (struct view){value->p + 1, value->n - 2};
	return true;
}

static void
read_option(struct conf_reader *r, struct view name, struct view value)
{
	enum conf_section here = r->section ? CONF_SECTION_LISTENER : CONF_SECTION_GLOBAL;
	const struct conf_row *row = conf_row_find(here, name);

	if (!row) {
		unknown_name(r, name);
		return;
	}
	uint32_t *lines = r->section ? r->section->lines : r->conf->lines;
	size_t i = (size_t)(row - conf_rows);
	if (lines[i] > 0) {
		conf_report(r, r->line,
			"%s was set in line %u already, remove one of them", row->name,
			lines[i]);
		return;
	}
	lines[i] =
		r->line; /* also when it is wrong: no second error for the same option */
	if (unquote(r, &value))
		(void)conf_value_set(
			r, row, value, r->section); /* has reported what is wrong */
}

static void
read_line(struct conf_reader *r, struct view line)
{
	char shown[CONF_SHOWN_MAX];

	if (line.n > CONF_LINE_OCTETS_MAX) {
		conf_report(r, r->line, "the line is longer than %d octets, shorten it",
			CONF_LINE_OCTETS_MAX);
		return;
	}
	line = trim(line);
	if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
		return;
	for (size_t i = 0; i < line.n; i++) {
		if ((line.p[i] >= 0x20 && line.p[i] != 0x7F) || line.p[i] == '\t')
			continue;
		conf_report(r, r->line, "column %zu holds a control character, remove it",
			i + 1);
		return;
	}
	if (line.p[0] == '[') {
		read_section(r, line);
		return;
	}
	const uint8_t *equals = memchr(line.p, '=', line.n);
	if (!equals) {
		conf_report(r, r->line,
			"%s: neither `name = value` nor a section nor a comment (#)",
			conf_shown(line, shown));
		return;
	}
	if (r->skip)
		return;
	size_t at = (size_t)(equals - line.p);
	read_option(r, trim((struct view){line.p, at}),
		trim((struct view){equals + 1, line.n - at - 1}));
}

size_t
conf_load(struct view text, const char *file, const struct conf_facts *facts,
	struct conf_sink *sink, struct conf *conf)
{
	struct conf_reader r = {.file = file, .sink = sink, .conf = conf};

	memset(conf, 0, sizeof(*conf));
	if (text.n > CONF_FILE_OCTETS_MAX) {
		conf_report(&r, 0, "the file is larger than %d octets, shorten it",
			CONF_FILE_OCTETS_MAX);
		return r.errors;
	}
	/* A byte order mark, as some editors leave it. */
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		text = (struct view){text.p + 3, text.n - 3};
	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		r.line++;
		read_line(&r, (struct view){text.p, n});
		n += end != NULL;
		text = (struct view){text.p + n, text.n - n};
	}
	r.line = 0;
	conf_defaults(&r, facts);
	conf_check(&r);
	return r.errors;
}
