/*
 * settings_reader.h: what the files of settings_*.c share while a run's settings are
 * made: the command line first, then the file with the line over it, account by account.
 */
#ifndef FETCH_SETTINGS_READER_H
#define FETCH_SETTINGS_READER_H

#include "fetch/settings.h"
#include "fetch/settings_table.h"

#define SETTINGS_FILE_OCTETS_MAX ((size_t)8 * 1024 * 1024)
#define SETTINGS_NAMES_MAX	 FETCH_ACCOUNTS_MAX

/* The texts of all values, in chunks that stay where they are; also settings.memory. */
struct settings_memory {
	struct settings_chunk *chunks;
	struct fetch_account *accounts;
	size_t accounts_cap;
};

/* An account of the file, whether it is wanted or not. */
struct settings_name {
	uint32_t hash, line;
	const char *name;
};

struct settings_reader {
	struct ini_handler handler; /* first */
	struct conf_sink sink;
	struct ini ini;	 /* the file */
	struct ini line; /* the command line */
	struct ini_paths file_paths, line_paths;
	char home[CONF_PATH_OCTETS_MAX], here[CONF_PATH_OCTETS_MAX];
	struct settings_memory *memory;
	struct fetch_command *command;
	bool one_account; /* --server, or --configure: no account of a file */
	bool is_private;  /* nobody else can read the file */
	bool no_memory;	  /* of the errors one was nobody's who wrote something */
	bool in_defaults, in_account;
	uint32_t section_line;
	const char *section_name;
	/* The command line's own; the file's top and [defaults]; the account being read.
	 */
	struct fetch_values given, defaults, now;
	const char **wanted; /* names of accounts; argv's */
	bool *wanted_found;
	size_t wanted_n;
	struct settings_name *names;
	size_t names_n, names_cap;
};

static inline struct view
settings_view(const char *s)
{
	return (struct view){(const uint8_t *)s, __builtin_strlen(s)};
}

/* Sets one option of *v, at that level. False after an error was reported to ini. */
bool settings_set(struct ini *ini, struct fetch_values *v, enum fetch_option i,
	struct view value, enum fetch_level level);
/* Every row's default. */
void settings_defaults(struct settings_reader *r, struct fetch_values *v);
/* What was given at `level` in *from, over *v. */
void settings_overlay(
	struct fetch_values *v, const struct fetch_values *from, enum fetch_level level);
/* An error of an option: by its place in the file or on the command line, with the
 * account's name; the format begins with the option's name as %s. */
[[gnu::format(printf, 4, 5)]] void settings_complain(struct settings_reader *r,
	const struct fetch_values *v, enum fetch_option i, const char *fmt, ...);
/* "delete_after" or "--delete-after", as it was given. */
const char *settings_called(const struct fetch_values *v, enum fetch_option i,
	char called[CONF_NAME_OCTETS_MAX + 3]);

/* The command line as r->given, r->wanted. */
void settings_line(struct settings_reader *r, int argc, char **argv);
/* Reads the text of a file; accounts come out of it. */
void settings_text(struct settings_reader *r, struct view text);
/* The account of these values (name NULL: USER@HOST). False: an error was reported. */
bool settings_account(struct settings_reader *r, struct fetch_values *v, const char *name,
	struct fetch_account *ret);
void settings_targets(
	struct settings_reader *r, struct fetch_values *v, struct fetch_account *a);
/* What is missing, and what cannot all be meant at once. */
void settings_check(struct settings_reader *r, const struct fetch_values *v,
	const struct fetch_account *a);
/* One more of command->settings.accounts. */
bool settings_add(struct settings_reader *r, const struct fetch_account *a);
/* The accounts of a text, as if it were the file `f`, its owner's alone; without a home.
 * The number of errors; free *ret by settings_free. */
size_t settings_of_text(struct view text,
	void (*error)(struct conf_sink *s, const char *line), struct fetch_command *ret);
const char *settings_printf(struct ini *ini, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
