/*
 * What keeps the identity log bounded. Each message that was deleted leaves a USED_UP
 * row; after so many others the oldest go, and with each the row that gave its UIDL: were
 * that one kept alone, its UIDL would be free again.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"
#include "store/identity_state.h"

#include <errno.h>
#include <stdlib.h>

bool
identity_is_full(const struct identity *log)
{
	return log->count > log->bounds.rows ||
		log->octets > IDENTITY_FILE_MAX - IDENTITY_HEADER;
}

bool
identity_is_due(const struct identity *log)
{
	if (log->count < log->compact_from)
		return false;
	if (identity_is_full(log) && log->used >= log->bounds.kept + log->bounds.gain)
		return true;
	/* Half of what it holds, as to each may belong the row that gave the UIDL. */
	return log->used > log->bounds.used && log->used >= (log->count - log->used) / 2;
}

/* The row where the newest USED_UP ones begin. */
static uint32_t
kept_from(const struct identity *log)
{
	uint32_t i = log->count;

	for (uint32_t n = 0; i > 0 && n < log->bounds.kept; i--)
		n += log->rows[i - 1].row.source == IDENTITY_USED_UP;
	return i;
}

static bool
stays(const struct identity *log, uint32_t i, uint32_t from)
{
	const struct identity_row *row = &log->rows[i].row;
	struct identity_row other;

	if (row->source == IDENTITY_USED_UP)
		return i >= from;
	for (int64_t at = -1; identity_next_uidl(log, row->uidl, &at, &other);)
		if (at < from && other.source == IDENTITY_USED_UP &&
			(other.key.n == 0 || view_equal(other.key, row->key)))
			return false;
	return true;
}

static int
take_what_stays(const struct identity *log, struct identity *fresh)
{
	uint32_t from = kept_from(log);
	int r = 0;

	for (uint32_t i = 0; i < log->count && r == 0; i++)
		if (stays(log, i, from))
			r = identity_add(fresh, &log->rows[i].row);
	/* What it would be full of still can be left out by the caller. */
	return r == 0 && identity_is_full(fresh) ? -EFBIG : r;
}

int
identity_compact(struct identity *log, bool replace, bool *ret_done)
{
	struct identity fresh = {.name = log->name,
		.dir = log->dir,
		.bounds = log->bounds,
		.left_out = log->left_out};
	int r = take_what_stays(log, &fresh);

	*ret_done = false;
	if (r == 0)
		r = identity_write_anew(&fresh, replace);
	/* Renamed, though the directory could not be synced: it is the log now. */
	*ret_done = r == 0 || fresh.there;
	if (!*ret_done) {
		identity_free_rows(&fresh);
		log->compact_from = log->count + log->bounds.gain;
		return r;
	}
	identity_free_rows(log);
	*log = fresh;
	return r;
}

int
identity_leave_out(struct identity *log)
{
	uint32_t pending = log->count - log->synced, n = 0;
	AUTO_FREE struct identity_row *rest = calloc((size_t)pending + 1, sizeof(*rest));

	if (!rest)
		return -ENOMEM;
	for (uint32_t i = log->synced; i < log->count; i++)
		if (log->rows[i].row.source != IDENTITY_USED_UP)
			rest[n++] = log->rows[i].row;
	int r = identity_cut(log, log->synced);
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = identity_take(log, &rest[i]);
	if (r == 0)
		log->left_out += pending - n;
	return r;
}
