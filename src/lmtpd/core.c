#include "lmtpd/core.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/network.h"
#include "ipc/permit.h"

#include <errno.h>
#include <string.h>

/* ---- codes of others ---------------------------------------------------- */

struct reply_codes
core_recipient_codes(enum lmtp_recipient_answer a)
{
	static const struct reply_codes rows[LMTP_RECIPIENTS] = {
#define RECIPIENT(NAME, code, enhanced, words) [LMTP_RECIPIENT_##NAME] = {code, enhanced},
#include "wire/lmtp_answers.def"
	};

	CHECK(a < LMTP_RECIPIENTS);
	return rows[a];
}

struct reply_codes
core_outcome_codes(enum lmtp_outcome o)
{
	static const struct reply_codes rows[LMTP_OUTCOMES] = {
#define OUTCOME(NAME, code, enhanced, words) [LMTP_OUTCOME_##NAME] = {code, enhanced},
#include "wire/lmtp_answers.def"
	};

	CHECK(o < LMTP_OUTCOMES);
	return rows[o];
}

enum lmtp_recipient_answer
core_of_refusal(uint8_t code)
{
	switch (code) {
	case REFUSAL_NO_USER: return LMTP_RECIPIENT_NO_USER;
	case REFUSAL_BUSY:
	case REFUSAL_CONNECTIONS: return LMTP_RECIPIENT_BUSY;
	/* What an operator can mend makes no mail bounce: it waits with the MTA. */
	case REFUSAL_PERMANENT: return LMTP_RECIPIENT_MISCONFIGURED;
	default: return LMTP_RECIPIENT_TEMPORARY;
	}
}

enum lmtp_outcome
core_of_deposit(uint8_t outcome)
{
	switch (outcome) {
	case DEPOSIT_DONE: return LMTP_OUTCOME_STORED;
	case DEPOSIT_FULL: return LMTP_OUTCOME_FULL;
	case DEPOSIT_NO_SPACE: return LMTP_OUTCOME_NO_SPACE;
	case DEPOSIT_TOO_LARGE: return LMTP_OUTCOME_TOO_LARGE;
	case DEPOSIT_CLOSED: return LMTP_OUTCOME_CLOSED;
	case DEPOSIT_DENIED: return LMTP_OUTCOME_DENIED;
	default: return LMTP_OUTCOME_TEMPORARY;
	}
}

enum lmtp_outcome
core_of_error(int err)
{
	switch (err) {
	case -ENOSPC:
	case -EDQUOT: return LMTP_OUTCOME_NO_SPACE;
	case -EFBIG: return LMTP_OUTCOME_TOO_LARGE;
	default: return LMTP_OUTCOME_TEMPORARY;
	}
}

enum lmtp_outcome
core_of_keeper_refusal(uint8_t code)
{
	return code == REFUSAL_PERMANENT ? LMTP_OUTCOME_CLOSED : LMTP_OUTCOME_TEMPORARY;
}

/* ---- RCPT --------------------------------------------------------------- */

bool
core_add(struct transaction *t, struct recipient *r, struct view name, uint64_t now_ms)
{
	CHECK(!t->is_whole);
	*r = (struct recipient){.name = name, .twin = r, .asked_ms = now_ms};
	for (uint32_t i = 0; i < t->n && r->twin == r; i++)
		if (view_equal(t->list[i]->name, name))
			r->twin = t->list[i]->twin;
	t->list[t->n++] = r;
	return r->twin == r;
}

bool
core_claim(struct transaction *t, struct view name)
{
	if (t->claimed == t->n || !view_equal(t->list[t->claimed]->name, name))
		return false;
	t->claimed++;
	return true;
}

struct recipient *
core_drop(struct transaction *t)
{
	if (t->n == t->claimed)
		return NULL;
	struct recipient *r = t->list[--t->n];
	if (r->twin == r && r->state == RECIPIENT_HELD)
		t->open--;
	return r;
}

bool
core_accept(struct transaction *t, struct recipient *r)
{
	CHECK(r->twin == r);
	if (r->state != RECIPIENT_ASKED)
		return false;
	r->state = RECIPIENT_HELD;
	t->open++;
	return true;
}

bool
core_refuse(struct transaction *t, struct recipient *r, enum lmtp_recipient_answer why)
{
	CHECK(r->twin == r);
	CHECK(why != LMTP_RECIPIENT_ACCEPTED);
	(void)t;
	if (r->state != RECIPIENT_ASKED)
		return false;
	r->state = RECIPIENT_REFUSED;
	r->answer = (uint8_t)why;
	return true;
}

bool
core_next_rcpt(const struct transaction *t, enum lmtp_recipient_answer *ret)
{
	if (t->answered == t->claimed)
		return false;
	const struct recipient *r = t->list[t->answered]->twin;
	if (r->state == RECIPIENT_ASKED)
		return false;
	*ret = r->state == RECIPIENT_REFUSED ? (enum lmtp_recipient_answer)r->answer
					     : LMTP_RECIPIENT_ACCEPTED;
	return true;
}

void
core_rcpt_told(struct transaction *t)
{
	CHECK(t->answered < t->claimed);
	t->answered++;
}

/* ---- the message -------------------------------------------------------- */

void
core_whole(struct transaction *t, uint64_t now_ms)
{
	CHECK(!t->is_whole);
	CHECK(t->answered == t->n);
	t->is_whole = true;
	t->whole_ms = now_ms;
}

void
core_given(struct recipient *r)
{
	CHECK(r->twin == r);
	CHECK(r->state == RECIPIENT_HELD);
	r->state = RECIPIENT_GIVEN;
}

bool
core_end(struct transaction *t, struct recipient *r, enum lmtp_outcome outcome)
{
	CHECK(r->twin == r);
	CHECK(t->is_whole);
	/* A keeper that was not given the message has not stored it, whatever it says. */
	CHECK(outcome != LMTP_OUTCOME_STORED || r->state != RECIPIENT_HELD);
	if (r->state != RECIPIENT_HELD && r->state != RECIPIENT_GIVEN)
		return false;
	CHECK(t->open > 0);
	t->open--;
	r->state = RECIPIENT_ENDED;
	r->outcome = (uint8_t)outcome;
	return true;
}

bool
core_next_outcome(struct transaction *t, enum lmtp_outcome *ret, struct view *ret_name)
{
	if (!t->is_whole)
		return false;
	while (t->told < t->n && t->list[t->told]->twin->state == RECIPIENT_REFUSED)
		t->told++;
	if (t->told == t->n)
		return false;
	const struct recipient *r = t->list[t->told]->twin;
	if (r->state != RECIPIENT_ENDED)
		return false;
	*ret = (enum lmtp_outcome)r->outcome;
	*ret_name = r->name;
	return true;
}

void
core_outcome_told(struct transaction *t)
{
	CHECK(t->told < t->n);
	CHECK(t->list[t->told]->twin->state == RECIPIENT_ENDED);
	t->told++;
}

bool
core_is_over(const struct transaction *t)
{
	if (!t->is_whole || t->open > 0)
		return false;
	for (uint32_t i = t->told; i < t->n; i++)
		if (t->list[i]->twin->state != RECIPIENT_REFUSED)
			return false;
	return true;
}

/* ---- time, and what is said about it ------------------------------------ */

uint64_t
core_due(const struct transaction *t)
{
	if (t->is_whole)
		return t->open > 0 ? t->whole_ms + CORE_DEPOSIT_MS : CORE_NEVER;
	/* They are asked in order, so the first that waits was asked first. */
	for (uint32_t i = t->answered; i < t->n; i++)
		if (t->list[i]->twin->state == RECIPIENT_ASKED)
			return t->list[i]->twin->asked_ms + CORE_LOOKUP_MS;
	return CORE_NEVER;
}

static bool
expire(struct transaction *t, struct recipient *r, uint64_t now_ms)
{
	if (r->twin != r)
		return false;
	if (!t->is_whole)
		return r->asked_ms + CORE_LOOKUP_MS <= now_ms &&
			core_refuse(t, r, LMTP_RECIPIENT_TEMPORARY);
	return t->whole_ms + CORE_DEPOSIT_MS <= now_ms &&
		core_end(t, r, LMTP_OUTCOME_TEMPORARY);
}

struct recipient *
core_expire(struct transaction *t, uint32_t *at, uint64_t now_ms)
{
	while (*at < t->n) {
		struct recipient *r = t->list[(*at)++];
		if (expire(t, r, now_ms))
			return r;
	}
	return NULL;
}

struct tally
core_tally(const struct transaction *t)
{
	struct tally n = {0};

	for (uint32_t i = 0; i < t->claimed; i++) {
		const struct recipient *r = t->list[i]->twin;
		if (r->state == RECIPIENT_HELD || r->state == RECIPIENT_GIVEN ||
			r->state == RECIPIENT_ENDED)
			n.accepted++;
		if (r->state != RECIPIENT_ENDED)
			continue;
		char class = core_outcome_codes((enum lmtp_outcome)r->outcome).code[0];
		n.stored += class == '2';
		n.temporary += class == '4';
		n.permanent += class == '5';
	}
	return n;
}

/* ---- who may connect ---------------------------------------------------- */

bool
core_may_connect(struct view networks, const uint8_t address[CORE_ADDRESS])
{
	static const uint8_t loopback[2][CORE_NETWORK] = {
		{[15] = 1, [16] = 128},
		{[10] = 0xFF, [11] = 0xFF, [12] = 127, [16] = 104},
	};

	return network_has(loopback[0], address) || network_has(loopback[1], address) ||
		network_list_has(networks, address);
}
