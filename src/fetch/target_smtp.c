/*
 * LMTP and SMTP targets. MAIL, RCPT and DATA of the next message travel behind the octets
 * of this one (RFC 2920 s.3.1), so a message costs one round trip.
 *
 * One recipient for each message: two could not be told apart if only one of them took
 * it, and the message would come twice to the other.
 *
 * So a misspelt recipient is refused with every message of the mailbox, and a refused
 * message is put aside for good. What was refused SMTP_REFUSALS_MAX times in a row, while
 * the connection never took it, is a mistake in the configuration: the messages of this
 * batch that met it, and all behind them, stay on the server for another time. A shorter
 * row puts its messages aside: a batch that was done when the row was short stays as it
 * was. The row goes on over batches and connections and ends where RCPT is taken; until
 * then one message of each further batch asks again.
 */
#include "fetch/smtp_run.h"

#include "fetch/durable.h"
#include "os/clock.h"
#include "os/dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAILURES_MAX 3 /* connections in a row that brought no message through */

/* ---- open and close --------------------------------------------------------------- */

static const char *
text_or(const char *text, const char *otherwise)
{
	return text && text[0] ? text : otherwise;
}

static int
open_peer(const struct target_context *c, bool lmtp, struct target *t)
{
	const struct fetch_account *a = c->account;
	struct smtp_peer *p = &t->peer;
	const char *where = c->spec->where;
	uint16_t port = 25;

	p->account = a;
	p->lmtp = lmtp;
	if (lmtp && where[0] == '/') {
		size_t n = strlen(where);

		if (n >= sizeof(p->host))
			return -ENAMETOOLONG;
		memcpy(p->host, where, n + 1);
		return 0;
	}
	/* RFC 8314 s.3.3 and RFC 6409 s.3.1 for those who log in; LMTP has no port. */
	if (a->smtp_tls == FETCH_TLS_TLS)
		port = 465;
	else if (a->smtp_user && a->smtp_user[0])
		port = 587;
	return dial_split(where, lmtp ? 0 : port, p->host, sizeof(p->host), &p->port) &&
			p->port > 0
		? 0
		: -EINVAL;
}

static int
target_open(const struct target_context *c, bool lmtp, struct target **ret, char *why,
	size_t why_n)
{
	struct target *t = calloc(1, sizeof(*t));
	const struct fetch_account *a = c->account;
	bool sender_utf8 = false;
	int r;

	if (!t)
		return -ENOMEM;
	t->spec = c->spec;
	t->sender = durable_view(text_or(a->sender, ""));
	t->recipient = durable_view(text_or(a->recipient, a->user));
	r = open_peer(c, lmtp, t);
	if (r < 0) {
		(void)snprintf(why, why_n, "%s: must be %sHOST:PORT", c->spec->text,
			lmtp ? "/SOCKET or " : "");
	} else if (t->recipient.n == 0 || !smtp_path_is_good(t->recipient, &t->utf8)) {
		r = -EINVAL;
		(void)snprintf(why, why_n,
			"%s: there is no usable recipient; set recipient = ADDRESS",
			c->spec->text);
	} else if (!smtp_path_is_good(t->sender, &sender_utf8)) {
		r = -EINVAL;
		(void)snprintf(
			why, why_n, "%s: sender is no mail address", c->spec->text);
	}
	t->utf8 = t->utf8 || sender_utf8;
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

static int
open_lmtp(const struct target_context *c, struct target **ret, char *why, size_t why_n)
{
	return target_open(c, true, ret, why, why_n);
}

static int
open_smtp(const struct target_context *c, struct target **ret, char *why, size_t why_n)
{
	return target_open(c, false, ret, why, why_n);
}

static void
target_close(struct target **t)
{
	if (!*t)
		return;
	smtp_link_close(&(*t)->link);
	free(*t);
	*t = NULL;
}

static int
prepare(struct target *t, struct letter *l, const char *trace_id,
	char name[LETTER_NAME_MAX])
{
	(void)t;
	(void)l;
	(void)trace_id;
	/* Nothing of it can be looked for later. */
	name[0] = '\0';
	return 0;
}

/* ---- a batch ------------------------------------------------------------------------
 */

/* A link that has served may have been given up by the server meanwhile. */
static bool
is_stale(const struct run *r, int err)
{
	return r->t->link->handed > 0 && r->failures == 0 &&
		(err == -EPIPE || err == -ECONNRESET || r->t->link->closing);
}

/* letters[at], which then is done; or not yet, where a new connection may help. */
static void
deliver_one(struct run *r)
{
	bool go = false, gone = false;
	struct smtp_link *l = r->t->link;
	int err;

	if (!r->ahead && smtp_run_too_large(r, r->at)) {
		char words[100];

		(void)snprintf(words, sizeof(words),
			"the server takes no message of more than %llu octets",
			(unsigned long long)l->client.size_limit);
		smtp_run_fate(r, r->at++, LETTER_REFUSED, words);
		return;
	}
	err = smtp_run_offer(r, &go);
	if ((err < 0 || (!go && l->closing)) && is_stale(r, err)) {
		r->failures++;
		smtp_run_drop(r);
		r->letters[r->at]->fate = LETTER_COMING;
		r->letters[r->at]->why[0] = '\0';
		return;
	}
	if (err == 0 && go)
		err = smtp_run_send(r, &gone);
	if (err == 0 && go)
		err = smtp_run_answer(r);
	/* What offer found out about the letter itself stays. */
	if (err < 0 && r->letters[r->at]->fate == LETTER_COMING)
		smtp_run_fate(r, r->at, gone ? LETTER_UNKNOWN : LETTER_TEMPORARY, l->why);
	if (err < 0 || (l->closing && r->letters[r->at]->fate != LETTER_DELIVERED))
		r->failures++;
	if (err < 0 || l->closing)
		smtp_run_drop(r);
	r->at++;
}

/* Why the rest of the batch is not tried; what the row refused is not put aside. */
static void
give_up(struct run *r, char *why, size_t why_n)
{
	(void)snprintf(why, why_n, "the recipient was refused %u times in a row: %.130s",
		r->t->refusals, r->refusal);
	for (size_t i = r->streak; i < r->at; i++)
		if (r->letters[i]->fate == LETTER_REFUSED)
			smtp_run_fate(r, i, LETTER_TEMPORARY, why);
}

static void
connect_for(struct run *r, char *why, size_t why_n)
{
	struct target *t = r->t;
	bool certificate;
	int err = smtp_link_open(&t->peer, &t->link, why, why_n, &certificate);

	/* A mail server on this very machine has a certificate that nobody signed;
	 * nothing between it and us can listen. No password is sent that way. */
	if (err < 0 && certificate &&
		!(t->peer.account->smtp_user && t->peer.account->smtp_user[0])) {
		t->peer.trusts_loopback = true;
		err = smtp_link_open(&t->peer, &t->link, why, why_n, &certificate);
	}
	t->recipient_taken = false;
	if (err == 0 && t->utf8 && !(t->link->client.has & SMTP_SMTPUTF8)) {
		(void)snprintf(why, why_n,
			"the server takes no address beyond ASCII (SMTPUTF8)");
		smtp_link_close(&t->link);
	}
}

static void
hand_over(struct target *t, struct letter *const *letters, char (*names)[LETTER_NAME_MAX],
	char (*trace_ids)[TRACE_ID_MAX], size_t n)
{
	struct run r = {.t = t,
		.letters = letters,
		.trace_ids = trace_ids,
		.n = n,
		.block = malloc(SMTP_BLOCK),
		.out = malloc(SMTP_OUT_MAX)};
	char why[LETTER_WHY_MAX] = "there is no memory";

	(void)names;
	for (size_t i = 0; i < n; i++)
		letters[i]->fate = LETTER_COMING;
	if (t->link && !smtp_link_is_alive(t->link))
		smtp_run_drop(&r);
	while (r.at < n && r.block && r.out) {
		if (r.failures >= FAILURES_MAX) {
			(void)snprintf(why, sizeof(why),
				"not tried, the connection broke too often");
			break;
		}
		if (!t->link)
			connect_for(&r, why, sizeof(why));
		if (!t->link)
			break;
		deliver_one(&r);
		if (r.gave_up) {
			give_up(&r, why, sizeof(why));
			break;
		}
	}
	for (; r.at < n; r.at++)
		smtp_run_fate(&r, r.at, LETTER_TEMPORARY, why);
	free(r.block);
	free(r.out);
}

const struct target_ops target_lmtp = {.kind = FETCH_LMTP,
	.open = open_lmtp,
	.close = target_close,
	.prepare = prepare,
	.hand_over = hand_over};
const struct target_ops target_smtp = {.kind = FETCH_SMTP,
	.open = open_smtp,
	.close = target_close,
	.prepare = prepare,
	.hand_over = hand_over};
