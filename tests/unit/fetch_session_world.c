/* The retriever's side of fetch_session_world.h: state, deliveries, and the driver. */
#include "fetch_session_world.h"

#include <stdlib.h>

static bool
room(struct mails *m, uint32_t rows, size_t text, size_t known)
{
	(void)m;
	(void)known; /* there from the beginning */
	return rows == 0 && text == 0;
}

void
world_init(struct world *w, uint64_t seed, uint32_t ills)
{
	memset(w, 0, sizeof(*w));
	w->random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
	w->ills = ills;
	w->poison = UINT32_MAX;
	w->now_ms = 1000000000000;
	w->account = (struct fetch_account){.name = "a",
		.host = "h",
		.user = "u",
		.auth = "",
		.tls = FETCH_TLS_NONE,
		.plaintext = true,
		.delete_after_ms = FETCH_NEVER,
		.delete_larger = FETCH_NEVER,
		.skip_larger = FETCH_NEVER,
		.keep_newest = FETCH_NEVER,
		.commit_messages = FETCH_NEVER,
		.commit_after_ms = FETCH_NEVER,
		.window = 20,
		.messages_max = IDS_MAX,
		.tries = 100};
	w->memory.row = 1;
	w->memory.count = UINT32_MAX;
	for (int i = 0; i < 10; i++)
		(void)world_random(w, 2);
}

void
world_arrive(struct world *w, uint32_t n)
{
	for (; n > 0 && w->ids < IDS_MAX - 1 && w->drop_n < IDS_MAX - 1; n--) {
		struct world_message *m = &w->drop[w->drop_n++];
		uint32_t id = w->ids++, name = id;

		if (w->ills & ILL_TWINS && world_chance(w, 3))
			name = id / 2;
		if (w->ills & ILL_REUSED && id > 8 && world_chance(w, 3))
			name = id - 8;
		*m = (struct world_message){.id = id};
		m->uid_n = (uint8_t)snprintf(m->uid, UID_MAX, "uid%05u", name);
		/* Only what is no longer there is used again. */
		for (uint32_t i = 0; w->ills & ILL_REUSED && i + 1 < w->drop_n; i++) {
			if (memcmp(w->drop[i].uid, m->uid, m->uid_n) == 0)
				m->uid_n =
					(uint8_t)snprintf(m->uid, UID_MAX, "uid%05u", id);
		}
	}
}

void
world_remove(struct world *w, uint32_t place)
{
	if (place >= w->drop_n)
		return;
	memmove(&w->drop[place], &w->drop[place + 1],
		(w->drop_n - place - 1) * sizeof(w->drop[0]));
	w->drop_n--;
}

/* ---- the state ------------------------------------------------------------------- */

static int
compare_uids(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);

	return c != 0 ? c : an < bn ? -1 : an > bn;
}

static int
compare_rows(const void *a, const void *b)
{
	const struct world_row *x = a, *y = b;

	return compare_uids(x->uid, x->uid_n, y->uid, y->uid_n);
}

static struct world_row *
row_of(struct world *w, struct view uid)
{
	for (uint32_t i = 0; i < w->rows_n; i++) {
		if (compare_uids(w->rows[i].uid, w->rows[i].uid_n, uid.p, uid.n) == 0)
			return &w->rows[i];
	}
	return NULL;
}

static struct world_row *
row_new(struct world *w, struct view uid)
{
	struct world_row *r = row_of(w, uid);

	if (r)
		return r;
	CHECK(w->rows_n < ROWS_MAX);
	CHECK(uid.n > 0 && uid.n <= UID_MAX);
	r = &w->rows[w->rows_n++];
	*r = (struct world_row){
		.uid_n = (uint8_t)uid.n, .size = UINT64_MAX, .id = UINT32_MAX};
	memcpy(r->uid, uid.p, uid.n);
	return r;
}

static void
step_aside(struct world *w, struct world_row *r)
{
	char name[40];
	int n = snprintf(name, sizeof(name), "old%u", (unsigned)(r - w->rows));

	CHECK(r->uid_n + 1 + n < UID_MAX - 8);
	r->uid[r->uid_n++] = 0;
	memcpy(r->uid + r->uid_n, name, (size_t)n);
	r->uid_n = (uint8_t)(r->uid_n + n);
	r->gone_s = r->gone_s ? r->gone_s : 1;
	/* Until nobody has that name. */
	for (uint32_t i = 0; i < w->rows_n; i++) {
		if (&w->rows[i] != r && compare_rows(&w->rows[i], r) == 0) {
			r->uid[r->uid_n++] = 'x';
			i = UINT32_MAX;
		}
	}
}

static void
take_mark(struct world *w, const struct mark *m)
{
	struct world_row *r = row_of(w, m->uid), *taken;

	assert_true(m->uid.n > 0 && m->uid.n <= UID_MAX);
	switch (m->kind) {
	case MARK_RENAMED:
		assert_non_null(r);
		taken = row_of(w, m->new_uid);
		if (taken && taken != r)
			step_aside(w, taken);
		r->uid_n = (uint8_t)m->new_uid.n;
		memcpy(r->uid, m->new_uid.p, m->new_uid.n);
		r->gone_s = 0;
		return;
	case MARK_REUSED:
		if (r)
			step_aside(w, r);
		return;
	case MARK_TRY:
		r = row_new(w, m->uid);
		if (r->tries++ == 0 && !r->has_header) {
			memcpy(r->header, m->header, HEADER_DIGEST);
			for (size_t i = 0; i < HEADER_DIGEST; i++)
				r->has_header = r->has_header || m->header[i] != 0;
		}
		return;
	case MARK_QUARANTINED:
	case MARK_ADOPTED:
	case MARK_SKIPPED:
		r = row_new(w, m->uid);
		if (r->stage != KNOWN_SYNCED)
			r->stage = m->kind == MARK_ADOPTED ? KNOWN_ADOPTED
				: m->kind == MARK_SKIPPED  ? KNOWN_SKIPPED
							   : KNOWN_QUARANTINED;
		return;
	case MARK_GONE:
	case MARK_DELETED:
		if (r && r->gone_s == 0)
			r->gone_s = w->now_ms / 1000;
		return;
	case MARK_BACK:
		if (r)
			r->gone_s = 0;
		return;
	case MARK_DELE_SENT:
		if (r)
			r->dele_sent = true;
		return;
	case MARK_SIZE:
		if (r)
			r->size = m->size;
		return;
	case MARK_SEEN:
	case MARK_HEADER: return;
	}
}

void
world_marks(struct world *w, bool end)
{
	static struct mark marks[8];
	static uint8_t uids[16][LETTER_UID_MAX];
	uint64_t at = 0;
	size_t n;

	while ((n = session_marks(&w->session, end, &at, marks, 4)) > 0) {
		for (size_t i = 0; i < n; i++) {
			memcpy(uids[2 * i], marks[i].uid.p, marks[i].uid.n);
			marks[i].uid.p = uids[2 * i];
			if (marks[i].new_uid.n > 0)
				memcpy(uids[2 * i + 1], marks[i].new_uid.p,
					marks[i].new_uid.n);
			marks[i].new_uid.p = uids[2 * i + 1];
		}
		/* Those that get a new one step aside first, as the state does it. */
		for (size_t i = 0; i < n; i++)
			take_mark(w, &marks[i]);
	}
}

static void
digest_of_id(uint32_t id, uint8_t digest[HEADER_DIGEST])
{
	memset(digest, 7, HEADER_DIGEST);
	memcpy(digest, &id, sizeof(id));
}

static void
load(struct world *w)
{
	qsort(w->rows, w->rows_n, sizeof(w->rows[0]), compare_rows);
	for (uint32_t i = 0; i < w->rows_n; i++) {
		const struct world_row *r = &w->rows[i];
		struct known *k = &w->known_rows[i];

		memcpy(w->known_uids[i], r->uid, r->uid_n);
		*k = (struct known){.row = i + 1,
			.uid = {w->known_uids[i], r->uid_n},
			.size = r->size,
			.gone_s = r->gone_s,
			.delivered_s = r->delivered_s,
			.has_header = r->has_header,
			.dele_sent = r->dele_sent,
			.stage = r->stage,
			.tries = r->tries};
		memcpy(k->header, r->header, HEADER_DIGEST);
		if (r->id != UINT32_MAX)
			digest_of_id(r->id, k->digest);
	}
	w->known = (struct known_table){w->known_rows, w->rows_n, NULL};
}

/* ---- letters --------------------------------------------------------------------- */

static void
digest_of(const uint8_t *p, size_t n, uint8_t header[HEADER_DIGEST])
{
	const uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	assert_non_null(end);
	for (const uint8_t *q = p; q < end; q++)
		h = (h ^ *q) * UINT64_C(0x100000001b3);
	memset(header, 1, HEADER_DIGEST);
	memcpy(header, &h, sizeof(h));
}

static void
letter_end(struct world *w, struct mail *m)
{
	struct world_letter *l = &w->batch[w->batch_n++];
	uint8_t body[BODY_MAX];
	uint32_t id = 0;

	assert_true(w->in_letter);
	w->in_letter = false;
	uint8_t digest[HEADER_DIGEST];

	*l = (struct world_letter){.mail = m, .size = m->size};
	digest_of(w->body, w->body_n, l->header);
	/* It is exactly one of the messages there ever were. */
	for (id = 0; id < w->ids; id++) {
		size_t n = world_body(w, id, body);
		if (n == w->body_n && memcmp(body, w->body, n) == 0)
			break;
	}
	assert_true(id < w->ids);
	l->id = id;
	digest_of_id(id, digest);
	assert_true(session_name(&w->session, m, l->header));
	struct view uid = mail_uid(&w->mails, m);
	assert_true(uid.n > 0 && uid.n <= UID_MAX);
	l->uid_n = (uint8_t)uid.n;
	memcpy(l->uid, uid.p, uid.n);
	l->same = session_same(&w->session, m, digest);
}

/* What was delivered under another UIDL has the letter's, if it is that message. */
static void
take_same(struct world *w, const struct world_letter *l)
{
	struct view uid = {l->uid, l->uid_n};
	struct world_row *r = &w->rows[l->same - 1], *taken = row_of(w, uid);

	if (r->stage != KNOWN_SYNCED || r->id != l->id || taken == r)
		return;
	if (taken)
		step_aside(w, taken);
	r->uid_n = l->uid_n;
	memcpy(r->uid, l->uid, l->uid_n);
	r->gone_s = 0;
}

static enum letter_fate
deliver(struct world *w, const struct world_letter *l)
{
	struct view uid = {l->uid, l->uid_n};
	struct world_row *r;
	bool ill = w->session_ills & ILL_FATES;

	if (l->same != 0)
		take_same(w, l);
	r = row_of(w, uid);
	if (r && r->stage == KNOWN_SYNCED && r->id == l->id) {
		r->gone_s = 0;
		return LETTER_KNOWN;
	}
	if (r && r->stage == KNOWN_SYNCED)
		step_aside(w, r);
	r = row_new(w, uid);
	r->size = l->size;
	r->gone_s = 0;
	r->id = l->id;
	r->has_header = true;
	memcpy(r->header, l->header, HEADER_DIGEST);
	if (ill && world_chance(w, 4)) {
		r->stage = KNOWN_SEEN;
		return world_chance(w, 2) ? LETTER_TEMPORARY : LETTER_UNKNOWN;
	}
	if (ill && world_chance(w, 25)) {
		w->refused[l->id] = true;
		return LETTER_REFUSED;
	}
	r->stage = KNOWN_SYNCED;
	r->delivered_s = w->now_ms / 1000;
	w->delivered[l->id]++;
	return LETTER_DELIVERED;
}

static void
commit(struct world *w)
{
	uint32_t n = w->batch_n;

	for (uint32_t i = 0; i < n; i++) {
		enum letter_fate fate = deliver(w, &w->batch[i]);
		session_committed(&w->session, w->batch[i].mail, fate);
	}
	w->batch_n = 0;
	w->commit_due = false;
	w->committed += n;
}

/* ---- the driver ------------------------------------------------------------------ */

static void
login(struct world *w)
{
	struct fetch_session *s = &w->session;
	static const struct view initial = {(const uint8_t *)"\0u\0p", 4};
	static const struct view user = {(const uint8_t *)"u", 1};

	if (strcmp(s->choice.mechanism, "USER") == 0)
		session_login_user(s, user, (struct view){(const uint8_t *)"p", 1});
	else
		session_login_sasl(s, s->choice.mechanism, &initial);
}

static void
take_octets(uint8_t *to, size_t *n, struct view data)
{
	assert_true(*n + data.n <= BODY_MAX * 4);
	if (data.n > 0)
		memcpy(to + *n, data.p, data.n);
	*n += data.n;
}

static void
perform(struct world *w, const struct session_action *a)
{
	uint8_t header[HEADER_DIGEST];

	switch (a->kind) {
	case SESSION_LOGIN: login(w); return;
	case SESSION_LOGGED_IN: session_login_proved(&w->session, true, ""); return;
	case SESSION_LOAD: w->load_due = true; return;
	case SESSION_MARK: w->mark_due = true; return;
	case SESSION_HEADER: take_octets(w->top, &w->top_n, a->data); return;
	case SESSION_HEADER_END:
		digest_of(w->top, w->top_n, header);
		w->top_n = 0;
		session_header(&w->session, a->mail, header);
		return;
	case SESSION_FILTER:
		w->filters[w->filters_n++] = a->mail;
		if (w->filters_n > w->most_filters)
			w->most_filters = w->filters_n;
		return;
	case SESSION_LETTER:
		assert_false(w->in_letter);
		w->in_letter = true;
		w->body_n = 0;
		return;
	case SESSION_DATA:
		assert_true(w->in_letter);
		take_octets(w->body, &w->body_n, a->data);
		return;
	case SESSION_LETTER_END: letter_end(w, a->mail); return;
	case SESSION_LETTER_CUT:
		assert_true(w->in_letter);
		w->in_letter = false;
		return;
	case SESSION_COMMIT: w->commit_due = true; return;
	case SESSION_FINISH: w->over = true; return;
	case SESSION_CHALLENGE:
	case SESSION_START_TLS: fail(); return;
	case SESSION_WAIT:
	case SESSION_PLANNED:
	case SESSION_TELL: return;
	}
}

static void
step(struct world *w)
{
	struct fetch_session *s = &w->session;
	struct view in = {w->in, w->in_n};
	struct session_action a;

	session_time(s, w->now_ms, w->now_ms / 1000);
	for (;;) {
		session_next(s, &in, w->scratch, sizeof(w->scratch), &a);
		uint32_t window = w->ills & (ILL_NO_PIPELINING | ILL_NO_CAPA)
			? 1
			: w->account.window;
		assert_true(pop3_client_waits(&s->client) <= window);
		if (s->retrievals + w->batch_n > w->most_letters)
			w->most_letters = s->retrievals + w->batch_n;
		if (a.kind == SESSION_WAIT)
			break;
		perform(w, &a);
	}
	if (in.n > 0)
		memmove(w->in, in.p, in.n);
	w->in_n = in.n;
	if (s->out.n > 0) {
		w->turns++;
		server_take(w, buf_view(&s->out));
	}
	s->out.n = 0;
	s->out.full = false;
}

/* One of the things that may happen now; false: nothing can. */
static bool
happen(struct world *w, bool hasty)
{
	struct fetch_session *s = &w->session;
	size_t left = w->out_n - w->out_at, room_left = sizeof(w->in) - w->in_n;

	if (w->load_due && world_chance(w, 2)) {
		w->load_due = false;
		load(w);
		session_loaded(s, &w->known);
		return true;
	}
	if (w->mark_due && world_chance(w, 2)) {
		w->mark_due = false;
		world_marks(w, false);
		session_marked(s);
		return true;
	}
	/* Slow ones end when all headers are here, and while a NOOP is under way. */
	if (w->filters_n > 0 && (w->filter_ms == 0 || left == 0 || w->noops > 0) &&
		world_chance(w, 2)) {
		struct mail *m = w->filters[--w->filters_n];

		w->now_ms += w->filter_ms;
		session_time(s, w->now_ms, w->now_ms / 1000);
		session_filtered(s, m, (enum filter_verdict)world_random(w, 2));
		return true;
	}
	if (w->batch_n > 0 && (w->commit_due || world_chance(w, 8)) &&
		world_chance(w, 3)) {
		commit(w);
		return true;
	}
	if (left > 0 && w->sent < w->cut_at) {
		size_t n = hasty ? left : 1 + (size_t)world_random(w, left);

		if (!hasty && world_chance(w, 4))
			n = 1;
		if (n > room_left)
			n = room_left;
		if (n > w->cut_at - w->sent)
			n = (size_t)(w->cut_at - w->sent);
		memcpy(w->in + w->in_n, w->out + w->out_at, n);
		w->in_n += n;
		w->out_at += n;
		w->sent += n;
		if (w->out_at == w->out_n)
			w->out_at = w->out_n = 0;
		return true;
	}
	if (w->sent >= w->cut_at || (w->server_closed && left == 0)) {
		session_closed(s, "the server closed the connection");
		return true;
	}
	return w->load_due || w->mark_due || w->filters_n > 0 || w->batch_n > 0;
}

bool
world_session(struct world *w)
{
	struct fetch_session *s = &w->session;
	const struct remembered before = w->memory;
	bool hasty = world_chance(w, 3);
	uint64_t kill = w->session_ills & ILL_KILLS ? world_random(w, 400) : UINT64_MAX;

	w->mails = (struct mails){.at = w->at,
		.cap = ARRAY_SIZE(w->at),
		.text = w->text,
		.text_cap = sizeof(w->text),
		.order = w->order,
		.listed = w->listed,
		.listed_cap = sizeof(w->listed),
		.room = room};
	w->in_n = w->body_n = w->top_n = 0;
	w->batch_n = w->filters_n = w->committed = 0;
	w->most_filters = w->noops = 0;
	w->over = w->in_letter = w->load_due = w->mark_due = w->commit_due = false;
	w->now_ms += 600000;
	server_connect(w);
	session_init(s, &w->account, &w->memory, &w->mails, world_random(w, UINT32_MAX));
	s->has_password = true;
	w->most_letters = 0;
	if (w->room > 0)
		session_room(s, w->room);
	s->tls = w->tls;
	session_connected(s);
	if (w->cut_early && s->early) {
		w->cut_at = 0;
		w->out_n = w->out_at = 0;
	}
	w->turns++; /* the greeting is waited for */
	for (uint32_t steps = 0; !w->over; steps++) {
		step(w);
		if (w->over)
			break;
		if (steps >= kill) {
			w->memory = before;
			return false;
		}
		assert_true(steps < SESSION_STEPS_MAX);
		/* Nothing can happen and nothing is under way: it would hang for ever. */
		assert_true(happen(w, hasty));
	}
	if (w->mark_due)
		world_marks(w, false);
	if (w->batch_n > 0)
		commit(w);
	w->outcome = s->outcome;
	world_marks(w, true);
	session_learn(s);
	if (s->outcome.kind == OUTCOME_OK || s->outcome.kind == OUTCOME_MORE) {
		w->memory.failures = 0;
		w->memory.last_success_s = w->now_ms / 1000;
	} else {
		w->memory.failures++;
	}
	return true;
}
