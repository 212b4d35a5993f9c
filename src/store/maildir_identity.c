/*
 * The identity log of a Maildir: when it is asked, and what is written into it.
 *
 * Most UIDLs follow from the key and are not logged; a maildrop that needs no log has no
 * file. Logged are those of twins (several messages with one key) but the first, and what
 * twins leave behind: a key alone does not tell whose a UIDL was.
 */
#include "base/ascii.h"
#include "store/maildir_build.h"

#include <errno.h>
#include <string.h>

bool
maildir_log_is_other(const struct store *s, const struct maildir_table *t)
{
	const struct identity_stamp *a = &s->log_now, *b = &t->log;

	return a->dev != b->dev || a->ino != b->ino || a->size != b->size ||
		a->ctime_ns != b->ctime_ns;
}

int
maildir_log_open(struct store *s)
{
	if (s->log && !identity_is_stale(s->log, s->top, IDENTITY_NAME))
		return identity_lend_dir(s->log, s->top);
	identity_close(&s->log);
	int r = identity_open(s->top, IDENTITY_NAME, &s->log);
	if (r < 0)
		return r;
	s->log_now = identity_stamp_of(s->log);
	return 0;
}

static int
need_log(struct store *s)
{
	return s->log ? 0 : maildir_log_open(s);
}

int
maildir_log_given(struct store *s, const struct maildir_table *t,
	const struct maildir_row *r, uint8_t source)
{
	struct identity_row row = {.source = source,
		.place = source == IDENTITY_IMPORTED ? r->place : IDENTITY_NO_PLACE,
		.seen_s = r->first_s,
		.key = maildir_key(t, r),
		.uidl = maildir_row_uidl(t, r)};
	int e = need_log(s);

	return e < 0 ? e : identity_add(s->log, &row);
}

bool
maildir_log_is_used_up(const struct identity *log, struct view key, struct view uidl)
{
	return identity_has(log, IDENTITY_USED_UP, key, uidl);
}

static int
use_up(struct store *s, const struct maildir_table *t, const struct maildir_row *r)
{
	struct identity_row row = {.source = IDENTITY_USED_UP,
		.place = IDENTITY_NO_PLACE,
		.seen_s = r->first_s,
		.key = maildir_key(t, r),
		.uidl = maildir_row_uidl(t, r)};

	if (!(r->flags & ROW_SHARED)) {
		if (r->uidl_at == r->key_at || !s->log)
			return 0;
		if (!identity_has(s->log, IDENTITY_ASSIGNED, row.key, row.uidl))
			return 0;
	}
	int e = need_log(s);
	if (e < 0 || maildir_log_is_used_up(s->log, row.key, row.uidl))
		return e;
	return identity_add(s->log, &row);
}

int
maildir_log_used_up(struct store *s, const struct maildir_table *t, const uint8_t *stays)
{
	int e = 0;

	for (uint32_t i = 0; i < t->pub.count && e == 0; i++) {
		const struct maildir_row *r = &t->rows[i];
		if (stays ? stays[i] : !(r->flags & ROW_REMOVED))
			continue;
		e = use_up(s, t, r);
	}
	return e;
}

int
maildir_log_sync(struct store *s)
{
	int r = identity_sync(s->log);

	if (identity_left_out(s->log) > 0)
		s->log_full = true;
	if (r == 0)
		s->log_now = identity_stamp_of(s->log);
	return r;
}
