#include "auth/watch.h"

#include <string.h>

static bool
same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->links == b->links &&
		a->size == b->size && a->mtime_ns == b->mtime_ns &&
		a->ctime_ns == b->ctime_ns;
}

/*
 * It was read when a later change might still have got this time: once that is over, it
 * is read again. Where that takes seconds, it is also read for each login that did not
 * wait for a reading; but not for a time ahead of our clock, which somebody set, or which
 * is another clock's, maybe for hours.
 */
static bool
read_too_soon(
	const struct watch *w, uint64_t changed_ns, bool has_waited, uint64_t now_ns)
{
	bool whole = changed_ns % 1000000000 == 0;
	uint64_t settled = changed_ns + WATCH_TICK_NS + (whole ? WATCH_WHOLE_NS : 0);

	if (w->read_ns >= settled)
		return false;
	return now_ns >= settled || (whole && !has_waited && w->read_ns >= changed_ns);
}

static enum watch_advice
ask(struct watch *w, uint64_t now_ms)
{
	w->state = WATCH_ASKED;
	w->at_ms = now_ms + WATCH_ASK_MS;
	return WATCH_ASK;
}

enum watch_advice
watch_login(struct watch *w, const struct stamp *seen, unsigned rounds, uint64_t now_ms,
	uint64_t now_ns)
{
	switch (w->state) {
	case WATCH_NONE: return now_ms >= w->at_ms ? ask(w, now_ms) : WATCH_REFUSE;
	case WATCH_ASKED:
	case WATCH_LOADING: return WATCH_HOLD;
	case WATCH_HELD: break;
	}
	if (rounds >= WATCH_ROUNDS_MAX)
		return WATCH_GO;
	/* A file system may keep one of the two times, and the other one not. */
	if (!seen || !same_stamp(seen, &w->stamp) ||
		read_too_soon(w, w->stamp.ctime_ns, rounds > 0, now_ns) ||
		read_too_soon(w, w->stamp.mtime_ns, rounds > 0, now_ns))
		return ask(w, now_ms);
	return WATCH_GO;
}

static void
set_none(struct watch *w, uint64_t now_ms)
{
	w->state = WATCH_NONE;
	w->at_ms = now_ms + WATCH_RETRY_MS;
}

void
watch_arrived(struct watch *w, bool with_file, uint64_t now_ms)
{
	if (with_file)
		w->state = WATCH_LOADING;
	else
		set_none(w, now_ms);
}

void
watch_loaded(struct watch *w, bool ok, const struct stamp *stamp, uint64_t read_ns,
	uint64_t now_ms)
{
	if (!ok) {
		set_none(w, now_ms);
		return;
	}
	w->state = WATCH_HELD;
	w->stamp = *stamp;
	w->read_ns = read_ns;
}

bool
watch_gave_up(struct watch *w, uint64_t now_ms)
{
	if (w->state != WATCH_ASKED || now_ms < w->at_ms)
		return false;
	set_none(w, now_ms);
	return true;
}
