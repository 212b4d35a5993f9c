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
	/* The section that is being read; both NULL: global. */
	struct conf_listener *listener;
	struct conf_certificate *certificate;
};

/* Where a section's options are kept. */
struct conf_place {
	void *fields; /* struct conf, conf_listener or conf_certificate */
	struct view *texts;
	uint32_t *lines;
};
struct conf_place conf_of_global(struct conf *c);
struct conf_place conf_of_listener(struct conf_listener *l);
struct conf_place conf_of_certificate(struct conf_certificate *c);

/*
 * Sets the row's field from the text of a value, in its section's place, and keeps the
 * text. False after an error was reported.
 */
bool conf_value_set(struct conf_reader *r, const struct conf_row *row, struct view value,
	struct conf_place at);

/* Defaults for everything that was not set. */
void conf_defaults(struct conf_reader *r, const struct conf_facts *facts);
/* What one row alone cannot say. */
void conf_check(struct conf_reader *r);

#endif
