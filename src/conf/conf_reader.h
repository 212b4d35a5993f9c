/*
 * conf_reader.h: what the files of conf share while a text is read.
 */
#ifndef CONF_CONF_READER_H
#define CONF_CONF_READER_H

#include "conf/conf_table.h"

struct conf_reader {
	const char *file;
	struct conf_sink *sink;
	struct conf *conf;
	size_t errors;
	uint32_t line;		       /* being read; 0: none */
	struct conf_listener *section; /* NULL: global */
	bool skip;		       /* within a section that was not understood */
};

/* "FILE:LINE: ..."; line 0 stands for the whole file. */
[[gnu::format(printf, 3, 4)]] void conf_report(
	struct conf_reader *r, uint32_t line, const char *fmt, ...);

/* A copy in the pool with a NUL behind it; "" and an error where the pool is full. */
const char *conf_keep(struct conf_reader *r, struct view v);

/*
 * Sets the row's field from the text of a value, in conf or (for LISTENER) in l, and
 * keeps the text. False after an error was reported.
 */
bool conf_value_set(struct conf_reader *r, const struct conf_row *row, struct view value,
	struct conf_listener *l);

/* Defaults for everything that was not set. */
void conf_defaults(struct conf_reader *r, const struct conf_facts *facts);
/* What one row alone cannot say. */
void conf_check(struct conf_reader *r);

/* How a value from the file is shown in an error: cut, and only printable characters. */
#define CONF_SHOWN_MAX 72
const char *conf_shown(struct view v, char shown[CONF_SHOWN_MAX]);

#endif
