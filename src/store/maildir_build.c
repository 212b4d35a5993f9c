/* From names to a table: what stays, what is known, what is a message, links, order. */
#include "store/maildir_build.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/item_sort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD 8 /* names that are fetched while others are looked at */

#define TEXT_SMALL 65536 /* beyond, room that is not used costs no memory */

static int
add_row(struct maildir_build *b, const struct maildir_entry *e)
{
	struct maildir_row *r = &b->t->rows[b->n];
	struct maildir_name name;
	const char *text = b->scan->names.p + e->name_at;
	uint32_t at;

	if (!maildir_name_parse((struct view){(const uint8_t *)text, e->name_n}, &name))
		return 0;
	int error = maildir_bytes_add(&b->t->text, text, e->name_n, &at);
	if (error < 0)
		return error;
	*r = (struct maildir_row){.ino = e->ino,
		.name_at = at,
		.name_n = e->name_n,
		.dir = e->dir,
		.key_at = at,
		.key_n = name.key_n,
		.place = IDENTITY_NO_PLACE,
		.flags = name.seen ? ROW_SEEN : 0};
	b->times[b->n++] = name.time;
	/* Mostly the key is how the name begins. */
	if (memcmp(text, name.key, name.key_n) == 0)
		return 0;
	return maildir_bytes_add(&b->t->text, name.key, name.key_n, &r->key_at);
}

/*
 * A row for each entry, by inode: so a cold disk is read from one end to the other, what
 * the kernel has of the files lies as they follow, and mostly it is the order of their
 * coming too. Their names are copied in this order, which all that follows goes along.
 */
static int
add_rows(struct maildir_build *b)
{
	const struct maildir_scan *scan = b->scan;
	AUTO_FREE struct sort_item *order =
		maildir_room((2 * scan->n + 1) * sizeof(*order));
	int r = 0;

	b->t->text.cap = scan->names.n + scan->names.n / 8 + 64;
	b->t->text.p = maildir_room(b->t->text.cap);
	if (!order || !b->t->text.p)
		return -ENOMEM;
	for (size_t i = 0; i < scan->n; i++)
		order[i] = (struct sort_item){scan->entries[i].ino, (uint32_t)i};
	item_sort(order, order + scan->n, scan->n);
	for (size_t i = 0; i < scan->n && r == 0; i++) {
		if (i + 2 * AHEAD < scan->n)
			__builtin_prefetch(&scan->entries[order[i + 2 * AHEAD].idx]);
		if (i + AHEAD < scan->n)
			__builtin_prefetch(scan->names.p +
				scan->entries[order[i + AHEAD].idx].name_at);
		r = add_row(b, &scan->entries[order[i].idx]);
	}
	return r;
}

void
maildir_build_drop(struct maildir_build *b, const uint8_t *drop)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		if (drop[i])
			continue;
		b->t->rows[n] = b->t->rows[i];
		b->times[n] = b->times[i];
		b->match[n++] = b->match[i];
	}
	b->n = n;
}

/* ---- sizes ------------------------------------------------------------------ */

static bool
needs_sizing(const struct maildir_build *b, uint32_t i)
{
	if (b->match[i] == 0)
		return true;
	const struct maildir_row *k = &b->known->rows[b->match[i] - 1];
	const struct maildir_row *r = &b->t->rows[i];
	if (k->ino != r->ino)
		return true;
	return k->dir != MAILDIR_NOWHERE &&
		b->known->ids[k->dir].dev != b->t->ids[r->dir].dev;
}

static void
leave_out(struct maildir_build *b, uint32_t i, int error, struct maildir_left_out *l)
{
	const struct maildir_row *r = &b->t->rows[i];

	b->lossy = true;
	if (error == -ENOENT)
		b->t->moved++;
	if (error == -EINVAL)
		return; /* no file: no directory will make it one */
	/* It may be readable next time, and no directory will tell. */
	b->t->racy |= UINT64_C(1) << r->dir;
	if (error != -ENOENT && l->n++ == 0) {
		l->error = error;
		l->dir = r->dir;
		l->name = (struct view){
			(const uint8_t *)b->t->text.p + r->name_at, r->name_n};
		l->ino = r->ino;
	}
}

static int
size_rows(struct store *s, struct maildir_build *b)
{
	AUTO_FREE struct maildir_sizing *list = calloc((size_t)b->n + 1, sizeof(*list));
	AUTO_FREE uint8_t *drop = calloc((size_t)b->n + 1, 1);
	struct maildir_left_out unread = {.n = 0};
	size_t n = 0;

	if (!list || !drop)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++)
		if (needs_sizing(b, i))
			list[n++].row = i;
	maildir_size_all(b, s->sub, list, n);
	for (size_t i = 0; i < n; i++) {
		int r = list[i].result;
		/* Of this process, not of the message: leaving it out would be a lie. */
		if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
			return r;
		if (r == 0)
			continue;
		drop[list[i].row] = true;
		leave_out(b, list[i].row, r, &unread);
	}
	maildir_notice_left_out(s, &unread);
	maildir_build_drop(b, drop);
	return 0;
}

/*
 * When a message was first seen is known to the index alone, which is a cache: it goes
 * into the log only with rows that stand there anyway. A client is shown nothing of it,
 * and a rebuilt index takes the file's own time, which is that of its delivery, or where
 * that was not looked at, the time in its name, which is the same; a log of a row for
 * each message would cost a sync at every one, for this alone.
 */
static void
set_first_seen(struct maildir_build *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct maildir_row *r = &b->t->rows[i];
		const struct maildir_row *k =
			b->match[i] ? &b->known->rows[b->match[i] - 1] : NULL;
		uint64_t s = b->known	  ? b->now_s
			: r->mtime_ns < 0 ? b->times[i]
					  : (uint64_t)r->mtime_ns / 1000000000;
		if (s > b->now_s || s > UINT32_MAX)
			s = b->now_s > UINT32_MAX ? UINT32_MAX : b->now_s;
		r->first_s = k && k->first_s != 0 ? k->first_s : (uint32_t)s;
	}
}

/* ---- all of it -------------------------------------------------------------- */

/*
 * Tables lie there in their thousands while sessions are idle, and most maildrops hold
 * little. Before anything points into the text.
 */
static void
fit_text(struct maildir_bytes *text)
{
	char *fitted = text->cap > text->n && text->cap <= TEXT_SMALL
		? realloc(text->p, text->n + 1)
		: NULL;

	if (!fitted)
		return;
	text->p = fitted;
	text->cap = text->n + 1;
}

static int
build_all(struct store *s, struct maildir_build *b, struct maildir_table *known)
{
	int r = add_rows(b);

	if (r == 0)
		r = maildir_match(b);
	if (r == 0)
		r = size_rows(s, b);
	if (r == 0)
		r = maildir_drop_links(b);
	if (r < 0)
		return r;
	set_first_seen(b);
	r = maildir_sort(b);
	if (r == 0)
		r = maildir_uidls_assign(s, b);
	/* Now some have a place. */
	if (r == 0)
		r = maildir_sort(b);
	if (r == 0 && (uint64_t)b->n + b->kept_n > MAILDIR_MESSAGES_MAX)
		r = -EFBIG;
	if (r == 0)
		r = maildir_mark_shared(b);
	if (r == 0 && known && !s->recounted && maildir_patch(b, known))
		return 0;
	if (r == 0)
		r = maildir_merge(b);
	if (r < 0)
		return r;
	fit_text(&b->t->text);
	return maildir_table_finish(b->t);
}

static void
mark_kept(struct maildir_build *b)
{
	for (uint32_t i = 0; i < b->known->pub.count; i++) {
		b->kept[i] = b->scan->kept[i] ? MAILDIR_KEPT : 0;
		b->kept_n += b->kept[i];
	}
}

int
maildir_table_build(struct store *s, struct maildir_scan *scan,
	struct maildir_table *known, struct maildir_table **ret)
{
	struct maildir_build b = {.known = known, .scan = scan, .now_s = clock_unix_s()};
	AUTO_FREE uint64_t *times = calloc(scan->n + 1, sizeof(*times));
	AUTO_FREE uint32_t *match = calloc(scan->n + 1, sizeof(*match));
	AUTO_FREE uint8_t *kept = calloc(known ? (size_t)known->pub.count + 1 : 1, 1);
	AUTO_FREE uint32_t *moved =
		calloc(known ? (size_t)known->pub.count + 1 : 1, sizeof(*moved));
	int r = maildir_table_new((uint32_t)scan->n, s->dirs, &b.t);

	if (r < 0)
		return r;
	if (!times || !match || !kept || !moved) {
		maildir_table_unref(&b.t);
		return -ENOMEM;
	}
	b.times = times;
	b.match = match;
	b.kept = kept;
	b.moved = moved;
	if (known)
		mark_kept(&b);
	b.again = known && maildir_log_is_other(s, known);
	memcpy(b.t->ids, scan->ids, s->dirs * sizeof(*b.t->ids));
	b.t->racy = scan->racy;
	r = build_all(s, &b, known);
	if (r < 0) {
		maildir_table_unref(&b.t);
		return r;
	}
	if (known)
		maildir_walks_take(&b, scan, known, moved);
	*ret = b.t;
	return 0;
}
