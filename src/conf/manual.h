/*
 * manual.h: rows of options in mdoc, for the build's programs that write manual pages.
 */
#ifndef CONF_MANUAL_H
#define CONF_MANUAL_H

#include "conf/conf_type.h"

/* The rows of those sections (bits 1 << section) as `.It Cm name` with help, limits and
 * default. Before the first row of a section that has a title: .El, .Ss, .Bl. */
void manual_options(const struct conf_row *rows, size_t n, uint32_t sections,
	const char *const *titles);
/* Sentences, one a line, and lines short enough for mdoc's checker. */
void manual_help(const char *help);

#endif
