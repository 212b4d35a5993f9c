/* The journal: which message is on its way to which target (letter.h has the order). */
#include "fetch/state_parts.h"

#include "base/check.h"
#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct intending {
	struct state *s;
	int64_t account;
	const struct fetch_account *a;
};

/* The session made this uid of the header, which many messages may have. */
static bool
is_made_up(struct view uid)
{
	return uid.n > 0 && memchr(uid.p, 0, uid.n);
}

/*
 * The row of the letter's uid: 1 and its id, or 0. A row whose header and octets both are
 * others is another message: what its targets have is not this one. Where the uid is made
 * of the header, other octets are enough, and it may be on its way in the same batch.
 */
static int
find_own_row(const struct intending *in, const struct letter *l, int64_t *ret)
{
	bool other;
	{
		uint8_t header[HEADER_DIGEST], digest[DIGEST_OCTETS];
		AUTO_RESET *q = state_statement(in->s, STATE_INTEND_FIND);
		bind_i64(q, 1, in->account);
		bind_blob(q, 2, l->uid);
		int r = state_step(in->s, q);
		if (r <= 0)
			return r;
		*ret = sqlite3_column_int64(q, 0);
		other = column_octets(q, 2, digest, sizeof(digest)) &&
			memcmp(digest, l->digest, sizeof(digest)) != 0 &&
			(is_made_up(l->uid) ||
				(column_u32(q, 3, 0) != 0 &&
					column_octets(q, 1, header, sizeof(header)) &&
					memcmp(header, l->header, sizeof(header)) != 0));
	}
	if (!other)
		return 1;
	int r = state_step_aside(in->s, in->account, *ret, l->uid, clock_unix_s());
	return r < 0 ? r : 0;
}

static void
bind_letter(sqlite3_stmt *q, int at, const struct letter *l)
{
	bind_u64(q, at, l->listed);
	bind_blob(q, at + 1, (struct view){l->header, sizeof(l->header)});
	bind_blob(q, at + 2, (struct view){l->digest, sizeof(l->digest)});
	bind_i64(q, at + 3, (int64_t)l->octets);
	bind_i64(q, at + 4, (int64_t)l->stored);
}

static int
intend_again(const struct intending *in, const struct letter *l)
{
	AUTO_RESET *q = state_statement(in->s, STATE_INTEND_AGAIN);

	bind_i64(q, 1, in->account);
	bind_blob(q, 2, l->uid);
	bind_letter(q, 3, l);
	return state_run(in->s, q);
}

/* 1 and its id, or 0 where the account has a row of this uid. */
static int
intend_new(const struct intending *in, const struct letter *l, int64_t *ret)
{
	AUTO_RESET *q = state_statement(in->s, STATE_INTEND_NEW);

	bind_i64(q, 1, in->account);
	bind_blob(q, 2, l->uid);
	bind_i64(q, 3, in->s->next_message);
	bind_letter(q, 4, l);
	bind_i64(q, 9, (int64_t)clock_unix_s());
	int r = state_run(in->s, q);
	if (r < 0 || sqlite3_changes(in->s->db) == 0)
		return r;
	*ret = in->s->next_message++;
	return 1;
}

/* *ret_new: its row is new, so that nothing else knows of it. */
static int
intend_message(
	const struct intending *in, const struct letter *l, int64_t *ret, bool *ret_new)
{
	/* Most are: asking first would cost one question more for each. */
	int r = intend_new(in, l, ret);

	if (r == 0) {
		r = find_own_row(in, l, ret);
		if (r > 0)
			return intend_again(in, l);
		/* Its row stepped aside. */
		if (r == 0)
			r = intend_new(in, l, ret);
		if (r == 0)
			return state_fail(in->s, -EEXIST,
				"a message cannot be journalled beside another");
	}
	*ret_new = r > 0;
	return r < 0 ? r : 0;
}

static int
run_with_message(struct state *s, enum state_statement id, int64_t message)
{
	AUTO_RESET *q = state_statement(s, id);

	bind_i64(q, 1, message);
	return state_run(s, q);
}

/* Rows of messages that follow one another, as those of one batch mostly do. */
struct rows {
	int64_t first, n;
};

static void
bind_rows(sqlite3_stmt *q, const struct rows *rows)
{
	bind_i64(q, 1, rows->first);
	bind_i64(q, 2, rows->first + rows->n - 1);
}

/* The messages' stages, from those of their deliveries. */
static int
settle_messages(struct state *s, const struct rows *rows, uint64_t now_s)
{
	{
		AUTO_RESET *q = state_statement(s, STATE_MESSAGE_SYNCED);
		bind_rows(q, rows);
		bind_i64(q, 3, (int64_t)now_s);
		int r = state_run(s, q);
		/* Then none of their deliveries is owed. */
		if (r < 0 || sqlite3_changes64(s->db) == rows->n)
			return r;
	}
	AUTO_RESET *q = state_statement(s, STATE_MESSAGE_OWED);
	bind_rows(q, rows);
	return state_run(s, q);
}

static int
settle_message(struct state *s, int64_t message, uint64_t now_s)
{
	return settle_messages(s, &(struct rows){message, 1}, now_s);
}

static int
intend_delivery(
	const struct intending *in, const struct letter *l, size_t t, int64_t message)
{
	bool wanted = l->wanted & (UINT32_C(1) << t);
	AUTO_RESET *q = state_statement(in->s, STATE_INTEND_DELIVERY);

	bind_i64(q, 1, message);
	bind_text(q, 2, in->a->targets[t].text);
	bind_i64(q, 3, wanted ? DELIVERY_INTENDED : DELIVERY_OWED);
	bind_text(q, 4, wanted ? l->tmp : NULL);
	bind_text(q, 5, wanted && l->names ? l->names[t] : "");
	bind_i64(q, 6, (int64_t)t);
	return state_run(in->s, q);
}

static int
intend_letter(const struct intending *in, struct letter *l)
{
	int64_t message = 0;
	bool is_new = false;
	int r = intend_message(in, l, &message, &is_new);

	l->row = message;
	/* Targets that are no longer wanted must not be waited for. */
	if (r == 0 && !is_new)
		r = run_with_message(in->s, STATE_INTEND_CLEAR, message);
	if (r == 0 && !is_new)
		r = run_with_message(in->s, STATE_INTEND_PLACES, message);
	for (size_t t = 0; r == 0 && t < in->a->targets_n; t++)
		r = intend_delivery(in, l, t, message);
	if (r < 0 || l->wanted != 0)
		return r;
	return settle_message(in->s, message, clock_unix_s());
}

int
state_intend(struct state *s, int64_t account, struct letter *const *l, size_t n,
	const struct fetch_account *a)
{
	struct intending in = {s, account, a};
	int r;

	CHECK(a->targets_n <= FETCH_TARGETS_MAX);
	for (size_t i = 0; i < n; i++)
		if (l[i]->uid.n == 0 || l[i]->uid.n > LETTER_UID_MAX)
			return -EINVAL;
	if (n == 0)
		return 0;
	r = state_enter(s, "journalling what comes");
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = intend_letter(&in, l[i]);
	return state_leave(s, r);
}

static int
run_for_delivery(struct state *s, sqlite3_stmt *q, int64_t n)
{
	int r = state_run(s, q);

	if (r == 0 && sqlite3_changes64(s->db) != n)
		return state_fail(
			s, -ENOENT, "a message was not journalled for a target");
	return r;
}

static int
settle_delivered(struct state *s, const struct rows *rows, size_t target, uint64_t now_s)
{
	int r;
	{
		AUTO_RESET *q = state_statement(s, STATE_SETTLE_SYNCED);
		bind_rows(q, rows);
		bind_i64(q, 3, (int64_t)target);
		r = run_for_delivery(s, q, rows->n);
	}
	return r < 0 ? r : settle_messages(s, rows, now_s);
}

/* No try of the message: it came whole, and what a target lacks is not its fault. */
static int
settle_failed(struct state *s, int64_t message, size_t target, uint64_t now_s)
{
	int r;
	{
		AUTO_RESET *q = state_statement(s, STATE_SETTLE_OWED);
		bind_i64(q, 1, message);
		bind_i64(q, 2, (int64_t)target);
		r = run_for_delivery(s, q, 1);
	}
	return r < 0 ? r : settle_message(s, message, now_s);
}

/* How many from the i-th on are settled in the same way, in rows that follow one another.
 */
static int64_t
alike(const struct settled *done, size_t n, size_t i)
{
	const struct settled *first = &done[i];
	int64_t k = 1;

	if (!first->delivered || first->letter->row == 0)
		return 1;
	while (i + (size_t)k < n && done[i + (size_t)k].delivered &&
		done[i + (size_t)k].target == first->target &&
		done[i + (size_t)k].letter->row == first->letter->row + k)
		k++;
	return k;
}

/* The i-th and what is alike; *ret_n: how many. */
static int
settle_some(struct state *s, int64_t account, const struct settled *done, size_t n,
	size_t i, uint64_t now_s, size_t *ret_n)
{
	const struct settled *one = &done[i];
	struct rows rows = {one->letter->row, alike(done, n, i)};
	int r = rows.first != 0
		? 1
		: state_message_id(s, account, one->letter->uid, &rows.first);

	*ret_n = (size_t)rows.n;
	if (r == 0)
		return state_fail(s, -ENOENT, "a message was not journalled");
	if (r < 0)
		return r;
	if (one->delivered)
		return settle_delivered(s, &rows, one->target, now_s);
	return settle_failed(s, rows.first, one->target, now_s);
}

int
state_settle(struct state *s, int64_t account, const struct settled *done, size_t n,
	uint64_t now_s)
{
	int r;

	if (n == 0)
		return 0;
	r = state_enter(s, "journalling what was delivered");
	if (r < 0)
		return r;
	for (size_t i = 0, some; r == 0 && i < n; i += some)
		r = settle_some(s, account, done, n, i, now_s, &some);
	return state_leave(s, r);
}

/* ---- the replay ---- */

static void
read_unsettled(sqlite3_stmt *q, struct unsettled *u)
{
	memset(u, 0, sizeof(*u));
	u->message = sqlite3_column_int64(q, 0);
	column_text(q, 1, u->target, sizeof(u->target));
	column_text(q, 2, u->tmp, sizeof(u->tmp));
	column_text(q, 3, u->name, sizeof(u->name));
	(void)column_octets(q, 4, u->digest, sizeof(u->digest));
	u->stored = column_u64(q, 5, 0);
}

static int
read_all_unsettled(struct state *s, int64_t account, struct unsettled **rows, size_t *n)
{
	AUTO_RESET *q = state_statement(s, STATE_UNSETTLED);
	size_t cap = 0;
	int r;

	bind_i64(q, 1, account);
	while ((r = state_step(s, q)) > 0) {
		if (*n == cap) {
			cap = cap ? cap * 2 : 16;
			struct unsettled *more = reallocarray(*rows, cap, sizeof(*more));
			if (!more)
				return state_fail(s, -ENOMEM, "no memory");
			*rows = more;
		}
		read_unsettled(q, &(*rows)[(*n)++]);
	}
	return r;
}

int
state_unsettled(struct state *s, int64_t account, struct unsettled **ret, size_t *ret_n)
{
	struct unsettled *rows = NULL;
	size_t n = 0;
	int r = state_enter_read(s, "reading the journal");

	if (r < 0)
		return r;
	r = state_leave(s, read_all_unsettled(s, account, &rows, &n));
	if (r < 0) {
		free(rows);
		return r;
	}
	*ret = rows;
	*ret_n = n;
	return 0;
}

int
state_replayed(struct state *s, const struct unsettled *u, bool found, uint64_t now_s)
{
	int r = state_enter(s, "settling the journal");

	if (r < 0)
		return r;
	{
		AUTO_RESET *q = state_statement(s, STATE_REPLAYED);
		bind_i64(q, 1, u->message);
		bind_text(q, 2, u->target);
		bind_i64(q, 3, found ? DELIVERY_SYNCED : DELIVERY_OWED);
		r = state_run(s, q);
	}
	if (r == 0)
		r = settle_message(s, u->message, now_s);
	return state_leave(s, r);
}

static int
want(struct state *s, int64_t account, struct letter *l, const struct fetch_account *a)
{
	l->wanted = 0;
	for (size_t t = 0; t < a->targets_n; t++) {
		AUTO_RESET *q = state_statement(s, STATE_TARGET_HAS);
		bind_i64(q, 1, account);
		bind_blob(q, 2, l->uid);
		bind_text(q, 3, a->targets[t].text);
		bind_blob(q, 4, (struct view){l->digest, sizeof(l->digest)});
		bind_i64(q, 5, is_made_up(l->uid));
		int r = state_step(s, q);
		if (r < 0)
			return r;
		if (r == 0)
			l->wanted |= UINT32_C(1) << t;
	}
	return 0;
}

int
state_want(struct state *s, int64_t account, struct letter *const *l, size_t n,
	const struct fetch_account *a)
{
	int r = state_enter_read(s, "asking for deliveries");

	CHECK(a->targets_n <= FETCH_TARGETS_MAX);
	if (r < 0)
		return r;
	/* Else each statement takes and gives back the locks of a reader. */
	if (n > 1) {
		AUTO_RESET *q = state_statement(s, STATE_BEGIN_READ);
		r = state_run(s, q);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = want(s, account, l[i], a);
	return state_leave(s, r);
}
