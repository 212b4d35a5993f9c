/*
 * ini.h: a text of `name = value` lines and [sections], line by line, its errors, and the
 * memory of its values; for every table of options in the house.
 *
 * Comments stand on their own line (# or ;). A value goes to the end of its line,
 * trimmed, and may stand in double quotes. All errors of a text are reported in one run,
 * as "FILE:LINE: what is wrong, what to do".
 */
#ifndef CONF_INI_H
#define CONF_INI_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_LINE_OCTETS_MAX 4096
#define CONF_NAME_OCTETS_MAX 64
#define CONF_PATH_OCTETS_MAX 4096 /* with its NUL */
#define CONF_ERRORS_MAX	     100  /* reported; more are counted */

/* Told each error as one line without its newline. Embed it in what keeps your state. */
struct conf_sink {
	void (*error)(struct conf_sink *s, const char *line);
};

/* Where paths may begin but for /. */
struct ini_paths {
	const char *home; /* for ~/; NULL: there is none */
	const char *here; /* what a relative path is below; NULL: none is allowed */
};

struct ini {
	const char *file;
	struct conf_sink *sink;
	/* Paths are made absolute and tidied; NULL: they must be so already. */
	const struct ini_paths *paths;
	bool command_line; /* errors speak of --the-name VALUE */
	uint32_t line;	   /* being read; 0: none */
	bool skip;	   /* within a section that was not understood */
	size_t errors;
	char *pool; /* the texts of the values; the caller's */
	size_t pool_cap, pool_n;
	/* Makes a new pool where n octets do not fit into the old one, whose texts stay;
	 * false: there is none. NULL: the pool is all there is. */
	bool (*more)(struct ini *ini, size_t n);
};

/* Told of what a text holds, line by line; ini->line is that line. */
struct ini_handler {
	/* What stands within the brackets, trimmed. Sets ini->skip where its options
	 * would only give more errors. */
	void (*section)(struct ini_handler *h, struct view inner);
	/* The value as it stands there: for ini_unquote. */
	void (*option)(struct ini_handler *h, struct view name, struct view value);
};
void ini_read(struct ini *ini, struct ini_handler *h, struct view text);

/* "FILE:LINE: ..."; line 0 stands for the whole file. */
[[gnu::format(printf, 3, 4)]] void ini_report(
	struct ini *ini, uint32_t line, const char *fmt, ...);
/* A copy in the pool with a NUL behind it; "" and an error where the pool is full. */
const char *ini_keep(struct ini *ini, struct view v);

/* How a value from outside is shown in an error: cut, and only printable characters. */
#define CONF_SHOWN_MAX 72
const char *conf_shown(struct view v, char shown[CONF_SHOWN_MAX]);

struct view ini_trim(struct view v);
/* Takes the quotes off a value that has them; false after an error was reported. */
bool ini_unquote(struct ini *ini, struct view *value);
/* The rest behind `word` and blanks: the NAME of [word NAME]. False: another section. */
bool ini_section_name(struct view inner, struct view word, struct view *ret_name);
/*
 * A path made absolute, without `//`, `/./` and a slash at its end (`..` stays: links may
 * stand before it). False where it is relative to nothing, or too long.
 */
bool ini_path(
	const struct ini_paths *paths, struct view path, char ret[CONF_PATH_OCTETS_MAX]);
/* 1 to CONF_NAME_OCTETS_MAX letters, digits, or what stands in `also`. */
bool ini_is_name(struct view v, const char *also);

#endif
