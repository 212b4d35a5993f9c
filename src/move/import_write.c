#include "base/ascii.h"
#include "move/import.h"
#include "os/fd.h"
#include "store/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the log says of a message already: its UIDLs, of those that are in use. A row that
 * is kept has the place of the log. For an mbox a UIDL that we assigned gives way to one
 * that is imported (mbox_uidl.c). */
static enum import_fate
log_says(const struct import *im, const struct identity *log,
	const struct import_message *m, struct view uidl, uint32_t *ret_place)
{
	struct identity_row row;
	bool other = false;
	int64_t at = -1;

	while (identity_next(log, m->key, &at, &row)) {
		if (row.source == IDENTITY_USED_UP)
			continue;
		if (view_equal(row.uidl, uidl)) {
			*ret_place = row.place;
			return IMPORT_KEPT;
		}
		other |= !im->is_mbox || row.source == IDENTITY_IMPORTED;
	}
	/* Of several messages with one key each has a row of its own. */
	if (other && !m->twin)
		return IMPORT_CONFLICT;
	return identity_has_uidl(log, uidl) ? IMPORT_CONFLICT : IMPORT_TAKEN;
}

static void
decide(struct import *im, const struct identity *log)
{
	for (uint32_t i = 0; i < im->messages_n; i++) {
		const struct import_message *m = &im->messages[i];
		if (m->row == 0 || im->rows[m->row - 1].fate != IMPORT_OPEN)
			continue;
		struct import_row *row = &im->rows[m->row - 1];
		row->fate = (uint8_t)log_says(im, log, m, row->uidl, &row->place);
	}
}

/* Behind every place that the log has. */
static uint32_t
place_behind(const struct identity *log)
{
	uint32_t behind = 0;

	for (size_t i = 0; i < identity_count(log); i++) {
		uint32_t place = identity_at(log, i).place;
		if (place != IDENTITY_NO_PLACE && place >= behind)
			behind = place + 1;
	}
	return behind < IDENTITY_NO_PLACE - IMPORT_ROWS_MAX
		? behind
		: IDENTITY_NO_PLACE - IMPORT_ROWS_MAX - 1;
}

/*
 * Places of a list that was taken over earlier count from another first message: what was
 * deleted since stands in it no longer. So what is new comes behind all that the log has,
 * or, where the list has it before a row that is kept, to that one's place.
 */
static int
settle_places(struct import *im, const struct identity *log)
{
	AUTO_FREE uint32_t *list = calloc((size_t)im->rows_n + 1, sizeof(*list));
	uint32_t behind = place_behind(log), next = IDENTITY_NO_PLACE;

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < im->rows_n; i++)
		list[im->rows[i].place] = i;
	decide(im, log);
	for (uint32_t i = im->rows_n; i > 0; i--) {
		struct import_row *r = &im->rows[list[i - 1]];
		if (r->fate == IMPORT_KEPT && r->place != IDENTITY_NO_PLACE)
			next = r->place;
		else if (r->fate == IMPORT_TAKEN)
			r->place = next != IDENTITY_NO_PLACE ? next : behind + i - 1;
	}
	return 0;
}

/* In order of the messages: for those with one key the log's order counts. */
static int
add_rows(const struct import *im, struct identity *log)
{
	int r = 0;

	for (uint32_t i = 0; i < im->messages_n && r == 0; i++) {
		const struct import_message *m = &im->messages[i];
		const struct import_row *row = m->row ? &im->rows[m->row - 1] : NULL;
		if (!row || row->fate != IMPORT_TAKEN)
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
	r = settle_places(im, log);
	if (r == 0 && !dry)
		r = add_rows(im, log);
	if (r == 0 && !dry)
		r = identity_sync(log);
	identity_close(&log);
	return r;
}
