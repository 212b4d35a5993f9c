/*
 * conf_reader.h: what the files of conf share while a text is read.
 */
#ifndef CONF_CONF_READER_H
#define CONF_CONF_READER_H

#include "conf/conf_table.h"

struct conf_reader {
	struct ini_handler handler; /* first */
	struct ini ini;
	struct conf *conf;
	struct conf_listener *section; /* NULL: global */
};

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

#endif
