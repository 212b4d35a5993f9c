#include "runner.h"

#include "base/num.h"
#include "pop3/dot.h"

#include <stdlib.h>
#include <string.h>

/* ---- what travels, told apart from wire/dot: octet by octet -------------------- */

void
world_travel(const struct message *m, long long lines, struct text *ret)
{
	bool start = true, in_body = false;
	uint8_t before = 0;

	for (size_t i = 0; i < m->octets.n && !(in_body && lines == 0); i++) {
		uint8_t c = m->octets.p[i];
		bool cr_of_end =
			c == '\r' && i + 1 < m->octets.n && m->octets.p[i + 1] == '\n';
		if (c == '\n') {
			if (before != '\r')
				text_add(ret, "\r", 1);
			text_add(ret, "\n", 1);
			if (in_body && lines > 0)
				lines--;
			in_body = in_body || start;
			start = true;
		} else {
			if (start && c == '.')
				text_add(ret, ".", 1);
			text_add(ret, &c, 1);
			start = start && cr_of_end;
		}
		before = c;
	}
	bool ended = m->octets.n == 0 || (ret->n > 0 && ret->p[ret->n - 1] == '\n');
	if (!ended)
		text_add(ret, "\r\n", 2);
	/* TOP without a body: the blank line all the same (wire point 8). */
	if (lines >= 0 && !in_body)
		text_add(ret, "\r\n", 2);
}

static uint64_t
wire_size(const struct message *m)
{
	struct dot_state s = {0};
	uint64_t n = dot_best()->count(&s, m->octets.p, m->octets.n);

	return n + dot_finish_count(&s);
}

/* ---- the maildrop -------------------------------------------------------------- */

/* A name with ,S= equal to the size is believed in its ,W= until somebody counted. */
static uint64_t
listed_size(const struct world_message *m)
{
	const char *s = strstr(m->m->name, ",S="), *w = strstr(m->m->name, ",W=");
	uint64_t stored, wire;

	if (m->m->claims > 0)
		return m->m->claims;
	if (m->healed || !s || !w)
		return wire_size(m->m);
	struct view sv = {(const uint8_t *)s + 3, strcspn(s + 3, ",:")};
	struct view wv = {(const uint8_t *)w + 3, strcspn(w + 3, ",:")};
	if (!num_decimal(sv, UINT64_MAX, &stored) || stored != m->m->octets.n)
		return wire_size(m->m);
	return num_decimal(wv, UINT64_MAX, &wire) ? wire : wire_size(m->m);
}

/* Wire point 58. */
static size_t
uidl_octets(const char *name)
{
	size_t n = strcspn(name, ":");

	for (;;) {
		size_t at = n;
		while (at > 0 && name[at - 1] >= '0' && name[at - 1] <= '9')
			at--;
		bool size = at >= 3 && at < n && name[at - 1] == '=' &&
			name[at - 3] == ',' &&
			(name[at - 2] == 'S' || name[at - 2] == 'W');
		if (!size)
			return n;
		n = at - 3;
	}
}

static void
add_le(struct text *t, uint64_t v, size_t octets)
{
	for (size_t i = 0; i < octets; i++)
		text_add(t, &(uint8_t){(uint8_t)(v >> (8 * i))}, 1);
}

void
world_build_snapshot(struct world *w)
{
	struct text rows = {0}, strings = {0};
	uint64_t octets = 0;
	uint32_t count = 0;

	for (size_t i = 0; i < w->t->messages_n; i++) {
		const struct world_message *m = &w->messages[i];
		if (m->gone)
			continue;
		w->rows[count++] = (unsigned)i;
		octets += listed_size(m);
		add_le(&rows, listed_size(m), 8);
		add_le(&rows, strings.n, 4);
		add_le(&rows, uidl_octets(m->m->name), 2);
		add_le(&rows,
			(m->m->seen ? SNAPSHOT_SEEN : 0) |
				(m->m->utf8 > 0 ? SNAPSHOT_UTF8 : 0),
			2);
		text_add(&strings, m->m->name, uidl_octets(m->m->name));
		if (m->m->utf8 > 0)
			add_le(&strings, m->m->utf8, 8);
	}
	text_clear(&w->map);
	add_le(&w->map, SNAPSHOT_MAGIC, 8);
	add_le(&w->map, SNAPSHOT_VERSION, 4);
	add_le(&w->map, count, 4);
	add_le(&w->map, octets, 8);
	add_le(&w->map, strings.n, 8);
	text_add(&w->map, rows.p, rows.n);
	text_add(&w->map, strings.p, strings.n);
	text_clear(&rows);
	text_clear(&strings);
	CHECK(snapshot_check(text_view(&w->map), &w->snap));
	memset(w->marks, 0, sizeof(w->marks));
}

/* ---- the outside's answers ------------------------------------------------------ */

static struct world_message *
wanted(struct world *w)
{
	return &w->messages[w->rows[session_msgno(&w->session) - 1]];
}

static void
answer_slice(struct world *w)
{
	struct world_message *m = wanted(w);

	if (m->gone || m->unreadable) {
		session_no_slice(&w->session, m->gone);
		return;
	}
	m->healed = true;
	session_slice(&w->session, wire_size(m->m));
}

/* As front/body does it, with the real encoder. */
static void
send_body(struct world *w)
{
	struct session_body body = session_body(&w->session);
	const struct message *m = wanted(w)->m;
	struct dot_state dot = {0};
	struct dot_top top;
	uint8_t end[DOT_FINISH_MAX];
	size_t n = m->octets.n;

	if (body.top) {
		dot_top_init(&top, body.lines);
		n = dot_top_take(&top, m->octets.p, n);
	}
	if (w->shrink) {
		/* What the file no longer has cannot be sent. */
		session_end(&w->session, SESSION_FILE_CHANGED);
		return;
	}
	uint8_t *out = malloc(DOT_ENCODE_MAX(n));
	CHECK(out);
	size_t wrote = dot_best()->encode(&dot, m->octets.p, n, out);
	text_add(&w->got, out, wrote);
	free(out);
	if (body.top && dot_top_lacks_blank(&top)) {
		text_add(&w->got, end, dot_finish(&dot, false, end));
		text_add(&w->got, "\r\n", 2);
		dot = (struct dot_state){0};
	}
	text_add(&w->got, end, dot_finish(&dot, true, end));
	session_body_sent(&w->session, w->now_ms);
}

static void
answer_verdict(struct world *w)
{
	uint32_t count, removed = 0, remain = 0;
	struct view marks = session_marks(&w->session, &count);

	if (w->lose_lock) {
		session_committed(&w->session, VERDICT_LOST_LOCK, 0, count);
		return;
	}
	for (uint32_t i = 0; i < w->snap.count; i++) {
		struct world_message *m = &w->messages[w->rows[i]];
		if (!(marks.p[i / 8] >> (i % 8) & 1))
			continue;
		m->gone = m->gone || !m->kept;
		removed += m->gone;
		remain += !m->gone;
	}
	CHECK(removed + remain == count);
	session_committed(
		&w->session, remain ? VERDICT_PARTIAL : VERDICT_DONE, removed, remain);
}

/* ---- the connection -------------------------------------------------------------- */

/* False when the session waits for the client, or has ended. */
static bool
perform(struct world *w, enum session_want want)
{
	switch (want) {
	case SESSION_WANT_OUTPUT: return true;
	case SESSION_WANT_DELAY:
		CHECK(session_delay_until(&w->session) > w->now_ms);
		w->now_ms = session_delay_until(&w->session);
		return true;
	case SESSION_WANT_LOGIN: world_answer_login(w); return true;
	case SESSION_WANT_STAMP:
		session_stamp(&w->session, VIEW("<1896.697170952@dbc.mtview.ca.us>"));
		return true;
	case SESSION_WANT_PEER: world_answer_xclient(w); return true;
	case SESSION_WANT_SLICE: answer_slice(w); return true;
	case SESSION_WANT_BODY: send_body(w); return true;
	case SESSION_WANT_COMMIT: answer_verdict(w); return true;
	case SESSION_WANT_INPUT:
	case SESSION_WANT_TLS: return false;
	case SESSION_WANT_CLOSE: w->open = false; return false;
	}
	CHECK(false);
	return false;
}

/* Room for little more than one reply, so that every answer meets a full output. */
#define OUT_CAP (SESSION_ROOM + 40)

static void
run(struct world *w)
{
	for (bool more = w->open; more;) {
		uint8_t storage[OUT_CAP];
		struct buf out = buf_over(storage, sizeof(storage));
		struct view in = text_view(&w->in);
		size_t before = in.n;
		enum session_want want = session_run(&w->session, w->now_ms, &in, &out);
		/* What was taken is overwritten: nobody may look at it later. */
		if (before > in.n) {
			memmove(w->in.p, w->in.p + (before - in.n), in.n);
			memset(w->in.p + in.n, 0xAA, before - in.n);
			w->in.n = in.n;
		}
		CHECK(w->in.n < SESSION_INPUT_MAX || want != SESSION_WANT_INPUT);
		text_add(&w->got, out.p, out.n);
		if (session_owes_cancel(&w->session)) {
			session_cancelled(&w->session);
			w->cancelled++;
		}
		more = perform(w, want);
	}
}

void
world_init(struct world *w, const struct transcript *t)
{
	*w = (struct world){.t = t, .now_ms = 1000, .options = t->options};
	w->options.scratch = w->scratch;
	for (size_t i = 0; i < t->messages_n; i++)
		w->messages[i].m = &t->messages[i];
	world_connect(w);
}

void
world_done(struct world *w)
{
	world_hang_up(w);
	text_clear(&w->in);
	text_clear(&w->got);
	text_clear(&w->map);
}

void
world_connect(struct world *w)
{
	session_init(&w->session, &w->options, &w->t->peer, w->now_ms);
	if (w->t->peer.tls)
		session_bound(&w->session, w->t->binding, w->t->certificate);
	if (w->t->peer.kpop)
		session_set_id(&w->session, ++w->id);
	w->open = true;
	w->in.n = 0;
	run(w);
}

void
world_hang_up(struct world *w)
{
	if (w->open) {
		session_end(&w->session, SESSION_PEER);
		run(w);
		CHECK(!w->open);
	}
	CHECK(!session_owes_cancel(&w->session));
	session_done(&w->session);
}

void
world_send(struct world *w, struct view v)
{
	if (!w->open)
		return;
	if (w->session.phase == PHASE_TLS) {
		/* Plain octets where a handshake must come: it fails (wire points 15 and
		 * 18). */
		world_tls(w, true);
		return;
	}
	text_add(&w->in, v.p, v.n);
	run(w);
}

void
world_tls(struct world *w, bool garbage)
{
	if (!w->open)
		return;
	if (garbage)
		session_end(&w->session, SESSION_PEER);
	else {
		session_bound(&w->session, w->t->binding, w->t->certificate);
		session_tls_started(&w->session, w->now_ms);
	}
	w->in.n = 0;
	run(w);
}

void
world_event(struct world *w, const struct step *s)
{
	const char *name = (const char *)s->octets.p;
	struct world_message *m = s->arg > 0 ? &w->messages[s->arg - 1] : NULL;

	if (strcmp(name, "gone") == 0 && m)
		m->gone = true;
	else if (strcmp(name, "unreadable") == 0 && m)
		m->unreadable = true;
	else if (strcmp(name, "keep") == 0 && m)
		m->kept = true;
	else if (strcmp(name, "rename") == 0 && m)
		return; /* the keeper finds it under its new name: nothing shows */
	else if (strcmp(name, "in-use") == 0)
		w->in_use = true;
	else if (strcmp(name, "release") == 0)
		w->in_use = false;
	else if (strcmp(name, "lose-lock") == 0)
		w->lose_lock = true;
	else if (strcmp(name, "keep-lock") == 0)
		w->lose_lock = false;
	else if (strcmp(name, "shrink") == 0)
		w->shrink = true;
	else if (strcmp(name, "almost-idle") == 0)
		w->now_ms = session_deadline(&w->session) - 1;
	else if (strcmp(name, "idle") == 0)
		w->now_ms = session_deadline(&w->session);
	else
		fail(w->t->path, s->line, "unknown event: %s", name);
	session_expire(&w->session, w->now_ms);
	run(w);
}
