#include "base/ascii.h"
#include "fetch/settings_reader.h"

#include <stdio.h>
#include <string.h>

/* Without an account before them, so that the password is never looked at as a value. */
static bool
is_password(struct view name)
{
	static const char *const names[] = {"password", "smtp_password", "passwd", "pass",
		"passphrase", "token", "secret"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (view_equal(name, settings_view(names[i])))
			return true;
	return false;
}

static void
unknown_option(struct settings_reader *r, struct view name, const char *arg)
{
	const char *near =
		conf_type_suggest(fetch_rows, FETCH_OPTIONS, FETCH_ON_LINE, name);
	char option[CONF_NAME_OCTETS_MAX + 3], shown[CONF_SHOWN_MAX];
	struct view whole = {(const uint8_t *)arg, strcspn(arg, "=")};

	if (near)
		ini_report(&r->line, 0, "%s: no such option, did you mean %s?",
			conf_shown(whole, shown), conf_as_option(near, option));
	else
		ini_report(&r->line, 0, "%s: no such option, see restante fetch --help",
			conf_shown(whole, shown));
}

/* The name behind `--`, with _ for -, up to a `=`. */
static struct view
name_of(const char *arg, char name[CONF_NAME_OCTETS_MAX + 1])
{
	size_t n = strcspn(arg, "=");

	if (n > CONF_NAME_OCTETS_MAX)
		n = CONF_NAME_OCTETS_MAX;
	for (size_t i = 0; i < n; i++)
		name[i] = (char)(arg[i] == '-' ? '_' : arg[i]);
	name[n] = '\0';
	return (struct view){(const uint8_t *)name, n};
}

/* What stands there can be seen by everybody until it is gone. */
static void
refuse_password(struct settings_reader *r, struct view name, char *value)
{
	char option[CONF_NAME_OCTETS_MAX + 3];

	if (value)
		explicit_bzero(value, strlen(value));
	ini_report(&r->line, 0,
		"%s: everybody on this machine can read a command line (ps), so no "
		"secret "
		"is taken from it; use --password-command, --password-file, "
		"--password-fd or --password-credential, or --token-command, and change "
		"the password that stood there",
		conf_as_option((const char *)name.p, option));
}

static bool
is_long(const char *arg)
{
	return arg[0] == '-' && arg[1] == '-' && arg[2] != '\0';
}

/* Names and commands go on to servers, where a line end would begin a command. */
static bool
is_clean(struct settings_reader *r, const struct conf_row *row, const char *value)
{
	char option[CONF_NAME_OCTETS_MAX + 3];

	for (const char *p = value; *p; p++) {
		if ((uint8_t)*p >= 0x20 && *p != 0x7F)
			continue;
		ini_report(&r->line, 0,
			"%s: its value holds a control character, remove it",
			conf_as_option(row->name, option));
		return false;
	}
	return true;
}

/* Sets the option; *i is at its argument, and moves on where the value is the next. */
static void
read_long(struct settings_reader *r, int argc, char **argv, int *i)
{
	char text[CONF_NAME_OCTETS_MAX + 1], option[CONF_NAME_OCTETS_MAX + 3];
	char *arg = argv[*i], *equals = strchr(arg, '=');
	struct view name = name_of(arg + 2, text);
	const struct conf_row *row =
		conf_type_find(fetch_rows, FETCH_OPTIONS, FETCH_ON_LINE, name);
	const char *value = equals ? equals + 1 : NULL;
	bool follows = !equals && *i + 1 < argc && !is_long(argv[*i + 1]);

	if (!row && is_password(name)) {
		*i += follows;
		refuse_password(r, name, equals ? equals + 1 : follows ? argv[*i] : NULL);
		return;
	}
	if (!row) {
		unknown_option(r, name, arg);
		return;
	}
	enum fetch_option o = (enum fetch_option)(row - fetch_rows);
	if (!value && row->type == CONF_TYPE_BOOL)
		value = "yes";
	if (!value && follows)
		value = argv[++*i];
	if (!value) {
		ini_report(&r->line, 0, "%s needs %s behind it",
			conf_as_option(row->name, option), row->argument);
		return;
	}
	if (r->given.levels[o] == FETCH_FROM_LINE && row->type != CONF_TYPE_TEXTS) {
		ini_report(&r->line, 0, "%s is given twice, remove one of them",
			conf_as_option(row->name, option));
		return;
	}
	if (is_clean(r, row, value))
		(void)settings_set(
			&r->line, &r->given, o, settings_view(value), FETCH_FROM_LINE);
}

/* The single letters, for those who type them; each is a long one. */
static const char *
long_of(char letter)
{
	switch (letter) {
	case 'c': return "--config";
	case 'h': return "--help";
	case 'q': return "--quiet";
	case 'v': return "--verbose";
	case 'V': return "--version";
	default: return NULL;
	}
}

static void
read_short(struct settings_reader *r, int argc, char **argv, int *i)
{
	const char *is = argv[*i][2] == '\0' ? long_of(argv[*i][1]) : NULL;
	char shown[CONF_SHOWN_MAX], as[16], *saved = argv[*i];

	if (!is) {
		ini_report(&r->line, 0, "%s: no such option, see restante fetch --help",
			conf_shown((struct view){(const uint8_t *)argv[*i], 2}, shown));
		return;
	}
	/* read_long looks at its argument only until it returns. */
	int at = *i;
	snprintf(as, sizeof(as), "%s", is);
	argv[at] = as;
	read_long(r, argc, argv, i);
	argv[at] = saved;
}

static void
want(struct settings_reader *r, const char *name)
{
	char shown[CONF_SHOWN_MAX];

	for (size_t i = 0; i < r->wanted_n; i++)
		if (strcmp(r->wanted[i], name) == 0)
			return;
	if (name[0] == '\0' || r->wanted_n == SETTINGS_NAMES_MAX) {
		ini_report(&r->line, 0, "\"%s\": no name of an account, or one too many",
			conf_shown(settings_view(name), shown));
		return;
	}
	r->wanted[r->wanted_n++] = name;
}

void
settings_line(struct settings_reader *r, int argc, char **argv)
{
	bool options = true;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		if (options && strcmp(arg, "--") == 0)
			options = false;
		else if (options && is_long(arg))
			read_long(r, argc, argv, &i);
		else if (options && arg[0] == '-' && arg[1] != '\0')
			read_short(r, argc, argv, &i);
		else
			want(r, arg);
	}
}
