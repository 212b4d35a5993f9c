/*
 * The descriptors that slices and pieces of messages take. Past its limit of open files a
 * front would lose what others send it; so who finds the budget used up waits.
 */
#include "front/transfer.h"

#include "base/check.h"
#include "os/fd.h"

static_assert(ARRAY_SIZE(((struct front *)NULL)->waiting) == BUDGET_KINDS);

/* ---- those that wait ---------------------------------------------------- */

static void
queue(struct transfer *t, enum budget_kind kind)
{
	struct front *f = t->conn->front;

	CHECK(t->waits_for == BUDGET_NOTHING);
	t->waits_for = (uint8_t)kind;
	t->is_called = false;
	t->behind = NULL;
	t->before = f->waiting[kind].last;
	*(t->before ? &t->before->behind : &f->waiting[kind].first) = t;
	f->waiting[kind].last = t;
}

void
budget_leave(struct transfer *t)
{
	struct front *f = t->conn->front;
	uint8_t kind = t->waits_for;

	if (kind == BUDGET_NOTHING)
		return;
	*(t->before ? &t->before->behind : &f->waiting[kind].first) = t->behind;
	*(t->behind ? &t->behind->before : &f->waiting[kind].last) = t->before;
	t->before = t->behind = NULL;
	t->waits_for = BUDGET_NOTHING;
}

/* One that comes now must not pass those that wait. */
static bool
is_queue(const struct front *f, enum budget_kind kind)
{
	return f->waiting[BUDGET_PIECE].first ||
		(kind == BUDGET_SLICE && f->waiting[BUDGET_SLICE].first);
}

/* Not at once: whoever gave something back is in the midst of its own turn. */
static void
call_soon(struct front *f)
{
	/* Without memory for a timer the next one that gives something back calls. */
	if (is_queue(f, BUDGET_SLICE) && !f->call.slot)
		(void)!loop_timer_set(f->loop, &f->call, loop_now_ms(f->loop));
}

/* ---- what is held ahead ------------------------------------------------- */

void
budget_unlist(struct transfer *t)
{
	struct front *f = t->conn->front;

	if (!t->is_listed)
		return;
	*(t->older ? &t->older->newer : &f->ahead_oldest) = t->newer;
	*(t->newer ? &t->newer->older : &f->ahead_newest) = t->older;
	t->older = t->newer = NULL;
	t->is_listed = false;
}

void
budget_list(struct transfer *t)
{
	struct front *f = t->conn->front;

	budget_unlist(t);
	t->older = f->ahead_newest;
	*(t->older ? &t->older->newer : &f->ahead_oldest) = t;
	f->ahead_newest = t;
	t->is_listed = true;
	/* Who waits may have it. */
	call_soon(f);
}

void
transfer_drop_held(struct transfer *t)
{
	for (size_t i = 0; i < t->held_n; i++) {
		if (t->held[i].fd < 0)
			continue;
		fd_close(&t->held[i].fd);
		budget_back(t->conn->front, 1);
	}
	t->held_n = 0;
	budget_unlist(t);
}

void
transfer_drop_piece(struct transfer *t, struct piece *p)
{
	if (p->fd < 0)
		return;
	fd_close(&p->fd);
	budget_back(t->conn->front, 1);
}

/* ---- the budget --------------------------------------------------------- */

static uint32_t
room_for(const struct front *f, enum budget_kind kind)
{
	uint32_t kept = 0;

	if (kind == BUDGET_SLICE)
		kept = f->ahead_max / 4 > 0 ? f->ahead_max / 4 : 1;
	return f->ahead_max > f->ahead_n + kept ? f->ahead_max - f->ahead_n - kept : 0;
}

/*
 * What is asked for beyond the one that is needed leaves half of the budget: a keeper
 * that does not answer cannot be made to give back what it was asked for.
 */
static uint32_t
with_ahead(const struct front *f, uint32_t n)
{
	uint32_t half = f->ahead_max / 2;
	uint32_t room = half > f->ahead_n ? half - f->ahead_n : 0;

	return n < room ? n : room;
}

uint32_t
budget_take(struct transfer *t, enum budget_kind kind, uint32_t n)
{
	struct front *f = t->conn->front;

	CHECK(n > 0);
	if (t->waits_for != BUDGET_NOTHING)
		return 0;
	bool waits = is_queue(f, kind) && !t->is_called;
	while (!waits && f->ahead_oldest &&
		(room_for(f, kind) == 0 || (n > 1 && with_ahead(f, n) < n)))
		transfer_drop_held(f->ahead_oldest);
	uint32_t room = room_for(f, kind);
	if (waits || room == 0) {
		queue(t, kind);
		call_soon(f);
		return 0;
	}
	t->is_called = false;
	n = with_ahead(f, n < room ? n : room);
	if (n == 0)
		n = 1;
	f->ahead_n += n;
	return n;
}

uint32_t
budget_spare(struct front *f, enum budget_kind kind, uint32_t n)
{
	uint32_t room = is_queue(f, BUDGET_SLICE) ? 0 : room_for(f, kind);

	n = with_ahead(f, n < room ? n : room);
	f->ahead_n += n;
	return n;
}

void
budget_back(struct front *f, uint32_t n)
{
	CHECK(f->ahead_n >= n);
	f->ahead_n -= n;
	if (n > 0)
		call_soon(f);
}

static bool
call_one(struct front *f, enum budget_kind kind)
{
	struct transfer *t = f->waiting[kind].first;

	if (!t || (room_for(f, kind) == 0 && !f->ahead_oldest))
		return false;
	budget_leave(t);
	t->is_called = true;
	conn_look(t->conn);
	return true;
}

/* Those that find nothing wait again, and then there is no room: this comes to an end. */
static void
call(struct timer *timer, uint64_t now_ms)
{
	struct front *f = CONTAINER_OF(timer, struct front, call);

	(void)now_ms;
	while (call_one(f, BUDGET_PIECE) || call_one(f, BUDGET_SLICE))
		;
}

void
budget_init(struct front *f)
{
	f->call.fire = call;
}
