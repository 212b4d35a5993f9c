/* conf_loading.h: a text is loaded and its errors are kept, for the tests of conf. */
#ifndef CONF_LOADING_H
#define CONF_LOADING_H

#include "conf/conf_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loading {
	struct conf_sink sink;
	size_t lines;
	char text[32768]; /* the errors, each with its newline */
	struct conf *conf;
};

static inline void
loading_error(struct conf_sink *s, const char *line)
{
	struct loading *l = (struct loading *)s;
	size_t n = strlen(l->text);

	l->lines++;
	snprintf(l->text + n, sizeof(l->text) - n, "%s\n", line);
}

/* The number of errors. Free l->conf with conf_free. */
static inline size_t
loading_of(struct loading *l, const char *text, size_t n)
{
	static const struct conf_facts facts = {8, "mail.example"};

	*l = (struct loading){.sink = {loading_error}, .conf = conf_new()};
	return conf_load(
		(struct view){(const uint8_t *)text, n}, "f", &facts, &l->sink, l->conf);
}

static inline size_t
loading(struct loading *l, const char *text)
{
	return loading_of(l, text, strlen(text));
}

#endif
