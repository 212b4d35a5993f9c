/*
 * What goes before a message: RSET, MAIL, RCPT and DATA, and what the answers mean.
 */
#include "fetch/smtp_run.h"

#include "base/check.h"
#include "fetch/durable.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TRACE_FIELD "X-Restante-Trace: "

/* ---- fates --------------------------------------------------------------------------
 */

void
smtp_run_fate(const struct run *r, size_t i, enum letter_fate fate, const char *words)
{
	struct letter *l = r->letters[i];
	char place[80], said[SMTP_WORDS_MAX];

	durable_printable(
		r->t->spec->text, strlen(r->t->spec->text), place, sizeof(place));
	durable_printable(words, strlen(words), said, sizeof(said));
	(void)snprintf(l->why, sizeof(l->why), "%.70s: %.160s", place, said);
	l->fate = fate;
}

bool
smtp_run_judge(struct run *r, const struct smtp_reply *reply)
{
	switch (smtp_reply_meaning(reply)) {
	case SMTP_YES: return true;
	case SMTP_LATER:
	case SMTP_CONFIGURED:
		smtp_run_fate(r, r->at, LETTER_TEMPORARY, reply->words);
		break;
	case SMTP_NEVER: smtp_run_fate(r, r->at, LETTER_REFUSED, reply->words); break;
	}
	return false;
}

void
smtp_run_drop(struct run *r)
{
	if (r->t->link)
		r->t->link->closing = true;
	smtp_link_close(&r->t->link);
	r->ahead = false;
}

/* ---- a group: RSET, MAIL, RCPT, DATA ------------------------------------------------
 */

size_t
smtp_run_trace(const struct run *r, size_t i, char ret[SMTP_TRACE_MAX])
{
	int n = r->trace_ids[i][0]
		? snprintf(ret, SMTP_TRACE_MAX, TRACE_FIELD "%s\r\n", r->trace_ids[i])
		: 0;

	CHECK(n >= 0 && n < SMTP_TRACE_MAX);
	return (size_t)n;
}

static uint64_t
size_of(const struct run *r, size_t i)
{
	char field[SMTP_TRACE_MAX];

	return r->letters[i]->wire + smtp_run_trace(r, i, field);
}

bool
smtp_run_too_large(const struct run *r, size_t i)
{
	const struct smtp_client *c = &r->t->link->client;

	return (c->has & SMTP_SIZE) && c->size_limit > 0 && size_of(r, i) > c->size_limit;
}

enum step { STEP_RSET, STEP_MAIL, STEP_RCPT, STEP_DATA, STEPS };

static bool
put_step(const struct run *r, size_t i, enum step step, struct buf *out)
{
	struct smtp_client *c = &r->t->link->client;
	struct view envid = durable_view(r->trace_ids[i]);

	switch (step) {
	case STEP_RSET: return smtp_client_send(c, SMTP_RSET, out);
	case STEP_MAIL:
		return smtp_client_mail(
			c, r->t->sender, size_of(r, i), envid, r->t->utf8, out);
	case STEP_RCPT: return smtp_client_rcpt(c, r->t->recipient, out);
	case STEP_DATA: return smtp_client_send(c, SMTP_DATA, out);
	case STEPS: break;
	}
	UNREACHABLE();
}

static bool
is_pipelined(const struct run *r)
{
	return r->t->link->client.has & SMTP_PIPELINING;
}

/* Sends this step, and what may go with it. */
static int
send_steps(struct run *r, enum step step)
{
	uint8_t storage[2 * SMTP_COMMAND_MAX];
	struct buf out = buf_over(storage, sizeof(storage));
	struct smtp_link *l = r->t->link;
	enum step end = is_pipelined(r) ? STEPS : step + 1;

	for (; step < end; step++)
		if (!put_step(r, r->at, step, &out)) {
			(void)snprintf(l->why, sizeof(l->why),
				"the server takes no such command or address");
			return -EPROTO;
		}
	return smtp_link_send(l, out.p, out.n, smtp_link_limit(l, SMTP_BLOCK_MS));
}

/* What was said to RCPT, which is the same in every message. */
static void
note_recipient(struct run *r, bool taken, const struct smtp_reply *reply)
{
	struct target *t = r->t;

	if (taken) {
		t->recipient_taken = true;
		t->refusals = 0;
		r->streak = r->at + 1;
	}
	if (taken || smtp_reply_meaning(reply) != SMTP_NEVER)
		return;
	t->refusals++;
	r->gave_up = !t->recipient_taken && t->refusals >= SMTP_REFUSALS_MAX;
	(void)snprintf(r->refusal, sizeof(r->refusal), "%s", reply->words);
}

int
smtp_run_offer(struct run *r, bool *ret_go)
{
	struct smtp_link *l = r->t->link;
	enum step first = l->needs_rset ? STEP_RSET : STEP_MAIL;
	bool sent = r->ahead, pipelined = is_pipelined(r), good = true, open = false;
	struct smtp_reply reply;

	r->ahead = false;
	for (enum step step = first; step < STEPS && (good || pipelined); step++) {
		int err = sent ? 0 : send_steps(r, step);

		sent = pipelined;
		if (err == 0)
			err = smtp_link_reply(l,
				smtp_link_limit(l,
					step == STEP_DATA ? SMTP_DATA_MS
							  : SMTP_COMMAND_MS),
				&reply);
		if (err < 0)
			return err;
		if (step == STEP_RSET) {
			l->needs_rset = false;
			continue;
		}
		open = step == STEP_DATA && reply.code == 354;
		/* What comes after a refusal only repeats it. */
		if (good) {
			good = smtp_run_judge(r, &reply);
			if (step == STEP_RCPT)
				note_recipient(r, good, &reply);
		}
		if (step == STEP_MAIL)
			l->needs_rset = good;
	}
	if (open && !good) {
		/* It would take anything for a message now. */
		(void)snprintf(l->why, sizeof(l->why),
			"the server refuses the recipient and yet wants the message");
		return -EPROTO;
	}
	*ret_go = good;
	return 0;
}

void
smtp_run_ahead(struct run *r, struct buf *out)
{
	r->ahead =
		r->at + 1 < r->n && is_pipelined(r) && !smtp_run_too_large(r, r->at + 1);
	for (enum step step = STEP_MAIL; r->ahead && step < STEPS; step++)
		CHECK(put_step(r, r->at + 1, step, out));
}
