/*
 * control_tables.h: the tables of sessions that fronts write, read on request. They are
 * read, not mapped: a page that nobody wrote would be made by looking at it.
 */
#ifndef CONTROL_CONTROL_TABLES_H
#define CONTROL_CONTROL_TABLES_H

#include "control/control_who.h"

#define TABLES_MAX	    64
#define TABLE_ROWS_MAX	    20000
#define TABLES_SESSIONS_MAX 200000

struct tables {
	size_t n;
	struct table {
		uint64_t front;
		uint32_t rows;
		int fd;
	} at[TABLES_MAX];
};

/* fd is the table's from now on, also where it is refused. 0 or -errno. */
[[nodiscard]] int tables_add(struct tables *t, uint64_t front, int fd);
void tables_remove(struct tables *t, uint64_t front);
/* All sessions there are now; ret->at is the caller's to free. 0 or -errno. */
[[nodiscard]] int tables_read(const struct tables *t, struct who_list *ret);

#endif
