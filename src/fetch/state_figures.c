/* What is remembered of accounts. */
#include "fetch/state_parts.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROBES_OCTETS_MAX (PROBES_MAX * (4 + 1 + PROBE_UID_MAX))
/* Bits of the column tls_seen. */
#define TLS_SEEN 1
#define OVER_TLS 2

/* One after the other: msgno (4 octets, little-endian), length of the uid (1), the uid.
 */
static void
pack_probes(const struct remembered *r, struct buf *out)
{
	CHECK(r->probes_n <= PROBES_MAX);
	for (size_t i = 0; i < r->probes_n; i++) {
		const struct probe *p = &r->probes[i];
		CHECK(p->uid_n <= PROBE_UID_MAX);
		buf_put_u32(out, p->msgno);
		buf_put_u8(out, p->uid_n);
		buf_put(out, p->uid, p->uid_n);
	}
	CHECK(!out->full);
}

static bool
unpack_probes(struct view packed, struct remembered *r)
{
	struct cursor c = cursor_over(packed);

	while (!c.bad && c.n > 0 && r->probes_n < PROBES_MAX) {
		struct probe *p = &r->probes[r->probes_n++];
		p->msgno = cursor_u32(&c);
		p->uid_n = cursor_u8(&c);
		if (p->uid_n > PROBE_UID_MAX)
			return false;
		struct view uid = cursor_take(&c, p->uid_n);
		if (uid.n > 0)
			memcpy(p->uid, uid.p, uid.n);
	}
	return cursor_at_end(&c);
}

static void
read_capabilities(sqlite3_stmt *q, int at, struct pop3_capabilities_kept *ret)
{
	ret->has = column_u32(q, at, 0);
	ret->login_delay_s = column_u32(q, at + 1, 0);
	column_text(q, at + 2, ret->mechanisms, sizeof(ret->mechanisms));
}

/* The columns of STATE_ACCOUNT_COLUMNS, but the last one. */
static void
read_remembered(sqlite3_stmt *q, struct remembered *r)
{
	memset(r, 0, sizeof(*r));
	r->row = sqlite3_column_int64(q, 0);
	r->tls_seen = column_u32(q, 1, 0) & TLS_SEEN;
	r->over_tls = column_u32(q, 1, 0) & OVER_TLS;
	r->has_capabilities = column_u32(q, 2, 0) != 0;
	read_capabilities(q, 3, &r->before);
	read_capabilities(q, 6, &r->after);
	column_text(q, 9, r->mechanism, sizeof(r->mechanism));
	r->unstuffed = column_u32(q, 10, 0) != 0;
	r->sizes_lie = column_u32(q, 11, 0) != 0;
	r->has_no_uidl = column_u32(q, 12, 0) != 0;
	r->has_no_top = column_u32(q, 13, 0) != 0;
	r->count = column_u32(q, 14, UINT32_MAX);
	r->octets = column_u64(q, 15, UINT64_MAX);
	/* A listing that cannot be read is one that is not known: it is asked for. */
	if (!unpack_probes(column_blob(q, 16), r)) {
		memset(r->probes, 0, sizeof(r->probes));
		r->probes_n = 0;
		r->count = UINT32_MAX;
	}
	r->next_delete_s = column_u64(q, 17, 0);
	r->last_success_s = column_u64(q, 18, 0);
	r->next_poll_s = column_u64(q, 19, 0);
	r->last_try_s = column_u64(q, 20, 0);
	r->failures = column_u32(q, 21, 0);
	column_text(q, 22, r->last_error, sizeof(r->last_error));
	r->collected = column_u64(q, 23, 0);
	r->collected_octets = column_u64(q, 24, 0);
	r->interval_ms = column_u64(q, 25, 0);
	r->policy = column_u64(q, 26, 0);
	r->not_ahead = column_u32(q, 27, 0) & 1;
	r->all_listed = column_u32(q, 27, 0) >> 1 & 1;
	r->early_faults = (uint8_t)(column_u32(q, 27, 0) >> 2 & 0x3f);
	r->fell_back = column_u32(q, 27, 0) >> 8 & 1;
	r->refusals = column_u32(q, 28, 0);
	r->uidl_refusals = column_u32(q, 29, 0);
}

static int
read_tls_session(sqlite3_stmt *q, struct remembered *r)
{
	struct view v = column_blob(q, 30);

	if (v.n == 0)
		return 0;
	r->tls_session = malloc(v.n);
	if (!r->tls_session)
		return -ENOMEM;
	memcpy(r->tls_session, v.p, v.n);
	r->tls_session_n = v.n;
	return 0;
}

static uint64_t
delete_after_s(const struct fetch_account *a)
{
	return a->delete_after_ms == FETCH_NEVER ? UINT64_MAX : a->delete_after_ms / 1000;
}

static int
new_account(struct state *s, const struct fetch_account *a, struct remembered *ret)
{
	int r = state_begin(s);

	if (r < 0)
		return r;
	AUTO_RESET *q = state_statement(s, STATE_ACCOUNT_NEW);
	bind_text(q, 1, a->name);
	bind_text(q, 2, a->host);
	bind_text(q, 3, a->user);
	bind_i64(q, 4, a->keep);
	bind_u64(q, 5, delete_after_s(a));
	r = state_run(s, q);
	if (r == 0)
		ret->row = sqlite3_last_insert_rowid(s->db);
	return r;
}

/* For state_figures, which has no configuration. */
static int
new_policy(struct state *s, const struct fetch_account *a, int64_t account)
{
	int r = state_begin(s);

	if (r < 0)
		return r;
	AUTO_RESET *q = state_statement(s, STATE_ACCOUNT_POLICY);
	bind_i64(q, 1, account);
	bind_i64(q, 2, a->keep);
	bind_u64(q, 3, delete_after_s(a));
	return state_run(s, q);
}

/* Its section may have another name now; nothing is known under the new one. */
static int
find_former(struct state *s, const struct fetch_account *a, struct remembered *ret)
{
	AUTO_RESET *q = state_statement(s, STATE_ACCOUNT_FORMER);

	bind_text(q, 1, a->name);
	bind_text(q, 2, a->host);
	bind_text(q, 3, a->user);
	int r = state_step(s, q);
	if (r > 0)
		column_text(q, 0, ret->former, sizeof(ret->former));
	return r < 0 ? r : 0;
}

/* 1 found, 0 not. */
static int
find_account(struct state *s, const struct fetch_account *a, struct remembered *ret,
	bool *ret_changed)
{
	AUTO_RESET *q = state_statement(s, STATE_ACCOUNT_FIND);

	bind_text(q, 1, a->name);
	bind_text(q, 2, a->host);
	bind_text(q, 3, a->user);
	int r = state_step(s, q);
	if (r <= 0)
		return r;
	read_remembered(q, ret);
	*ret_changed = (column_u32(q, 31, 0) != 0) != a->keep ||
		column_u64(q, 32, UINT64_MAX) != delete_after_s(a);
	r = read_tls_session(q, ret);
	return r < 0 ? state_fail(s, r, "no memory") : 1;
}

int
state_account(struct state *s, const struct fetch_account *a, struct remembered *ret)
{
	struct remembered found = {.count = UINT32_MAX};
	bool changed = false;
	int r = state_enter_read(s, "reading an account");

	if (r < 0)
		return r;
	r = find_account(s, a, &found, &changed);
	bool is_new = r == 0;
	if (is_new)
		r = find_former(s, a, &found);
	if (r == 0 && is_new && !s->read_only)
		r = new_account(s, a, &found);
	else if (r > 0 && changed && !s->read_only)
		r = new_policy(s, a, found.row);
	r = state_leave(s, r > 0 ? 0 : r);
	if (r < 0) {
		free(found.tls_session);
		return r;
	}
	*ret = found;
	return 0;
}

static void
bind_remembered(sqlite3_stmt *q, const struct remembered *r, struct view probes)
{
	bind_i64(q, 1, r->row);
	bind_i64(q, 2, (r->tls_seen ? TLS_SEEN : 0) | (r->over_tls ? OVER_TLS : 0));
	bind_i64(q, 3, r->has_capabilities);
	bind_i64(q, 4, r->before.has);
	bind_i64(q, 5, r->before.login_delay_s);
	bind_text(q, 6, r->before.mechanisms);
	bind_i64(q, 7, r->after.has);
	bind_i64(q, 8, r->after.login_delay_s);
	bind_text(q, 9, r->after.mechanisms);
	bind_text(q, 10, r->mechanism);
	bind_i64(q, 11, r->unstuffed);
	bind_i64(q, 12, r->sizes_lie);
	bind_i64(q, 13, r->has_no_uidl);
	bind_i64(q, 14, r->has_no_top);
	bind_u64(q, 15, r->count == UINT32_MAX ? UINT64_MAX : r->count);
	bind_i64(q, 16, (int64_t)r->octets);
	bind_blob(q, 17, probes);
	bind_i64(q, 18, (int64_t)r->next_delete_s);
	bind_i64(q, 19, (int64_t)r->last_success_s);
	bind_i64(q, 20, (int64_t)r->next_poll_s);
	bind_i64(q, 21, (int64_t)r->last_try_s);
	bind_i64(q, 22, r->failures);
	bind_text(q, 23, r->last_error);
	bind_i64(q, 24, (int64_t)r->collected);
	bind_i64(q, 25, (int64_t)r->collected_octets);
	bind_i64(q, 26, (int64_t)r->interval_ms);
	bind_blob(q, 27, (struct view){r->tls_session, r->tls_session_n});
	bind_i64(q, 28, (int64_t)r->policy);
	bind_i64(q, 29,
		r->not_ahead | r->all_listed << 1 | r->early_faults << 2 |
			r->fell_back << 8);
	bind_i64(q, 30, r->refusals);
	bind_i64(q, 31, r->uidl_refusals);
}

int
state_remember(struct state *s, const struct remembered *r)
{
	uint8_t packed[PROBES_OCTETS_MAX];
	struct buf probes = {.p = packed, .cap = sizeof(packed)};

	pack_probes(r, &probes);
	int done = state_enter(s, "remembering an account");
	if (done < 0)
		return done;
	{
		AUTO_RESET *q = state_statement(s, STATE_ACCOUNT_REMEMBER);
		bind_remembered(q, r, (struct view){packed, probes.n});
		done = state_run(s, q);
		if (done == 0 && sqlite3_changes(s->db) != 1)
			done = state_fail(s, -ENOENT, "the account has no row");
	}
	return state_leave(s, done);
}

static int
count_messages(struct state *s, struct account_figures *f, uint64_t now_s)
{
	AUTO_RESET *q = state_statement(s, STATE_ACCOUNT_FIGURES);

	bind_i64(q, 1, f->r.row);
	bind_i64(q, 2, (int64_t)now_s);
	int r = state_step(s, q);
	if (r <= 0)
		return r;
	for (int i = 0; i < KNOWN_STAGES; i++)
		f->by_stage[i] = column_u64(q, i, 0);
	f->on_server = column_u64(q, KNOWN_STAGES, 0);
	f->due = column_u64(q, KNOWN_STAGES + 1, 0);
	f->oldest_undelivered_s = column_u64(q, KNOWN_STAGES + 2, 0);
	return 0;
}

static int
read_accounts(struct state *s, struct account_figures **figures, size_t *n)
{
	AUTO_RESET *q = state_statement(s, STATE_ACCOUNT_ALL);
	size_t cap = 0;
	int r;

	while ((r = state_step(s, q)) > 0) {
		if (*n == cap) {
			cap = cap ? cap * 2 : 8;
			struct account_figures *more =
				reallocarray(*figures, cap, sizeof(*more));
			if (!more)
				return state_fail(s, -ENOMEM, "no memory");
			*figures = more;
		}
		struct account_figures *f = &(*figures)[(*n)++];
		memset(f, 0, sizeof(*f));
		read_remembered(q, &f->r);
		column_text(q, 31, f->name, sizeof(f->name));
	}
	return r;
}

int
state_figures(
	struct state *s, struct account_figures **ret, size_t *ret_n, uint64_t now_s)
{
	struct account_figures *figures = NULL;
	size_t n = 0;
	int r = state_enter_read(s, "reading the figures");

	if (r < 0)
		return r;
	r = read_accounts(s, &figures, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = count_messages(s, &figures[i], now_s);
	r = state_leave(s, r);
	if (r < 0) {
		free(figures);
		return r;
	}
	*ret = figures;
	*ret_n = n;
	return 0;
}
