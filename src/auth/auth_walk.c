#include "auth/auth_parts.h"
#include "auth/mac.h"
#include "base/check.h"

#include <string.h>

static enum core_step
hold(struct attempt *a)
{
	struct auth *auth = a->auth;
	struct queue_lane *lane = a->front ? &a->front->held_lane : &auth->why_held_lane;

	a->rounds++;
	a->phase = ATTEMPT_HELD;
	enum queue_put put = queue_put(&auth->held, lane, &a->item);
	if (put == QUEUE_TAKEN)
		return CORE_WAIT;
	a->phase = ATTEMPT_RUNS;
	stat_add(STAT_QUEUE_FULL, 1);
	return core_refuse(a, a->want == WANT_DELIVERY ? REFUSAL_TEMPORARY : REFUSAL_BUSY,
		put == QUEUE_LANE_FULL ? "queue_of_front_full" : "queue_full");
}

/* What is decided here is decided with the file on disk. */
static enum core_step
ask_file(struct attempt *a, bool *ret_found)
{
	struct auth *auth = a->auth;

	*ret_found = false;
	switch (users_fresh(auth, a->rounds)) {
	case WATCH_GO: break;
	case WATCH_ASK:
	case WATCH_HOLD: return hold(a);
	case WATCH_REFUSE: return core_refuse(a, REFUSAL_TEMPORARY, "no_users_file");
	}
	if (!auth->core.users)
		return core_refuse(a, REFUSAL_TEMPORARY, "no_users_file");
	*ret_found = core_ask_file(&auth->core, a) == CORE_FILE_HAS;
	a->database++;
	return CORE_WALK;
}

static bool
remembered(struct attempt *a, uint8_t backend, struct view *ret_text)
{
	struct auth *auth = a->auth;
	uint8_t mac[MAC_OCTETS];

	return core_unseen_mac(&auth->core, a, backend, mac) &&
		unseen_has(auth->unseen, mac, loop_now_ms(auth->loop), ret_text);
}

static void
remember(struct attempt *a, uint8_t backend, struct view text, uint32_t valid_s)
{
	struct auth *auth = a->auth;
	uint8_t mac[MAC_OCTETS];

	if (core_unseen_mac(&auth->core, a, backend, mac))
		unseen_put(auth->unseen, mac, text, valid_s, loop_now_ms(auth->loop));
}

static enum core_step
ask(struct attempt *a, enum ask_kind kind, uint8_t backend)
{
	a->ask = kind;
	a->ask_backend = backend;
	const char *why = helper_ask(a);
	return why ? core_refuse(a, a->code, why) : CORE_WAIT;
}

/* CORE_WALK: this database does not know him. */
static enum core_step
ask_database(struct attempt *a, uint8_t backend, bool *ret_found)
{
	struct view line;

	*ret_found = false;
	a->ask = a->want == WANT_CHECK ? ASK_VERIFY : ASK_LOOKUP;
	if (a->want == WANT_CHECK && remembered(a, backend, &line) &&
		core_take_line(&a->auth->core, a, line, &a->auth->options)) {
		stat_add(STAT_CACHE_HITS, 1);
		*ret_found = true;
		return CORE_WALK;
	}
	for (; a->variant < USERS_RECIPIENT_VARIANTS; a->variant++) {
		uint8_t octets[1024];
		struct buf name = buf_over(octets, MAILDROP_NAME_MAX);
		if (core_asked_name(&a->auth->core, a, &name) && name.n > 0)
			return ask(a, a->ask, backend);
	}
	a->variant = 0;
	a->database++;
	return CORE_WALK;
}

static enum core_step
found(struct attempt *a)
{
	struct auth *auth = a->auth;
	bool from_cache = a->want == WANT_CHECK && !a->checked_elsewhere;
	enum core_step step = core_found(&auth->core, a,
		mac_number(auth->dummy_key, a->name), loop_now_ms(auth->loop));

	if (from_cache && step == CORE_ANSWER && a->answer == SCHEME_YES)
		stat_add(STAT_CACHE_HITS, 1);
	return step;
}

enum core_step
walk(struct attempt *a)
{
	const struct chain *chain = &a->auth->core.chain;

	while (a->database < chain->n) {
		uint8_t backend = chain->backends[a->database];
		bool is_found;
		enum core_step step = backend == BACKEND_FILE
			? ask_file(a, &is_found)
			: ask_database(a, backend, &is_found);
		if (is_found)
			break;
		if (step != CORE_WALK)
			return step;
	}
	return found(a);
}

/* ---- answers -------------------------------------------------------------------------
 */

static void
log_helper(struct attempt *a, const struct msg_answer *m, const char *what)
{
	struct auth *auth = a->auth;
	uint64_t now_ms = loop_now_ms(auth->loop);
	struct log_record r;

	if (auth->helper_logged_ms != 0 && now_ms - auth->helper_logged_ms < 1000)
		return;
	auth->helper_logged_ms = now_ms;
	log_begin(&r, LOG_LEVEL_ERROR, "database_fault");
	log_str(&r, "database", chain_name(a->ask_backend));
	log_str(&r, "what", what);
	if (m->reason.n > 0)
		log_text(&r, "reason", m->reason);
	auth_log(&r);
}

/* An operator can mend a line: he is told where, and never what stood in its password. */
static void
note_line(struct attempt *a, const struct msg_answer *m)
{
	struct auth *auth = a->auth;

	if (a->found == FOUND_CANNOT && a->fault != USERS_LOCKED)
		log_helper(a, m, users_fault_text(a->fault));
	if (a->found != FOUND_USER || !a->user.has_stored)
		return;
	uint32_t seen =
		policy_mechanisms(&a->user.policy, sasl_mechanisms_of(&a->user.stored));
	/* Where an operator said what there is, one line says no more of passwords. */
	if (auth->core.stores[a->backend] != 0)
		seen &= 1U << MECHANISM_EXTERNAL;
	if ((seen & ~auth->seen_mechanisms) == 0)
		return;
	auth->seen_mechanisms |= seen;
	offer_renew(auth);
}

static enum core_step
database_answered(struct attempt *a, const struct msg_answer *m)
{
	struct core *core = &a->auth->core;
	uint8_t backend = a->ask_backend;

	switch ((enum ask_outcome)m->outcome) {
	case ANSWER_FOUND:
		if (!core_take_line(core, a, m->line, &a->auth->options)) {
			log_helper(
				a, m, "its line is of another name than was asked for");
			return core_refuse(
				a, REFUSAL_TEMPORARY, "database_gave_another_name");
		}
		note_line(a, m);
		if (a->checked_elsewhere)
			remember(a, backend, m->line, m->valid_s);
		return found(a);
	case ANSWER_NO_USER:
		a->variant++;
		if (a->want != WANT_DELIVERY) {
			a->variant = 0;
			a->database++;
		}
		return CORE_WALK;
	case ANSWER_WRONG:
		a->found = FOUND_WRONG;
		a->backend = backend;
		a->known = a->want == WANT_DELIVERY;
		return found(a);
	case ANSWER_TEMPORARY:
	case ANSWER_CHALLENGE:
	case ANSWER_NAME: break;
	}
	log_helper(a, m, "it does not answer");
	return core_refuse(a, REFUSAL_TEMPORARY, "database_does_not_answer");
}

/* The name is kept by us: the message is gone before the walk is over. */
static bool
keep_name(struct attempt *a, struct view name)
{
	struct buf b = buf_over(a->name_octets, sizeof(a->name_octets));

	buf_put_view(&b, name);
	return !b.full && b.n > 0;
}

static enum core_step
named(struct attempt *a, struct view name)
{
	struct sasl_result r = {0};

	bool yes = keep_name(a, name);
	sasl_named(
		a->talk, yes, yes ? (struct view){a->name_octets, name.n} : VIEW(""), &r);
	a->out = r.out;
	return core_act(a, &r);
}

static enum core_step
token_answered(struct attempt *a, const struct msg_answer *m)
{
	struct sasl_result r = {0};

	if (m->outcome == ANSWER_NAME) {
		remember(a, BACKEND_OAUTH, m->name, m->valid_s);
		return named(a, m->name);
	}
	if (m->outcome == ANSWER_TEMPORARY) {
		log_helper(a, m, "it does not answer");
		return core_refuse(a, REFUSAL_TEMPORARY, "tokens_cannot_be_checked");
	}
	a->name.n = 0;
	sasl_named(a->talk, false, VIEW(""), &r);
	a->out = r.out;
	return core_act(a, &r);
}

enum core_step
walk_token(struct attempt *a)
{
	struct view name;

	a->ask = ASK_TOKEN;
	if (!remembered(a, BACKEND_OAUTH, &name))
		return ask(a, ASK_TOKEN, BACKEND_OAUTH);
	stat_add(STAT_CACHE_HITS, 1);
	return named(a, name);
}

static enum core_step
ticket_answered(struct attempt *a, const struct msg_answer *m)
{
	struct sasl_result r = {0};

	if (m->outcome == ANSWER_TEMPORARY)
		log_helper(a, m, "it does not answer");
	sasl_ticket(a->talk, (enum ask_outcome)m->outcome, m->octets, m->name, &r);
	a->out = r.out;
	return core_act(a, &r);
}

enum core_step
walk_ticket(struct attempt *a)
{
	if (a->talk_number == 0)
		a->talk_number = ++a->auth->talks;
	return ask(a, ASK_STEP, BACKEND_KRB5);
}

enum core_step
walk_answered(struct attempt *a, const struct msg_answer *m, const char *reason)
{
	if (!m)
		return core_refuse(a, REFUSAL_TEMPORARY, reason);
	switch (a->ask) {
	case ASK_LOOKUP:
	case ASK_VERIFY: return database_answered(a, m);
	case ASK_TOKEN: return token_answered(a, m);
	case ASK_STEP: return ticket_answered(a, m);
	case ASK_END: break;
	}
	UNREACHABLE();
}
