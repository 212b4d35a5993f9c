#include "base/ascii.h"
#include "move/import.h"
#include "os/fd.h"
#include "store/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the log says of a message already: its UIDLs, of those that are in use. */
static enum import_fate
log_says(const struct identity *log, const struct import_message *m, struct view uidl)
{
	struct identity_row row;
	bool other = false;
	int64_t at = -1;

	while (identity_next(log, m->key, &at, &row)) {
		if (row.source == IDENTITY_USED_UP)
			continue;
		if (view_equal(row.uidl, uidl))
			return IMPORT_KEPT;
		other = true;
	}
	/* Of several messages with one key each has a row of its own. */
	if (other && !m->twin)
		return IMPORT_CONFLICT;
	return identity_has_uidl(log, uidl) ? IMPORT_CONFLICT : IMPORT_TAKEN;
}

/* In order of the messages: for those with one key the log's order counts. */
static int
add_rows(struct import *im, struct identity *log, bool dry)
{
	int r = 0;

	for (uint32_t i = 0; i < im->messages_n && r == 0; i++) {
		const struct import_message *m = &im->messages[i];
		if (m->row == 0 || im->rows[m->row - 1].fate != IMPORT_OPEN)
			continue;
		struct import_row *row = &im->rows[m->row - 1];
		row->fate = (uint8_t)log_says(log, m, row->uidl);
		if (row->fate != IMPORT_TAKEN || dry)
			continue;
		struct identity_row add = {.source = IDENTITY_IMPORTED,
			.place = row->place,
			.key = m->key,
			.uidl = row->uidl};
		r = identity_add(log, &add);
	}
	return r;
}

int
import_write(struct import *im, int dir, const char *name, bool dry)
{
	struct identity *log;
	int r = identity_open(dir, name, &log);

	if (r < 0)
		return r;
	r = add_rows(im, log, dry);
	if (r == 0 && !dry)
		r = identity_sync(log);
	identity_close(&log);
	return r;
}
