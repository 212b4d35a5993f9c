#include "auth/auth_parts.h"
#include "base/check.h"
#include "base/ticket.h"
#include "ipc/mechanism.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LAST_REFUSALS 3

static void
answer(struct auth *a, uint32_t question, bool found, struct log_record *pairs)
{
	uint8_t octets[sizeof(pairs->pairs) + 64];
	struct buf b = buf_over(octets, sizeof(octets));
	const struct msg_why_answer m = {
		.question = question, .found = found, .pairs = buf_view(&pairs->buf)};

	msg_why_answer_put(&m, &b);
	CHECK(!b.full);
	/* An operator whose channel is full asks again. */
	if (a->control.fd >= 0)
		(void)!channel_send(a->control.fd, buf_view(&b), NULL, 0);
}

/* ---- what was refused ----------------------------------------------------------------
 */

static void
put_record(struct log_record *r, const struct refusal_record *record)
{
	uint8_t digits[TICKET_OCTETS];

	ticket_put(record->id, digits);
	log_text(r, "id", (struct view){digits, sizeof(digits)});
	log_number(r, "at", record->at_unix_s);
	if (record->name_n > 0)
		log_text(r, "user", (struct view){record->name, record->name_n});
	log_address(
		r, "address", (struct view){record->address, sizeof(record->address)});
	if (record->mechanism != 0)
		log_str(r, "mechanism", mechanism_name(record->mechanism));
	log_str(r, "refusal", refusal_name(record->code));
	log_str(r, "reason", record->reason);
}

static void
by_id(struct auth *a, const struct msg_why_ask *m)
{
	const struct refusal_record *record = refusals_find(a->refusals, m->id);
	struct log_record r;

	log_begin(&r, LOG_LEVEL_INFO, "why");
	if (record)
		put_record(&r, record);
	answer(a, m->question, record != NULL, &r);
}

/* ---- what would be refused -----------------------------------------------------------
 */

static void
put_defence(struct attempt *a, struct log_record *r)
{
	struct auth *auth = a->auth;
	uint64_t now_ms = loop_now_ms(auth->loop);
	uint32_t network, account;
	bool known;

	defence_look(auth->core.defence, a->address, a->name, now_ms, &network, &account,
		&known);
	log_number(r, "failures_of_network", network);
	log_number(r, "failures_of_account", account);
	log_str(r, "known_from_there", known ? "yes" : "no");
}

static void
put_last(const struct attempt *a, struct log_record *r)
{
	const struct refusal_record *record;

	for (size_t i = 0; i < LAST_REFUSALS; i++) {
		uint8_t digits[TICKET_OCTETS];
		char text[160];
		record = refusals_of(a->auth->refusals, a->name, i);
		if (!record)
			return;
		ticket_put(record->id, digits);
		int n = snprintf(text, sizeof(text), "%.*s at %llu: %s", TICKET_OCTETS,
			(const char *)digits, (unsigned long long)record->at_unix_s,
			record->reason);
		CHECK(n > 0);
		log_str(r, "last_refusal", text);
	}
}

/* Each row of policy, and the first that forbids it. */
static const char *
put_policy(const struct attempt *a, struct log_record *r)
{
	const struct policy_login l = {.mechanism = (enum mechanism)a->mechanism,
		.tls = a->tls != 0,
		.address = a->address};
	const char *first = NULL;

	for (size_t i = 0; i < policy_rows_n; i++) {
		const struct policy_row *row = &policy_rows[i];
		bool allows = row->allows(&a->user.policy, &l);
		char key[LOG_KEY_MAX];
		int n = snprintf(key, sizeof(key), "policy_%s", row->name);
		CHECK(n > 0);
		log_str(r, key, allows ? "allows" : "forbids");
		if (!allows && !first)
			first = row->text;
	}
	return first;
}

/* Whether what he has can serve that mechanism at all. */
static const char *
why_not_with_password(const struct attempt *a)
{
	const uint32_t bit = 1U << a->mechanism;
	const uint32_t without = 1U << MECHANISM_GSSAPI | 1U << MECHANISM_KPOP |
		1U << MECHANISM_OAUTHBEARER | 1U << MECHANISM_XOAUTH2;

	if (a->mechanism == MECHANISM_EXTERNAL)
		return a->user.policy.certificates_n > 0
			? NULL
			: "certificate: the user has none";
	if ((bit & without) != 0)
		return NULL;
	if (!a->user.has_stored)
		return a->backend == BACKEND_FILE ? "the user has no password" : NULL;
	return (sasl_mechanisms_of(&a->user.stored) & bit) != 0
		? NULL
		: "the stored password cannot serve this mechanism";
}

static void
finish(struct attempt *a, struct log_record *r, const char *reason)
{
	log_str(r, "mechanism", mechanism_name(a->mechanism));
	put_defence(a, r);
	log_str(r, "refused", reason ? "yes" : "no");
	log_str(r, "reason",
		reason ? reason : "none: with the right password the login is granted");
	put_last(a, r);
	a->auth->whys_n--;
	answer(a->auth, a->why_question, true, r);
	attempt_free(a);
}

void
why_found(struct attempt *a)
{
	struct log_record r;
	const char *reason = NULL;

	log_begin(&r, LOG_LEVEL_INFO, "why");
	log_text(&r, "user", a->name);
	log_str(&r, "database", chain_name(a->backend));
	switch (a->found) {
	case FOUND_NOBODY: reason = "no database knows this user"; break;
	case FOUND_WRONG: reason = "the database does not let this user in"; break;
	case FOUND_CANNOT: reason = users_fault_text(a->fault); break;
	case FOUND_USER: break;
	}
	if (a->found == FOUND_USER) {
		const char *policy = put_policy(a, &r);
		reason = why_not_with_password(a);
		if (policy)
			reason = policy;
		log_text(&r, "maildrop",
			(struct view){a->user.maildrop_octets, a->user.maildrop_n});
		log_str(&r, "store", a->user.store == STORE_MBOX ? "mbox" : "maildir");
		log_number(&r, "owner", a->user.uid);
		log_number(&r, "group", a->user.gid);
		log_str(&r, "rights", a->user.read_only ? "read" : "read and delete");
	}
	finish(a, &r, reason);
}

void
why_refused(struct attempt *a)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_INFO, "why");
	log_text(&r, "user", a->name);
	if (a->database < a->auth->core.chain.n)
		log_str(&r, "database",
			chain_name(a->auth->core.chain.backends[a->database]));
	finish(a, &r, a->reason);
}

static void
by_name(struct auth *auth, const struct msg_why_ask *m)
{
	struct attempt *a =
		auth->whys_n < WHYS_MAX ? calloc(1, sizeof(*a) + m->name.n + 1) : NULL;
	struct log_record r;

	if (!a) {
		log_begin(&r, LOG_LEVEL_INFO, "why");
		log_str(&r, "reason", "too many questions at a time, or no memory");
		answer(auth, m->question, false, &r);
		return;
	}
	auth->whys_n++;
	a->auth = auth;
	a->octets_n = m->name.n + 1;
	memcpy(a->octets, m->name.p, m->name.n);
	memcpy(a->address, m->address.p, sizeof(a->address));
	a->name = (struct view){a->octets, m->name.n};
	a->secret = (struct view){a->octets, 0};
	a->want = WANT_WHY;
	a->why_question = m->question;
	a->tls = m->tls;
	a->mechanism = m->mechanism ? m->mechanism : MECHANISM_PASS;
	login_perform(a, CORE_WALK);
}

static void
one_question(struct auth *a, const struct received *r)
{
	struct msg_why_ask m;
	struct view payload;

	if (r->truncated || message_number(r->message, &payload) != MSG_WHY_ASK ||
		!msg_why_ask_get(&m, payload) || m.mechanism >= MECHANISMS_END ||
		(m.name.n > 0 && m.address.n != 16)) {
		stat_add(STAT_PROTOCOL_FAULTS, 1);
		loop_remove(a->loop, &a->control);
		(void)close(a->control.fd);
		a->control.fd = -1;
		return;
	}
	if (m.name.n > 0)
		by_name(a, &m);
	else
		by_id(a, &m);
}

static void
control_ready(struct source *s, uint32_t events)
{
	struct auth *a =
		(struct auth *)(void *)((char *)s - offsetof(struct auth, control));

	(void)events;
	for (int i = 0; i < MESSAGES_A_TURN && a->control.fd >= 0; i++) {
		int r = channel_recv(a->control.fd, a->received, 0);
		if (r == -EAGAIN)
			return;
		if (r == 0) {
			one_question(a, a->received);
			continue;
		}
		loop_remove(a->loop, &a->control);
		(void)close(a->control.fd);
		a->control.fd = -1;
	}
}

void
why_channel(struct auth *a, int take_fd)
{
	if (a->control.fd >= 0) {
		loop_remove(a->loop, &a->control);
		(void)close(a->control.fd);
	}
	a->control = (struct source){.fd = take_fd, .ready = control_ready};
	if (take_fd < 0 || loop_add(a->loop, &a->control, EPOLLIN) == 0)
		return;
	(void)close(take_fd);
	a->control.fd = -1;
}
