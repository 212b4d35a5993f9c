/* What is remembered of messages, and what a session saw of them. */
#include "fetch/state_parts.h"

#include "base/check.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Uids that step aside several times because a server lists such ones itself. */
#define ASIDE_TRIES 100

void
known_free(struct known_table *t)
{
	free(t->rows);
	free(t->memory);
	memset(t, 0, sizeof(*t));
}

/* ---- loading ---- */

struct loading {
	struct known_table table;
	size_t rows_cap, memory_n, memory_cap;
};

static int
grow(void **p, size_t *cap, size_t need, size_t each, size_t first)
{
	if (need <= *cap)
		return 0;
	size_t more = *cap ? *cap + *cap / 2 : first;
	if (more < need)
		more = need;
	void *grown = reallocarray(*p, more, each);
	if (!grown)
		return -ENOMEM;
	*p = grown;
	*cap = more;
	return 0;
}

static int
load_row(struct state *s, sqlite3_stmt *q, struct loading *l)
{
	struct view uid = column_blob(q, 1);
	void *rows = l->table.rows, *memory = l->table.memory;
	int r = grow(&rows, &l->rows_cap, l->table.n + 1, sizeof(struct known), 64);

	l->table.rows = rows;
	if (r == 0)
		r = grow(&memory, &l->memory_cap, l->memory_n + uid.n + 1, 1, 4096);
	l->table.memory = memory;
	if (r < 0)
		return state_fail(s, r, "no memory");
	uint32_t stage = column_u32(q, 8, KNOWN_STAGES), tries = column_u32(q, 9, 0);
	if (stage >= KNOWN_STAGES)
		return state_error(s, SQLITE_CORRUPT);
	struct known *k = &l->table.rows[l->table.n++];
	*k = (struct known){
		.row = sqlite3_column_int64(q, 0),
		.uid = {NULL, uid.n},
		.size = column_u64(q, 2, UINT64_MAX),
		.first_seen_s = column_u64(q, 3, 0),
		.delivered_s = column_u64(q, 4, 0),
		.gone_s = column_u64(q, 5, 0),
		.dele_sent = column_u32(q, 7, 0) != 0,
		.stage = (uint8_t)stage,
		.tries = (uint8_t)(tries > UINT8_MAX ? UINT8_MAX : tries),
	};
	k->has_header = column_octets(q, 6, k->header, HEADER_DIGEST);
	static_assert(HEADER_DIGEST == 16, "as the statement cuts it");
	(void)column_octets(q, 10, k->digest, HEADER_DIGEST);
	if (uid.n > 0)
		memcpy(l->table.memory + l->memory_n, uid.p, uid.n);
	l->memory_n += uid.n;
	return 0;
}

int
state_load(struct state *s, int64_t account, struct known_table *ret)
{
	struct loading l = {.table = {NULL, 0, NULL}};
	int r = state_enter_read(s, "reading what is known");

	if (r < 0)
		return r;
	{
		AUTO_RESET *q = state_statement(s, STATE_LOAD);
		bind_i64(q, 1, account);
		while ((r = state_step(s, q)) > 0) {
			r = load_row(s, q, &l);
			if (r < 0)
				break;
		}
	}
	r = state_leave(s, r);
	if (r < 0) {
		known_free(&l.table);
		return r;
	}
	/* The memory stands still from now on. */
	for (size_t i = 0, at = 0; i < l.table.n; i++) {
		l.table.rows[i].uid.p = l.table.memory + at;
		at += l.table.rows[i].uid.n;
	}
	*ret = l.table;
	return 0;
}

/* ---- marks ---- */

struct marking {
	struct state *s;
	int64_t account;
	uint64_t now_s;
	int64_t *ids; /* of the rows that are renamed, mark by mark; 0: none */
};

static bool
is_zero(const uint8_t *p, size_t n)
{
	uint8_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= p[i];
	return all == 0;
}

int
state_message_id(struct state *s, int64_t account, struct view uid, int64_t *ret)
{
	AUTO_RESET *q = state_statement(s, STATE_FIND);

	bind_i64(q, 1, account);
	bind_blob(q, 2, uid);
	int r = state_step(s, q);
	if (r > 0)
		*ret = sqlite3_column_int64(q, 0);
	return r;
}

int
state_step_aside(
	struct state *s, int64_t account, int64_t id, struct view uid, uint64_t gone_s)
{
	uint8_t aside[LETTER_UID_MAX + 2 * STATE_ASIDE_MAX];
	char suffix[STATE_ASIDE_MAX];
	int r = -EEXIST;

	CHECK(uid.n <= LETTER_UID_MAX + STATE_ASIDE_MAX);
	memcpy(aside, uid.p, uid.n);
	for (unsigned int i = 0; r == -EEXIST && i < ASIDE_TRIES; i++) {
		int n = i == 0
			? snprintf(suffix, sizeof(suffix), "old%lld", (long long)id)
			: snprintf(
				  suffix, sizeof(suffix), "old%lld.%u", (long long)id, i);
		CHECK(n > 0 && (size_t)n + 1 < STATE_ASIDE_MAX);
		aside[uid.n] = 0;
		memcpy(aside + uid.n + 1, suffix, (size_t)n);
		AUTO_RESET *q = state_statement(s, STATE_STEP_ASIDE);
		bind_i64(q, 1, account);
		bind_i64(q, 2, id);
		bind_blob(q, 3, (struct view){aside, uid.n + 1 + (size_t)n});
		bind_i64(q, 4, (int64_t)gone_s);
		r = state_run(s, q);
	}
	return r;
}

/* account, uid, id, size, header, now: the row may be new. */
static void
bind_row(const struct marking *m, sqlite3_stmt *q, const struct mark *mark)
{
	bool has_header = !is_zero(mark->header, HEADER_DIGEST);

	bind_i64(q, 1, m->account);
	bind_blob(q, 2, mark->uid);
	bind_i64(q, 3, m->s->next_message);
	bind_u64(q, 4, mark->size);
	bind_blob(q, 5, (struct view){has_header ? mark->header : NULL, HEADER_DIGEST});
	bind_i64(q, 6, (int64_t)m->now_s);
}

static int
mark_row(const struct marking *m, enum state_statement id, const struct mark *mark,
	enum known_stage stage)
{
	AUTO_RESET *q = state_statement(m->s, id);

	bind_row(m, q, mark);
	if (id == STATE_STAGE)
		bind_i64(q, 7, stage);
	int r = state_run(m->s, q);
	/* A number that was not used after all does no harm. */
	m->s->next_message++;
	return r;
}

/* Those of a row that must be there; nothing happens where it is not. */
static int
mark_known(const struct marking *m, enum state_statement id, const struct mark *mark)
{
	AUTO_RESET *q = state_statement(m->s, id);

	bind_i64(q, 1, m->account);
	bind_blob(q, 2, mark->uid);
	if (id == STATE_SIZE)
		bind_u64(q, 3, mark->size);
	else if (id == STATE_HEADER)
		bind_blob(q, 3, (struct view){mark->header, HEADER_DIGEST});
	else if (id == STATE_GONE || id == STATE_DELETED)
		bind_i64(q, 3, (int64_t)m->now_s);
	return state_run(m->s, q);
}

struct compared {
	int rank; /* the better stage has the higher one */
	uint64_t size;
	bool has_header;
	uint8_t header[HEADER_DIGEST];
};

static int
compare_row(struct state *s, int64_t id, struct compared *ret)
{
	static const int ranks[KNOWN_STAGES] = {
		[KNOWN_SEEN] = 0,
		[KNOWN_INTENDED] = 2,
		[KNOWN_QUARANTINED] = 4,
		[KNOWN_SKIPPED] = 6,
		[KNOWN_ADOPTED] = 8,
		[KNOWN_SYNCED] = 10,
	};
	AUTO_RESET *q = state_statement(s, STATE_COMPARE);

	bind_i64(q, 1, id);
	int r = state_step(s, q);
	if (r <= 0)
		return r < 0 ? r : state_error(s, SQLITE_CORRUPT);
	uint32_t stage = column_u32(q, 0, KNOWN_STAGES);
	if (stage >= KNOWN_STAGES)
		return state_error(s, SQLITE_CORRUPT);
	ret->rank = ranks[stage] + (column_u32(q, 3, 0) != 0);
	ret->size = column_u64(q, 1, UINT64_MAX);
	ret->has_header = column_octets(q, 2, ret->header, HEADER_DIGEST);
	return 0;
}

/*
 * The new uid has a row already. The message that is there now is the one that is
 * renamed, so a row that is surely another message never speaks for it.
 */
static bool
old_row_stays(const struct compared *old, const struct compared *taken)
{
	if (old->has_header && taken->has_header &&
		memcmp(old->header, taken->header, HEADER_DIGEST) != 0)
		return true;
	if ((!old->has_header || !taken->has_header) && old->size != UINT64_MAX &&
		taken->size != UINT64_MAX && old->size != taken->size)
		return true;
	return old->rank >= taken->rank;
}

static int
rename_row(const struct marking *m, const struct mark *mark, int64_t id)
{
	struct compared old, taken;
	int64_t holder = 0;
	int r = state_message_id(m->s, m->account, mark->new_uid, &holder);

	if (r > 0) {
		r = compare_row(m->s, id, &old);
		if (r == 0)
			r = compare_row(m->s, holder, &taken);
		if (r == 0 && !old_row_stays(&old, &taken)) {
			AUTO_RESET *q = state_statement(m->s, STATE_TOMBSTONE);
			bind_i64(q, 1, id);
			bind_i64(q, 2, (int64_t)m->now_s);
			return state_run(m->s, q);
		}
		if (r == 0)
			r = state_step_aside(
				m->s, m->account, holder, mark->new_uid, m->now_s);
	}
	if (r < 0)
		return r;
	AUTO_RESET *q = state_statement(m->s, STATE_RENAME);
	bind_i64(q, 1, id);
	bind_blob(q, 2, mark->new_uid);
	return state_run(m->s, q);
}

/*
 * Uids may change places within one listing (2 becomes 1, 3 becomes 2): all rows that get
 * a new one step aside before the first of them takes it.
 */
static int
find_renamed(struct marking *m, const struct mark *marks, size_t n)
{
	size_t i = 0;

	while (i < n && marks[i].kind != MARK_RENAMED)
		i++;
	if (i == n)
		return 0;
	m->ids = calloc(n, sizeof(*m->ids));
	if (!m->ids)
		return state_fail(m->s, -ENOMEM, "no memory");
	for (; i < n; i++) {
		int64_t id;
		if (marks[i].kind != MARK_RENAMED)
			continue;
		int r = state_message_id(m->s, m->account, marks[i].uid, &id);
		if (r > 0) {
			m->ids[i] = id;
			r = state_step_aside(
				m->s, m->account, id, marks[i].uid, m->now_s);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int
mark_reused(const struct marking *m, const struct mark *mark)
{
	int64_t id;
	int r = state_message_id(m->s, m->account, mark->uid, &id);

	return r <= 0 ? r : state_step_aside(m->s, m->account, id, mark->uid, m->now_s);
}

static int
mark_one(const struct marking *m, const struct mark *mark, int64_t renamed)
{
	switch (mark->kind) {
	case MARK_SEEN: return mark_row(m, STATE_SEEN, mark, KNOWN_SEEN);
	case MARK_TRY: return mark_row(m, STATE_TRY, mark, KNOWN_SEEN);
	case MARK_QUARANTINED: return mark_row(m, STATE_STAGE, mark, KNOWN_QUARANTINED);
	case MARK_ADOPTED: return mark_row(m, STATE_STAGE, mark, KNOWN_ADOPTED);
	case MARK_SKIPPED: return mark_row(m, STATE_STAGE, mark, KNOWN_SKIPPED);
	case MARK_GONE: return mark_known(m, STATE_GONE, mark);
	case MARK_BACK: return mark_known(m, STATE_BACK, mark);
	case MARK_DELE_SENT: return mark_known(m, STATE_DELE_SENT, mark);
	case MARK_DELETED: return mark_known(m, STATE_DELETED, mark);
	case MARK_SIZE: return mark_known(m, STATE_SIZE, mark);
	case MARK_HEADER: return mark_known(m, STATE_HEADER, mark);
	case MARK_RENAMED: return renamed ? rename_row(m, mark, renamed) : 0;
	case MARK_REUSED: return mark_reused(m, mark);
	}
	UNREACHABLE();
}

static bool
is_uid(struct view uid)
{
	return uid.p && uid.n > 0 && uid.n <= LETTER_UID_MAX + STATE_ASIDE_MAX;
}

int
state_mark(struct state *s, int64_t account, const struct mark *marks, size_t n,
	uint64_t now_s)
{
	struct marking m = {.s = s, .account = account, .now_s = now_s};
	int r;

	for (size_t i = 0; i < n; i++)
		if (!is_uid(marks[i].uid) ||
			(marks[i].kind == MARK_RENAMED && !is_uid(marks[i].new_uid)))
			return -EINVAL;
	if (n == 0)
		return 0;
	r = state_enter(s, "noting what was seen");
	if (r < 0)
		return r;
	r = find_renamed(&m, marks, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = mark_one(&m, &marks[i], m.ids ? m.ids[i] : 0);
	free(m.ids);
	return state_leave(s, r);
}

static int
compare_same(struct state *s, int64_t account, const struct letter *l, bool *ret_own,
	bool *ret_same)
{
	AUTO_RESET *q = state_statement(s, STATE_SAME);

	bind_i64(q, 1, l->same);
	bind_i64(q, 2, account);
	bind_blob(q, 3, (struct view){l->digest, sizeof(l->digest)});
	bind_i64(q, 4, (int64_t)l->octets);
	bind_blob(q, 5, l->uid);
	int r = state_step(s, q);
	*ret_own = r > 0 && column_u32(q, 0, 0) != 0;
	*ret_same = r > 0 && column_u32(q, 1, 0) != 0;
	return r < 0 ? r : 0;
}

int
state_same(struct state *s, int64_t account, const struct letter *l, uint64_t now_s)
{
	struct marking m = {.s = s, .account = account, .now_s = now_s};
	struct mark mark = {.kind = MARK_RENAMED, .new_uid = l->uid};
	bool own = false, same = false;
	int r;

	if (l->uid.n == 0 || l->uid.n > LETTER_UID_MAX)
		return -EINVAL;
	r = state_enter(s, "comparing what came with what was delivered");
	if (r < 0)
		return r;
	r = compare_same(s, account, l, &own, &same);
	if (r == 0 && same && !own)
		r = rename_row(&m, &mark, l->same);
	else if (r == 0 && own && !same)
		r = state_step_aside(s, account, l->same, l->uid, now_s);
	return state_leave(s, r);
}

int
state_retry_aside(struct state *s, struct remembered *remembered)
{
	int r = state_enter(s, "taking back what was put aside"), changed = 0;

	if (r < 0)
		return r;
	AUTO_RESET *back = state_statement(s, STATE_RETRY_ASIDE);
	bind_i64(back, 1, remembered->row);
	r = state_run(s, back);
	changed = r == 0 ? sqlite3_changes(s->db) : 0;
	if (changed > 0) {
		AUTO_RESET *listing = state_statement(s, STATE_ACCOUNT_UNLISTED);
		bind_i64(listing, 1, remembered->row);
		r = state_run(s, listing);
	}
	r = state_leave(s, r);
	if (r == 0 && changed > 0)
		remembered->count = UINT32_MAX;
	return r;
}

static int
sweep_with(struct state *s, enum state_statement id, int64_t account, uint64_t before_s)
{
	AUTO_RESET *q = state_statement(s, id);

	bind_i64(q, 1, account);
	bind_i64(q, 2, before_s > INT64_MAX ? INT64_MAX : (int64_t)before_s);
	return state_run(s, q);
}

int
state_sweep(struct state *s, int64_t account, uint64_t before_s)
{
	int r = state_enter(s, "removing tombstones");

	if (r < 0)
		return r;
	r = sweep_with(s, STATE_SWEEP_DELIVERIES, account, before_s);
	if (r == 0)
		r = sweep_with(s, STATE_SWEEP_MESSAGES, account, before_s);
	return state_leave(s, r);
}
