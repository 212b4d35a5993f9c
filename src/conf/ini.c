#include "conf/ini.h"
#include "base/ascii.h"
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
ini_report(struct ini *ini, uint32_t line, const char *fmt, ...)
{
	char text[1536];
	int n = line > 0 ? snprintf(text, sizeof(text), "%s:%u: ", ini->file, line)
			 : snprintf(text, sizeof(text), "%s: ", ini->file);
	va_list args;

	ini->errors++;
	if (ini->errors > CONF_ERRORS_MAX)
		return;
	if (n > 0 && (size_t)n < sizeof(text)) {
		va_start(args, fmt);
		(void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
		va_end(args);
	}
	ini->sink->error(ini->sink, text);
	if (ini->errors == CONF_ERRORS_MAX) {
		snprintf(text, sizeof(text), "%s: more errors are not shown", ini->file);
		ini->sink->error(ini->sink, text);
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
ini_keep(struct ini *ini, struct view v)
{
	if (v.n >= ini->pool_cap - ini->pool_n &&
		!(ini->more && ini->more(ini, v.n + 1))) {
		ini_report(ini, ini->line, "no room for this value: %s",
			ini->more ? "there is no memory"
				  : "all values together are too long, shorten them");
		return "";
	}
	char *kept = ini->pool + ini->pool_n;
	if (v.n > 0)
		memcpy(kept, v.p, v.n);
	kept[v.n] = '\0';
	ini->pool_n += v.n + 1;
	return kept;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

struct view
ini_trim(struct view v)
{
	while (v.n > 0 && is_blank(v.p[0])) {
		v.p++;
		v.n--;
	}
	while (v.n > 0 && is_blank(v.p[v.n - 1]))
		v.n--;
	return v;
}

bool
ini_is_name(struct view v, const char *also)
{
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = ascii_lower(v.p[i]);
		if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) &&
			(c == '\0' || !strchr(also, c)))
			return false;
	}
	return v.n > 0 && v.n <= CONF_NAME_OCTETS_MAX;
}

bool
ini_section_name(struct view inner, struct view word, struct view *ret_name)
{
	if (inner.n < word.n || !view_equal((struct view){inner.p, word.n}, word) ||
		(inner.n > word.n && !is_blank(inner.p[word.n])))
		return false;
	*ret_name = ini_trim((struct view){inner.p + word.n, inner.n - word.n});
	return true;
}

static bool
put_parts(struct view path, struct buf *b)
{
	while (path.n > 0) {
		const uint8_t *slash = memchr(path.p, '/', path.n);
		size_t n = slash ? (size_t)(slash - path.p) : path.n;
		if (n > 0 && !(n == 1 && path.p[0] == '.')) {
			buf_put_u8(b, '/');
			buf_put(b, path.p, n);
		}
		n += slash != NULL;
		path = (struct view){path.p + n, path.n - n};
	}
	return !b->full;
}

bool
ini_path(const struct ini_paths *paths, struct view path, char ret[CONF_PATH_OCTETS_MAX])
{
	struct buf b = buf_over(ret, CONF_PATH_OCTETS_MAX - 1);
	const char *base = NULL;

	if (path.n == 0 || memchr(path.p, '\0', path.n))
		return false;
	if (path.p[0] == '~' && (path.n == 1 || path.p[1] == '/')) {
		base = paths->home;
		path = (struct view){path.p + 1, path.n - 1};
	} else if (path.p[0] == '/') {
		base = "";
	} else {
		base = paths->here;
	}
	if (!base || !put_parts((struct view){(const uint8_t *)base, strlen(base)}, &b) ||
		!put_parts(path, &b))
		return false;
	if (b.n == 0)
		buf_put_u8(&b, '/');
	ret[b.n] = '\0';
	return true;
}

static void
read_section(struct ini *ini, struct ini_handler *h, struct view line)
{
	char shown[CONF_SHOWN_MAX];

	if (line.p[line.n - 1] != ']') {
		ini->skip = true;
		ini_report(ini, ini->line, "%s: a section ends with `]`",
			conf_shown(line, shown));
		return;
	}
	ini->skip = false;
	h->section(h, ini_trim((struct view){line.p + 1, line.n - 2}));
}

bool
ini_unquote(struct ini *ini, struct view *value)
{
	if (value->n == 0 || value->p[0] != '"')
		return true;
	if (value->n < 2 || value->p[value->n - 1] != '"' ||
		memchr(value->p + 1, '"', value->n - 2)) {
		ini_report(ini, ini->line,
			"a value that begins with `\"` ends with one and holds no other");
		return false;
	}
	*value = (struct view){value->p + 1, value->n - 2};
	return true;
}

static bool
is_clean(struct ini *ini, struct view line)
{
	for (size_t i = 0; i < line.n; i++) {
		if ((line.p[i] >= 0x20 && line.p[i] != 0x7F) || line.p[i] == '\t')
			continue;
		ini_report(ini, ini->line,
			"column %zu holds a control character, remove it", i + 1);
		return false;
	}
	return true;
}

static struct view
first_word(struct view line)
{
	size_t n = 0;

	while (n < line.n && ini_is_name((struct view){line.p + n, 1}, "_-."))
		n++;
	return (struct view){line.p, n};
}

static void
read_line(struct ini *ini, struct ini_handler *h, struct view line)
{
	char shown[CONF_SHOWN_MAX];

	if (line.n > CONF_LINE_OCTETS_MAX) {
		ini_report(ini, ini->line,
			"the line is longer than %d octets, shorten it",
			CONF_LINE_OCTETS_MAX);
		return;
	}
	line = ini_trim(line);
	if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';' || !is_clean(ini, line))
		return;
	if (line.p[0] == '[') {
		read_section(ini, h, line);
		return;
	}
	const uint8_t *equals = memchr(line.p, '=', line.n);
	size_t at = equals ? (size_t)(equals - line.p) : line.n;
	struct view name = ini_trim((struct view){line.p, at}), word = first_word(line);
	/* Nothing behind the first word is shown: it may be a password whose `=` was
	 * forgotten (and that holds one), and errors go to journals and mails. */
	if (!equals || word.n < name.n) {
		ini_report(ini, ini->line,
			"%s: neither `name = value` nor a section nor a comment (#)",
			conf_shown(word, shown));
		return;
	}
	if (ini->skip)
		return;
	h->option(h, name, ini_trim((struct view){equals + 1, line.n - at - 1}));
}

void
ini_read(struct ini *ini, struct ini_handler *h, struct view text)
{
	/* A byte order mark, as some editors leave it. */
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		text = (struct view){text.p + 3, text.n - 3};
	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		ini->line++;
		read_line(ini, h, (struct view){text.p, n});
		n += end != NULL;
		text = (struct view){text.p + n, text.n - n};
	}
	ini->line = 0;
}
