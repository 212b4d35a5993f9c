/* What auth answers: users by their passwords, all else by the talk of the transcript. */
#include "runner.h"

#include <string.h>

static bool
is_user(const struct world *w, struct view name, struct view password)
{
	for (size_t i = 0; i < w->t->users_n; i++) {
		const struct user *u = &w->t->users[i];
		if (strlen(u->name) == name.n && memcmp(u->name, name.p, name.n) == 0 &&
			strlen(u->password) == password.n &&
			memcmp(u->password, password.p, password.n) == 0)
			return true;
	}
	return false;
}

/* RFC 4616: [authzid] NUL authcid NUL passwd. */
static bool
is_plain(const struct world *w, struct view r)
{
	const uint8_t *first = r.n > 0 ? memchr(r.p, 0, r.n) : NULL;
	const uint8_t *end = r.p + r.n;
	const uint8_t *second =
		first ? memchr(first + 1, 0, (size_t)(end - first - 1)) : NULL;

	if (!second)
		return false;
	return is_user(w, (struct view){first + 1, (size_t)(second - first - 1)},
		(struct view){second + 1, (size_t)(end - second - 1)});
}

static void
refuse(struct world *w, uint8_t code, struct view holder, uint64_t since)
{
	uint32_t delay_ms = code == REFUSAL_CREDENTIALS ? w->t->failure_delay_ms : 0;

	session_refused(
		&w->session, code, delay_ms, holder, since, w->now_ms, 1795318900);
}

static void
let_in(struct world *w)
{
	static const uint8_t holder[16] = {[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 7};

	if (w->in_use) {
		refuse(w, REFUSAL_IN_USE, (struct view){holder, 16}, 1795318811);
		return;
	}
	world_build_snapshot(w);
	const struct pop3_server_options *o = &w->t->options.wire;
	session_identified(&w->session,
		o->expire_differs ? w->t->expire_of_user : o->expire_days,
		o->login_delay_differs ? w->t->login_delay_of_user : o->login_delay_s);
	session_attached(
		&w->session, &w->snap, RIGHT_READ | RIGHT_DELETE, w->marks, w->now_ms);
}

static bool
hears(const struct talk *row, const struct session_login *l)
{
	if (row->kind == TALK_HEAR_NOTHING)
		return !l->has_response;
	return row->kind == TALK_HEAR && l->has_response &&
		l->response.n == row->octets.n &&
		memcmp(l->response.p, row->octets.p, row->octets.n) == 0;
}

static void
login_sent(struct world *w)
{
	session_login_sent(&w->session);
	for (size_t i = 0; i < sizeof(w->scratch); i++)
		CHECK(w->scratch[i] == 0);
}

/* One row of the talk hears what came, and the next one says what follows. */
static void
go_on_talking(struct world *w, const struct session_login *l)
{
	const struct transcript *t = w->t;
	size_t at = w->talk_at;
	bool heard = at + 1 < t->talk_n && hears(&t->talk[at], l);
	const struct talk *row = heard ? &t->talk[at + 1] : NULL;

	w->talk_at += 2;
	login_sent(w);
	if (!row || row->kind == TALK_NO) {
		refuse(w, REFUSAL_CREDENTIALS, (struct view){0}, 0);
	} else if (row->kind == TALK_YES) {
		let_in(w);
	} else {
		bool said = session_challenge(
			&w->session, text_view(&row->octets), w->now_ms);
		CHECK(said);
	}
}

static bool
is_ticket(const struct world *w, struct view name)
{
	const char *user = w->t->users_n > 0 ? w->t->users[0].name : "";

	return strlen(user) == name.n && memcmp(user, name.p, name.n) == 0;
}

void
world_answer_login(struct world *w)
{
	struct session_login l = session_login(&w->session);
	bool ok;

	if (!l.continues) {
		session_set_id(&w->session, ++w->id);
		w->talk_at = 0;
	}
	if (l.mechanism == MECHANISM_PASS)
		ok = is_user(w, l.name, l.response);
	else if (l.mechanism == MECHANISM_PLAIN)
		ok = is_plain(w, l.response);
	else if (l.mechanism == MECHANISM_KPOP)
		ok = is_ticket(w, l.response);
	else {
		go_on_talking(w, &l);
		return;
	}
	login_sent(w);
	if (ok)
		let_in(w);
	else
		refuse(w, REFUSAL_CREDENTIALS, (struct view){0}, 0);
}

/* The address is what decides here whether a password may be sent without TLS. */
void
world_answer_xclient(struct world *w)
{
	struct pop3_peer asked = session_new_peer(&w->session);
	struct session_peer peer = w->t->peer;

	peer.plaintext = !asked.has_address || asked.address[15] == 1;
	session_peer_changed(&w->session, &peer);
}
