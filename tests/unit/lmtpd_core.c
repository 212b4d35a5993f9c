/* What lmtpd decides: whose answer comes when, and what it is. */
#include "unit.h"

#include "base/network.h"
#include "ipc/permit.h"
#include "lmtpd/core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOST 12U

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* ---- codes -------------------------------------------------------------- */

static void
only_what_cannot_be_mended_is_for_good(void **state)
{
	(void)state;
	for (int code = 0; code <= 255; code++) {
		enum lmtp_recipient_answer a = core_of_refusal((uint8_t)code);
		const char *said = core_recipient_codes(a).code;
		assert_int_not_equal(a, LMTP_RECIPIENT_ACCEPTED);
		assert_int_equal(said[0], code == REFUSAL_NO_USER ? '5' : '4');
	}
	for (int outcome = 0; outcome <= 255; outcome++) {
		enum lmtp_outcome o = core_of_deposit((uint8_t)outcome);
		assert_int_equal(o == LMTP_OUTCOME_STORED, outcome == DEPOSIT_DONE);
		assert_int_equal(core_outcome_codes(o).code[0] == '5',
			outcome == DEPOSIT_TOO_LARGE || outcome == DEPOSIT_DENIED);
		assert_int_equal(
			core_outcome_codes(core_of_keeper_refusal((uint8_t)outcome))
				.code[0],
			'4');
	}
	assert_int_equal(core_of_error(-ENOSPC), LMTP_OUTCOME_NO_SPACE);
	assert_int_equal(core_of_error(-EDQUOT), LMTP_OUTCOME_NO_SPACE);
	assert_int_equal(core_of_error(-EFBIG), LMTP_OUTCOME_TOO_LARGE);
	assert_int_equal(core_of_error(-EIO), LMTP_OUTCOME_TEMPORARY);
	assert_string_equal(
		core_recipient_codes(LMTP_RECIPIENT_NO_USER).enhanced, "5.1.1");
	assert_string_equal(
		core_recipient_codes(core_of_refusal(REFUSAL_PERMANENT)).enhanced,
		"4.3.5");
	assert_string_equal(
		core_outcome_codes(core_of_deposit(DEPOSIT_FULL)).enhanced, "4.2.2");
}

/* ---- one by one --------------------------------------------------------- */

static void
a_foretold_recipient_is_claimed_in_its_turn(void **state)
{
	struct recipient *list[MOST], r[4];
	struct transaction t = {.list = list};
	enum lmtp_recipient_answer a;
	(void)state;

	assert_false(core_claim(&t, text("a")));
	assert_true(core_add(&t, &r[0], text("a"), 0));
	assert_true(core_claim(&t, text("a")));
	assert_true(core_add(&t, &r[1], text("b"), 0));
	assert_false(core_add(&t, &r[2], text("a"), 0));
	assert_true(core_accept(&t, &r[0]));
	assert_true(core_accept(&t, &r[1]));
	assert_int_equal(t.open, 2);
	/* What is foretold gets no answer before its RCPT has come. */
	assert_true(core_next_rcpt(&t, &a));
	core_rcpt_told(&t);
	assert_false(core_next_rcpt(&t, &a));
	/* Another one comes: what was foretold goes. */
	assert_false(core_claim(&t, text("c")));
	assert_ptr_equal(core_drop(&t), &r[2]);
	assert_ptr_equal(core_drop(&t), &r[1]);
	assert_null(core_drop(&t));
	assert_int_equal(t.open, 1);
	assert_true(core_add(&t, &r[3], text("c"), 0));
	assert_true(core_claim(&t, text("c")));
	assert_true(core_refuse(&t, &r[3], LMTP_RECIPIENT_NO_USER));
	assert_true(core_next_rcpt(&t, &a));
	assert_int_equal(a, LMTP_RECIPIENT_NO_USER);
}

static void
what_comes_late_does_not_count(void **state)
{
	struct recipient *list[MOST], r[2], *late;
	struct transaction t = {.list = list};
	enum lmtp_outcome o;
	struct view name;
	uint32_t at = 0;
	(void)state;

	assert_int_equal(core_due(&t), CORE_NEVER);
	assert_true(core_add(&t, &r[0], text("a"), 1000));
	assert_true(core_add(&t, &r[1], text("b"), 2000));
	assert_true(core_claim(&t, text("a")));
	assert_true(core_claim(&t, text("b")));
	assert_int_equal(core_due(&t), 1000 + CORE_LOOKUP_MS);
	assert_null(core_expire(&t, &at, 999 + CORE_LOOKUP_MS));
	at = 0;
	assert_ptr_equal(core_expire(&t, &at, 1000 + CORE_LOOKUP_MS), &r[0]);
	assert_null(core_expire(&t, &at, 1000 + CORE_LOOKUP_MS));
	assert_false(core_accept(&t, &r[0]));
	assert_int_equal(core_due(&t), 2000 + CORE_LOOKUP_MS);
	assert_true(core_accept(&t, &r[1]));
	assert_false(core_refuse(&t, &r[1], LMTP_RECIPIENT_BUSY));
	assert_int_equal(core_due(&t), CORE_NEVER);
	core_rcpt_told(&t);
	core_rcpt_told(&t);

	core_whole(&t, 5000);
	core_given(&r[1]);
	assert_int_equal(core_due(&t), 5000 + CORE_DEPOSIT_MS);
	assert_false(core_next_outcome(&t, &o, &name));
	at = 0;
	late = core_expire(&t, &at, 5000 + CORE_DEPOSIT_MS);
	assert_ptr_equal(late, &r[1]);
	assert_false(core_end(&t, &r[1], LMTP_OUTCOME_STORED));
	assert_true(core_next_outcome(&t, &o, &name));
	assert_int_equal(o, LMTP_OUTCOME_TEMPORARY);
	assert_memory_equal(name.p, "b", 1);
	assert_false(core_is_over(&t));
	core_outcome_told(&t);
	assert_true(core_is_over(&t));
	assert_int_equal(core_due(&t), CORE_NEVER);
}

/* ---- a model ------------------------------------------------------------ */

/*
 * The same recipients by the simplest of means: what everyone's fate will be is drawn
 * first; core hears of it in a random order and must tell it in the order of RCPT.
 */
struct model {
	uint64_t dice;
	uint32_t n;
	char names[MOST][4];
	uint32_t first[MOST]; /* of the same name */
	enum lmtp_recipient_answer answer[MOST];
	enum lmtp_outcome outcome[MOST];
	struct recipient rows[MOST];
	struct recipient *list[MOST];
	struct transaction t;
};

static uint32_t
roll(struct model *m, uint32_t below)
{
	m->dice = m->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return below > 0 ? (uint32_t)(m->dice >> 33) % below : 0;
}

static void
draw(struct model *m, uint64_t seed)
{
	*m = (struct model){.dice = seed};
	m->t.list = m->list;
	m->n = 1 + roll(m, MOST);
	for (uint32_t i = 0; i < m->n; i++) {
		(void)snprintf(m->names[i], sizeof(m->names[i]), "u%u", roll(m, 8));
		m->first[i] = i;
		for (uint32_t j = i; j-- > 0;)
			if (strcmp(m->names[j], m->names[i]) == 0)
				m->first[i] = m->first[j];
		m->answer[i] = roll(m, 3) == 0 ? LMTP_RECIPIENT_NO_USER
					       : LMTP_RECIPIENT_ACCEPTED;
		m->outcome[i] = (enum lmtp_outcome)roll(m, LMTP_OUTCOMES);
	}
}

/* Some of those that can be decided are; the next answers are looked at after each. */
static uint32_t
rcpts(struct model *m)
{
	uint32_t added = 0, told = 0, asked = 0;
	bool decided[MOST] = {0};

	for (uint32_t guard = 0; told < m->n; guard++) {
		enum lmtp_recipient_answer a;
		uint32_t i = roll(m, m->n);
		assert_true(guard < 10000);
		if (added < m->n && roll(m, 2) == 0) {
			struct view name = text(m->names[added]);
			bool ask = core_add(&m->t, &m->rows[added], name, guard);
			assert_int_equal(ask, m->first[added] == added);
			asked += ask;
			added++;
		}
		if (m->t.claimed < added && roll(m, 2) == 0)
			assert_true(core_claim(&m->t, text(m->names[m->t.claimed])));
		if (i < added && m->first[i] == i && !decided[i]) {
			decided[i] = true;
			bool yes = m->answer[i] == LMTP_RECIPIENT_ACCEPTED;
			assert_true(yes ? core_accept(&m->t, &m->rows[i])
					: core_refuse(&m->t, &m->rows[i], m->answer[i]));
		}
		bool can = told < m->t.claimed && decided[m->first[told]];
		assert_int_equal(core_next_rcpt(&m->t, &a), can);
		if (!can)
			continue;
		assert_int_equal(a, m->answer[m->first[told]]);
		core_rcpt_told(&m->t);
		told++;
	}
	return asked;
}

static bool
is_in(const struct model *m, uint32_t i)
{
	return m->answer[m->first[i]] == LMTP_RECIPIENT_ACCEPTED;
}

static void
outcomes(struct model *m)
{
	bool ended[MOST] = {0};
	uint32_t told = 0;

	core_whole(&m->t, 1);
	for (uint32_t i = 0; i < m->n; i++)
		if (is_in(m, i) && m->first[i] == i)
			core_given(&m->rows[i]);
	for (uint32_t guard = 0;; guard++) {
		enum lmtp_outcome o;
		struct view name;
		uint32_t i = roll(m, m->n);
		assert_true(guard < 10000);
		while (told < m->n && !is_in(m, told))
			told++;
		assert_int_equal(core_is_over(&m->t), told == m->n);
		if (told == m->n)
			break;
		if (is_in(m, i) && m->first[i] == i && !ended[i]) {
			ended[i] = true;
			assert_true(core_end(&m->t, &m->rows[i], m->outcome[i]));
			assert_false(core_end(&m->t, &m->rows[i], LMTP_OUTCOME_STORED));
		}
		bool can = ended[m->first[told]];
		assert_int_equal(core_next_outcome(&m->t, &o, &name), can);
		if (!can)
			continue;
		assert_int_equal(o, m->outcome[m->first[told]]);
		assert_memory_equal(name.p, m->names[told], name.n);
		core_outcome_told(&m->t);
		told++;
	}
}

static void
answers_come_in_the_order_of_the_recipients(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct model m;
		uint32_t different = 0, in = 0, stored = 0;
		draw(&m, seed);
		for (uint32_t i = 0; i < m.n; i++) {
			different += m.first[i] == i;
			in += is_in(&m, i);
			stored += is_in(&m, i) &&
				m.outcome[m.first[i]] == LMTP_OUTCOME_STORED;
		}
		assert_int_equal(rcpts(&m), different);
		outcomes(&m);
		struct tally n = core_tally(&m.t);
		assert_int_equal(n.accepted, in);
		assert_int_equal(n.stored, stored);
		assert_int_equal(n.stored + n.temporary + n.permanent, in);
	}
}

/* ---- networks ----------------------------------------------------------- */

#define V4(a, b, c, d)                                                                   \
	{                                                                                \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d                     \
	}

static void
networks(void **state)
{
	static const uint8_t rows[3 * CORE_NETWORK] = {
		[10] = 0xFF,
		[11] = 0xFF,
		[12] = 192,
		[13] = 0,
		[14] = 2,
		[16] = 96 + 24,
		[17] = 0x20,
		[18] = 0x01,
		[19] = 0x0D,
		[20] = 0xB8,
		[33] = 32,
		[44] = 0xFF,
		[45] = 0xFF,
		[46] = 10,
		[47] = 0x80,
		[50] = 96 + 9,
	};
	static const struct {
		uint8_t address[CORE_ADDRESS];
		bool with, without;
	} asked[] = {
		{V4(192, 0, 2, 0), true, false},
		{V4(192, 0, 2, 255), true, false},
		{V4(192, 0, 3, 0), false, false},
		{V4(10, 128, 0, 1), true, false},
		{V4(10, 255, 0, 1), true, false},
		{V4(10, 127, 0, 1), false, false},
		{V4(127, 0, 0, 1), true, true},
		{V4(127, 255, 3, 1), true, true},
		{V4(128, 0, 0, 1), false, false},
		{{[15] = 1}, true, true},
		{{[15] = 2}, false, false},
		{{0}, false, false},
		{{0x20, 0x01, 0x0D, 0xB8, 9, 9}, true, false},
		{{0x20, 0x01, 0x0D, 0xB9}, false, false},
		/* Not an IPv4 address, though its end looks like one. */
		{{[12] = 127, [15] = 1}, false, false},
	};
	static const uint8_t all[CORE_NETWORK] = {0},
			     one[CORE_NETWORK] = {[15] = 2, [16] = 128};
	uint8_t bad[CORE_NETWORK] = {[16] = 129};
	struct view none = {NULL, 0};
	(void)state;

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		const uint8_t *a = asked[i].address;
		assert_int_equal(core_may_connect((struct view){rows, sizeof(rows)}, a),
			asked[i].with);
		assert_int_equal(core_may_connect(none, a), asked[i].without);
		assert_true(core_may_connect((struct view){all, sizeof(all)}, a));
	}
	assert_true(core_may_connect((struct view){one, sizeof(one)}, asked[10].address));
	assert_false(
		core_may_connect((struct view){one, sizeof(one)}, asked[11].address));
	assert_true(network_list_is_sound(none));
	assert_true(network_list_is_sound((struct view){rows, sizeof(rows)}));
	assert_false(network_list_is_sound((struct view){rows, sizeof(rows) - 1}));
	assert_false(network_list_is_sound((struct view){bad, sizeof(bad)}));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_cannot_be_mended_is_for_good),
		cmocka_unit_test(a_foretold_recipient_is_claimed_in_its_turn),
		cmocka_unit_test(what_comes_late_does_not_count),
		cmocka_unit_test(answers_come_in_the_order_of_the_recipients),
		cmocka_unit_test(networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
