/*
 * What is to be done with each message: a table of cases, and a law over random ones.
 */
#include "unit.h"

#include "base/check.h"
#include "fetch/plan_identify.h"

#include <string.h>

#define NOW	UINT64_C(1700000000)
#define DAY_S	UINT64_C(86400)
#define ROWS	64
#define UNKNOWN 99

static struct mail at[ROWS + 1];
static uint32_t order[ROWS + 1];
static uint8_t text[8192], listed[ROWS];
static struct mails mails;
static struct known known_rows[ROWS];
static struct known_table known;
static struct fetch_account account;
static struct plan_facts facts;

static bool
no_room(struct mails *m, uint32_t rows, size_t octets, size_t rows_known)
{
	(void)m;
	(void)rows_known;
	return rows == 0 && octets == 0;
}

static struct view
str(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
begin(void)
{
	mails = (struct mails){.at = at,
		.cap = ROWS + 1,
		.text = text,
		.text_cap = sizeof(text),
		.order = order,
		.listed = listed,
		.listed_cap = sizeof(listed),
		.room = no_room};
	known = (struct known_table){known_rows, 0, NULL};
	account = (struct fetch_account){.delete_after_ms = FETCH_NEVER,
		.delete_larger = FETCH_NEVER,
		.skip_larger = FETCH_NEVER,
		.keep_newest = FETCH_NEVER};
	facts = (struct plan_facts){.account = &account,
		.known = &known,
		.now_s = NOW,
		.has_top = true,
		.has_uidl = true,
		.whole = true};
}

static struct mail *
list(uint32_t number, const char *uid, uint64_t size)
{
	struct mail *m = mails_add(&mails, number);

	assert_non_null(m);
	m->size = size;
	assert_true(mails_set_uid(&mails, m, str(uid)));
	return m;
}

/* In the order of uids. header: 0 for none. */
static struct known *
know(const char *uid, uint64_t size, enum known_stage stage, uint8_t header)
{
	struct known *k = &known_rows[known.n++];

	*k = (struct known){.uid = str(uid),
		.size = size,
		.stage = (uint8_t)stage,
		.delivered_s = stage == KNOWN_SYNCED ? NOW - 10 * DAY_S : 0,
		.has_header = header != 0};
	memset(k->header, header, HEADER_DIGEST);
	return k;
}

static void
give_header(struct mail *m, uint8_t header)
{
	memset(m->header, header, HEADER_DIGEST);
	m->has_header = true;
}

/* ---- one message ----------------------------------------------------------------- */

enum { KEEP = 1, NO_TOP = 2, LIES = 4, ADOPT = 8, FILTER = 16, TAIL = 32, NO_SIZE = 64 };

struct row {
	int line;
	unsigned flags;
	unsigned stage; /* UNKNOWN: no row */
	uint8_t known_header;
	uint64_t known_size, size;
	uint64_t delete_after_ms, delete_larger, skip_larger, keep_newest; /* 0: never */
	enum mail_plan first;
	uint8_t header; /* that TOP then brings; 0: no second round */
	enum mail_plan second;
	bool delete_too;
};
#define ROW(...)                                                                         \
	{                                                                                \
		__LINE__, __VA_ARGS__                                                    \
	}
#define DAYS(n) ((n)*DAY_S * 1000)
static const struct row rows[] = {
	/* New ones. */
	ROW(0, UNKNOWN, 0, 0, 10, 0, 0, 0, 0, MAIL_FETCH, 0, 0, true),
	ROW(KEEP, UNKNOWN, 0, 0, 10, 0, 0, 0, 0, MAIL_FETCH, 0, 0, false),
	ROW(KEEP, UNKNOWN, 0, 0, 10, DAYS(5), 0, 0, 0, MAIL_FETCH, 0, 0, false),
	ROW(KEEP, UNKNOWN, 0, 0, 10, 0, 9, 0, 0, MAIL_FETCH, 0, 0, true),
	ROW(KEEP, UNKNOWN, 0, 0, 10, 0, 10, 0, 0, MAIL_FETCH, 0, 0, false),
	ROW(KEEP, UNKNOWN, 0, 0, 10, 0, 0, 9, 0, MAIL_LEAVE, 0, 0, false),
	ROW(0, UNKNOWN, 0, 0, 10, 0, 0, 9, 0, MAIL_LEAVE, 0, 0, false),
	ROW(KEEP, UNKNOWN, 0, 0, 10, 0, 0, 10, 0, MAIL_FETCH, 0, 0, false),
	ROW(KEEP | NO_SIZE, UNKNOWN, 0, 0, 0, 0, 9, 9, 0, MAIL_FETCH, 0, 0, false),
	ROW(KEEP, UNKNOWN, 0, 0, 10, 0, 0, 0, 1, MAIL_FETCH, 0, 0, true),
	ROW(KEEP, UNKNOWN, 0, 0, 10, 0, 0, 0, 2, MAIL_FETCH, 0, 0, false),
	ROW(KEEP | TAIL, UNKNOWN, 0, 0, 10, 0, 0, 0, 1, MAIL_FETCH, 0, 0, false),
	ROW(ADOPT, UNKNOWN, 0, 0, 10, 0, 0, 0, 0, MAIL_ADOPT, 0, 0, false),
	ROW(FILTER, UNKNOWN, 0, 0, 10, 0, 0, 0, 0, MAIL_FILTER, 0, 0, false),
	ROW(FILTER | NO_TOP, UNKNOWN, 0, 0, 10, 0, 0, 0, 0, MAIL_FETCH, 0, 0, true),
	ROW(ADOPT | FILTER, UNKNOWN, 0, 0, 10, 0, 0, 0, 0, MAIL_ADOPT, 0, 0, false),
	/* Stages. */
	ROW(0, KNOWN_SEEN, 0, 10, 10, 0, 0, 0, 0, MAIL_FETCH, 0, 0, true),
	ROW(0, KNOWN_INTENDED, 1, 10, 10, 0, 0, 0, 0, MAIL_FETCH, 0, 0, true),
	ROW(0, KNOWN_ADOPTED, 0, 10, 10, 0, 0, 0, 0, MAIL_LEAVE, 0, 0, false),
	ROW(0, KNOWN_QUARANTINED, 0, 10, 10, 0, 0, 0, 0, MAIL_LEAVE, 0, 0, false),
	ROW(0, KNOWN_SKIPPED, 0, 10, 10, 0, 0, 0, 0, MAIL_LEAVE, 0, 0, false),
	ROW(KEEP, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 0, MAIL_LEAVE, 0, 0, false),
	/* Removal: seen once more first. */
	ROW(0, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 0, MAIL_CHECK, 1, MAIL_DELETE, false),
	ROW(0, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 0, MAIL_CHECK, 2, MAIL_FETCH, true),
	ROW(0, KNOWN_SYNCED, 0, 10, 10, 0, 0, 0, 0, MAIL_DELETE, 0, 0, false),
	ROW(NO_TOP, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 0, MAIL_DELETE, 0, 0, false),
	ROW(KEEP, KNOWN_SYNCED, 1, 10, 10, DAYS(10), 0, 0, 0, MAIL_CHECK, 1, MAIL_DELETE,
		false),
	ROW(KEEP, KNOWN_SYNCED, 1, 10, 10, DAYS(11), 0, 0, 0, MAIL_LEAVE, 0, 0, false),
	ROW(KEEP, KNOWN_SYNCED, 1, 10, 10, 0, 9, 0, 0, MAIL_CHECK, 1, MAIL_DELETE, false),
	ROW(KEEP, KNOWN_SYNCED, 1, 10, 10, 0, 10, 0, 0, MAIL_LEAVE, 0, 0, false),
	ROW(KEEP, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 1, MAIL_CHECK, 1, MAIL_DELETE, false),
	ROW(KEEP, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 2, MAIL_LEAVE, 0, 0, false),
	ROW(KEEP | TAIL, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 1, MAIL_CHECK, 1, MAIL_LEAVE,
		false),
	ROW(KEEP | TAIL, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 1, MAIL_CHECK, 2, MAIL_FETCH,
		false),
	/* Another size. */
	ROW(KEEP, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_CHECK, 1, MAIL_LEAVE, false),
	ROW(KEEP, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_CHECK, 2, MAIL_FETCH, false),
	ROW(0, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_CHECK, 1, MAIL_DELETE, false),
	ROW(0, KNOWN_SYNCED, 0, 11, 10, 0, 0, 0, 0, MAIL_FETCH, 0, 0, true),
	ROW(NO_TOP, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_FETCH, 0, 0, true),
	ROW(0, KNOWN_SKIPPED, 0, 11, 10, 0, 0, 0, 0, MAIL_FETCH, 0, 0, true),
	ROW(FILTER, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 0, MAIL_CHECK, 2, MAIL_FILTER,
		false),
	/* Sizes that are no evidence: only the header is. */
	ROW(KEEP | LIES, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_CHECK, 1, MAIL_LEAVE,
		false),
	ROW(KEEP | LIES, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_CHECK, 2, MAIL_FETCH,
		false),
	ROW(KEEP | LIES | NO_TOP, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_LEAVE, 0, 0,
		false),
	ROW(LIES, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_CHECK, 1, MAIL_DELETE, false),
	ROW(LIES, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_CHECK, 2, MAIL_FETCH, true),
	ROW(LIES | NO_TOP, KNOWN_SYNCED, 1, 11, 10, 0, 0, 0, 0, MAIL_LEAVE, 0, 0, false),
	ROW(LIES | NO_TOP, KNOWN_SYNCED, 1, 10, 10, 0, 0, 0, 0, MAIL_DELETE, 0, 0, false),
};

static uint64_t
or_never(uint64_t v)
{
	return v ? v : FETCH_NEVER;
}

static void
cases(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];

		begin();
		account.keep = r->flags & KEEP;
		account.adopt = r->flags & ADOPT;
		account.filter = r->flags & FILTER ? "f" : NULL;
		account.delete_after_ms = or_never(r->delete_after_ms);
		account.delete_larger = or_never(r->delete_larger);
		account.skip_larger = or_never(r->skip_larger);
		account.keep_newest = or_never(r->keep_newest);
		facts.has_top = !(r->flags & NO_TOP);
		facts.sizes_lie = r->flags & LIES;
		facts.whole = !(r->flags & TAIL);
		/* A newer one behind it, of which nothing else is to be said. */
		struct mail *m =
			list(1, "a", r->flags & NO_SIZE ? MAIL_NO_SIZE : r->size);
		(void)list(2, "b", 1);
		if (r->stage != UNKNOWN)
			know("a", r->known_size, (enum known_stage)r->stage,
				r->known_header);
		know("b", 1, KNOWN_ADOPTED, 0);
		uint32_t tops = plan_all(&facts, &mails);
		bool asks = r->first == MAIL_CHECK || r->first == MAIL_FILTER;
		if (m->plan != r->first || tops != asks)
			fail_msg(
				"line %d: plan %s, %u tops", r->line, plan_name(m), tops);
		if (r->header != 0) {
			give_header(m, r->header);
			(void)plan_all(&facts, &mails);
			if (m->plan != r->second)
				fail_msg("line %d: then %s", r->line, plan_name(m));
		}
		if (m->delete_too != r->delete_too)
			fail_msg("line %d: delete_too %d", r->line, m->delete_too);
	}
}

static void
what_was_gone_comes_back(void **state)
{
	(void)state;

	begin();
	account.keep = true;
	know("a", 10, KNOWN_SYNCED, 1)->gone_s = NOW - DAY_S;
	struct mail *m = list(1, "a", 10);
	/* Its name may have been given to another message meanwhile. */
	assert_int_equal(plan_all(&facts, &mails), 1);
	assert_int_equal(m->plan, MAIL_CHECK);
	give_header(m, 1);
	assert_int_equal(plan_all(&facts, &mails), 0);
	assert_int_equal(m->plan, MAIL_LEAVE);

	begin();
	account.keep = true;
	know("a", 10, KNOWN_SYNCED, 1)->gone_s = NOW - DAY_S;
	m = list(1, "a", 10);
	assert_int_equal(plan_all(&facts, &mails), 1);
	give_header(m, 2);
	assert_int_equal(plan_all(&facts, &mails), 0);
	assert_int_equal(m->plan, MAIL_FETCH);
	assert_true(m->reused);

	/* No header can be had: it is fetched, and its octets tell. */
	for (int lies = 0; lies < 2; lies++) {
		begin();
		facts.has_top = false;
		facts.sizes_lie = lies;
		know("a", 10, KNOWN_SYNCED, 1)->gone_s = NOW - DAY_S;
		m = list(1, "a", lies ? 11 : 10);
		assert_int_equal(plan_all(&facts, &mails), 0);
		assert_int_equal(m->plan, MAIL_FETCH);
		assert_true(m->unsure && m->delete_too);
	}
}

/* A UIDL may be made of the header alone. */
static void
what_was_gone_comes_back_with_another_size(void **state)
{
	(void)state;

	for (int lies = 0; lies < 2; lies++) {
		begin();
		facts.sizes_lie = lies;
		know("a", 10, KNOWN_SYNCED, 1)->gone_s = NOW - DAY_S;
		struct mail *m = list(1, "a", 11);
		assert_int_equal(plan_all(&facts, &mails), 1);
		give_header(m, 1);
		assert_int_equal(plan_all(&facts, &mails), 0);
		assert_int_equal(m->plan, MAIL_FETCH);
		assert_true(m->unsure && m->delete_too && !m->resized);
	}
}

/* DELE was sent and QUIT not confirmed: what has the UIDL now may be another message. */
static void
what_may_be_deleted_is_fetched_where_no_header_tells(void **state)
{
	(void)state;

	for (int top = 0; top < 2; top++) {
		begin();
		facts.has_top = top;
		know("a", 10, KNOWN_SYNCED, 1)->dele_sent = true;
		struct mail *m = list(1, "a", 10);
		assert_int_equal(plan_all(&facts, &mails), top);
		assert_int_equal(m->plan, top ? MAIL_CHECK : MAIL_FETCH);
		assert_int_equal(m->unsure, !top);
	}
}

/* Its UIDL was taken by another message, which is hidden now. */
static void
what_stepped_aside_is_recognised(void **state)
{
	static const struct view old = VIEW("a\0old7");
	size_t from = 0;
	(void)state;

	begin();
	account.keep = true;
	struct known *k = know("a", 10, KNOWN_SYNCED, 1);
	k->uid = old;
	k->gone_s = NOW - DAY_S;
	know("ab", 10, KNOWN_SYNCED, 3);
	assert_ptr_equal(plan_former(&known, VIEW("a"), &from), k);
	assert_null(plan_former(&known, VIEW("a"), &from));
	struct mail *m = list(1, "a", 10);
	assert_int_equal(plan_all(&facts, &mails), 1);
	assert_int_equal(m->plan, MAIL_IDENTIFY);
	give_header(m, 1);
	assert_int_equal(plan_all(&facts, &mails), 0);
	assert_int_equal(m->plan, MAIL_LEAVE);
	assert_true(m->renamed);
}

/* ---- UIDLs ----------------------------------------------------------------------- */

static void
uidls_that_all_changed(void **state)
{
	(void)state;

	begin();
	account.keep = true;
	know("a", 10, KNOWN_SYNCED, 1);
	know("b", 10, KNOWN_SYNCED, 2);
	know("c", 10, KNOWN_SYNCED, 2);
	for (uint32_t i = 1; i <= 4; i++)
		(void)list(i, (const char *[]){"w", "x", "y", "z"}[i - 1], 10);
	assert_int_equal(plan_all(&facts, &mails), 4);
	/* Three have the header of two that are known: one to one, the rest is new. */
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(at[i].plan, MAIL_IDENTIFY);
		give_header(&at[i], i == 0 ? 1 : 2);
	}
	assert_int_equal(plan_all(&facts, &mails), 0);
	assert_true(at[0].renamed && at[1].renamed && at[2].renamed && !at[3].renamed);
	assert_int_equal(at[0].known, 0);
	assert_int_equal(at[1].known + at[2].known, 3);
	assert_int_not_equal(at[1].known, at[2].known);
	assert_int_equal(at[2].plan, MAIL_LEAVE);
	assert_int_equal(at[3].plan, MAIL_FETCH);
}

static void
few_new_ones_are_no_change(void **state)
{
	(void)state;

	begin();
	account.keep = true;
	know("a", 10, KNOWN_SYNCED, 1);
	know("b", 10, KNOWN_SYNCED, 2);
	know("c", 10, KNOWN_SYNCED, 3);
	(void)list(1, "a", 10);
	(void)list(2, "b", 10);
	(void)list(3, "z", 10);
	assert_int_equal(plan_all(&facts, &mails), 0);
	assert_int_equal(at[2].plan, MAIL_FETCH);
}

static void
twins_are_told_apart(void **state)
{
	(void)state;

	begin();
	account.keep = true;
	know("a", 10, KNOWN_SYNCED, 1);
	(void)list(1, "a", 10);
	(void)list(2, "a", 10);
	know("b", 10, KNOWN_SYNCED, 3);
	know("c", 10, KNOWN_SYNCED, 4);
	(void)list(3, "b", 10);
	(void)list(4, "c", 10);
	assert_int_equal(plan_all(&facts, &mails), 2);
	assert_true(at[0].twin && at[1].twin && !at[2].twin);
	give_header(&at[0], 7);
	give_header(&at[1], 1);
	/* The session makes each a name. */
	assert_true(mails_set_uid(&mails, &at[0], str("a 7")));
	assert_true(mails_set_uid(&mails, &at[1], str("a 1")));
	assert_int_equal(plan_all(&facts, &mails), 0);
	/* The second is the one that was delivered. */
	assert_int_equal(at[0].plan, MAIL_FETCH);
	assert_int_equal(at[1].plan, MAIL_LEAVE);
	assert_true(at[1].renamed);
	/* Without TOP each is fetched. */
	begin();
	facts.has_top = false;
	know("a", 10, KNOWN_SYNCED, 1);
	(void)list(1, "a", 10);
	(void)list(2, "a", 10);
	assert_int_equal(plan_all(&facts, &mails), 0);
	assert_int_equal(at[0].plan, MAIL_FETCH);
	assert_int_equal(at[1].plan, MAIL_FETCH);
}

static void
without_uidl(void **state)
{
	(void)state;

	begin();
	facts.has_uidl = false;
	(void)list(1, "", 10);
	assert_int_equal(plan_all(&facts, &mails), 1);
	assert_int_equal(at[0].plan, MAIL_IDENTIFY);
	plan_without_header(&facts, &mails, &at[0]);
	assert_int_equal(at[0].plan, MAIL_FETCH);
	assert_true(at[0].delete_too);
}

static void
a_refused_top(void **state)
{
	(void)state;

	begin();
	know("a", 10, KNOWN_SYNCED, 1);
	know("b", 11, KNOWN_SYNCED, 1);
	(void)list(1, "a", 10);
	(void)list(2, "b", 10);
	assert_int_equal(plan_all(&facts, &mails), 2);
	plan_without_header(&facts, &mails, &at[0]);
	plan_without_header(&facts, &mails, &at[1]);
	assert_int_equal(at[0].plan, MAIL_LEAVE);
	assert_int_equal(at[0].stage, MAIL_FAILED); /* another time */
	assert_int_equal(at[1].plan, MAIL_FETCH);
	assert_true(at[1].reused);
	assert_int_equal(plan_all(&facts, &mails), 0);
}

/* ---- filters, orders, dates ------------------------------------------------------ */

static void
what_a_filter_says(void **state)
{
	static const enum mail_plan plans[] = {
		[FILTER_FETCH] = MAIL_FETCH,
		[FILTER_SKIP] = MAIL_LEAVE,
		[FILTER_DELETE] = MAIL_DELETE,
		[FILTER_LATER] = MAIL_LEAVE,
	};
	(void)state;

	for (size_t v = 0; v < ARRAY_SIZE(plans); v++) {
		begin();
		account.filter = "f";
		struct mail *m = list(1, "a", 10);
		assert_int_equal(plan_all(&facts, &mails), 1);
		give_header(m, 1);
		plan_filtered(&facts, &mails, m, (enum filter_verdict)v);
		assert_int_equal(m->plan, plans[v]);
		assert_int_equal(m->skipped, v == FILTER_SKIP);
		assert_int_equal(m->stage, v == FILTER_LATER ? MAIL_FAILED : MAIL_LISTED);
		assert_int_equal(plan_all(&facts, &mails), 0);
	}
}

static void
orders(void **state)
{
	static const uint32_t expected[][4] = {
		[FETCH_ORDER_NUMBER] = {0, 1, 2, 3},
		[FETCH_ORDER_NEWEST] = {3, 2, 1, 0},
		[FETCH_ORDER_BIGGEST_LAST] = {1, 3, 0, 2},
	};
	uint32_t suspects;
	(void)state;

	for (size_t o = 0; o < ARRAY_SIZE(expected); o++) {
		begin();
		account.order = (enum fetch_order)o;
		(void)list(1, "a", 30);
		(void)list(2, "b", 10);
		(void)list(3, "c", MAIL_NO_SIZE);
		(void)list(4, "d", 20);
		(void)plan_all(&facts, &mails);
		assert_false(plan_order(&facts, &mails, &suspects));
		assert_int_equal(suspects, 0);
		assert_int_equal(mails.order_n, 4);
		assert_memory_equal(order, expected[o], sizeof(expected[o]));
	}
}

static void
suspects_come_alone_and_last(void **state)
{
	uint32_t suspects;
	(void)state;

	begin();
	know("a", 10, KNOWN_SEEN, 0)->tries = 1;
	know("b", 10, KNOWN_SEEN, 0)->tries = 2;
	(void)list(1, "a", 10);
	(void)list(2, "b", 10);
	(void)list(3, "c", 10);
	(void)plan_all(&facts, &mails);
	assert_false(plan_order(&facts, &mails, &suspects));
	assert_int_equal(mails.order_n, 1);
	assert_int_equal(order[0], 2);
	assert_int_equal(suspects, 2);
	at[2].stage = MAIL_COMMITTED;
	assert_false(plan_order(&facts, &mails, &suspects));
	assert_int_equal(mails.order_n, 1);
	assert_int_equal(order[0], 0);
	assert_int_equal(suspects, 1);
	/* What stays, and is only told by RETR, would come before it for ever. */
	for (int keep = 0; keep < 2; keep++) {
		account.keep = keep;
		at[2].stage = MAIL_LISTED;
		at[2].unsure = true;
		assert_int_equal(plan_order(&facts, &mails, &suspects), keep);
		assert_int_equal(mails.order_n, 1 + keep);
		assert_int_equal(order[0], 2);
		assert_int_equal(suspects, 2 - keep);
	}
}

/* Nor is it taken for settled: the listing of the next run is a whole one. */
static void
what_failed_twice_in_a_run_is_left(void **state)
{
	uint32_t suspects;
	(void)state;

	begin();
	know("a", 10, KNOWN_SEEN, 0)->tries = 1;
	know("b", 10, KNOWN_SEEN, 0)->tries = 1;
	known_rows[0].failed = KNOWN_FAILED_MAX;
	known_rows[1].failed = KNOWN_FAILED_MAX - 1;
	(void)list(1, "a", 10);
	(void)list(2, "b", 10);
	(void)plan_all(&facts, &mails);
	(void)plan_order(&facts, &mails, &suspects);
	assert_int_equal(mails.order_n, 1);
	assert_int_equal(order[0], 1);
	assert_int_equal(suspects, 0);
	assert_int_equal(at[0].plan, MAIL_LEAVE);
	assert_int_equal(at[0].stage, MAIL_FAILED);
	assert_true(at[0].left);
}

static void
when_the_next_falls_due(void **state)
{
	(void)state;

	begin();
	account.keep = true;
	account.delete_after_ms = DAYS(30);
	assert_int_equal(plan_next_delete(&facts, &mails), 0);
	know("a", 10, KNOWN_SYNCED, 0);
	know("b", 10, KNOWN_SYNCED, 0)->delivered_s = NOW - 20 * DAY_S;
	know("c", 10, KNOWN_SYNCED, 0)->gone_s = 1;
	know("d", 10, KNOWN_ADOPTED, 0);
	assert_int_equal(plan_next_delete(&facts, &mails), NOW + 10 * DAY_S);
	account.keep = false;
	assert_int_equal(plan_next_delete(&facts, &mails), 0);
}

static void
options_that_decide_have_a_fingerprint(void **state)
{
	(void)state;

	begin();
	uint64_t plain = plan_fingerprint(&account);
	assert_true(plain <= INT64_MAX);
	struct fetch_account other[8];
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		other[i] = account;
	other[0].keep = other[1].adopt = other[2].recent = true;
	other[3].delete_after_ms = other[4].delete_larger = other[5].skip_larger = 5;
	other[6].keep_newest = 5;
	other[7].filter = "f";
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		assert_true(plan_fingerprint(&other[i]) != plain);
		for (size_t j = 0; j < i; j++)
			assert_true(plan_fingerprint(&other[i]) !=
				plan_fingerprint(&other[j]));
	}
}

/* ---- the law --------------------------------------------------------------------- */

static uint64_t seed = 1;

static uint32_t
pick(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

/* Nothing is deleted unseen that is not the very message that was delivered. */
static void
check_deletion(const struct mail *m)
{
	assert_int_not_equal(m->known, MAIL_NO_KNOWN);
	const struct known *k = &known_rows[m->known];
	bool same_uid =
		k->uid.n == m->uid_n && memcmp(k->uid.p, text + m->uid_at, m->uid_n) == 0;
	bool same_header = k->has_header && m->has_header &&
		memcmp(k->header, m->header, HEADER_DIGEST) == 0;

	assert_int_equal(k->stage, KNOWN_SYNCED);
	assert_true(same_uid || (m->renamed && same_header));
	if (k->has_header && facts.has_top)
		assert_true(same_header);
	else
		assert_int_equal(m->size, k->size);
	if (account.keep)
		assert_true(account.delete_after_ms != FETCH_NEVER ||
			account.delete_larger != FETCH_NEVER ||
			account.keep_newest != FETCH_NEVER);
}

static void
check_leaving(const struct mail *m)
{
	if (m->known != MAIL_NO_KNOWN || m->stage == MAIL_FAILED)
		return;
	assert_true(account.skip_larger != FETCH_NEVER && m->size > account.skip_larger);
}

static void
random_tables(void **state)
{
	static const char *const uids[] = {
		"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
	(void)state;

	for (int round = 0; round < 20000; round++) {
		begin();
		account.keep = pick(2);
		account.adopt = pick(8) == 0;
		account.filter = pick(6) == 0 ? "f" : NULL;
		account.delete_after_ms = pick(3) ? FETCH_NEVER : DAYS(9);
		account.delete_larger = pick(4) ? FETCH_NEVER : 11;
		account.skip_larger = pick(4) ? FETCH_NEVER : 12;
		account.keep_newest = pick(4) ? FETCH_NEVER : 3;
		facts.has_top = pick(4) > 0;
		facts.has_uidl = pick(8) > 0;
		facts.sizes_lie = pick(4) == 0;
		for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
			if (pick(2))
				know(uids[i], 10 + pick(4),
					(enum known_stage)pick(KNOWN_STAGES),
					(uint8_t)pick(5));
		}
		uint32_t n = pick(12);
		for (uint32_t i = 1; i <= n; i++)
			(void)list(i + (i > 6), facts.has_uidl ? uids[pick(10)] : "",
				10 + pick(4));
		for (int rounds = 0; plan_all(&facts, &mails) > 0; rounds++) {
			assert_true(rounds < 4);
			for (uint32_t i = 0; i < mails.n; i++) {
				struct mail *m = &at[i];

				if (!m->number || m->stage != MAIL_LISTED ||
					m->has_header ||
					(m->plan != MAIL_CHECK &&
						m->plan != MAIL_IDENTIFY &&
						m->plan != MAIL_FILTER))
					continue;
				if (pick(5) == 0) {
					plan_without_header(&facts, &mails, m);
					continue;
				}
				give_header(m, (uint8_t)(1 + pick(4)));
				if (m->plan == MAIL_FILTER)
					plan_filtered(&facts, &mails, m, FILTER_FETCH);
			}
		}
		for (uint32_t i = 0; i < mails.n; i++) {
			if (at[i].number && at[i].plan == MAIL_DELETE)
				check_deletion(&at[i]);
			else if (at[i].number && at[i].plan == MAIL_LEAVE)
				check_leaving(&at[i]);
			else if (at[i].number && at[i].plan == MAIL_ADOPT)
				assert_true(account.adopt);
			else if (at[i].number)
				assert_int_equal(at[i].plan, MAIL_FETCH);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases),
		cmocka_unit_test(what_was_gone_comes_back),
		cmocka_unit_test(what_was_gone_comes_back_with_another_size),
		cmocka_unit_test(what_may_be_deleted_is_fetched_where_no_header_tells),
		cmocka_unit_test(what_stepped_aside_is_recognised),
		cmocka_unit_test(uidls_that_all_changed),
		cmocka_unit_test(few_new_ones_are_no_change),
		cmocka_unit_test(twins_are_told_apart),
		cmocka_unit_test(without_uidl),
		cmocka_unit_test(a_refused_top),
		cmocka_unit_test(what_a_filter_says),
		cmocka_unit_test(orders),
		cmocka_unit_test(suspects_come_alone_and_last),
		cmocka_unit_test(what_failed_twice_in_a_run_is_left),
		cmocka_unit_test(when_the_next_falls_due),
		cmocka_unit_test(options_that_decide_have_a_fingerprint),
		cmocka_unit_test(random_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
