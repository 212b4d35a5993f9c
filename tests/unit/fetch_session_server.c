/* The server of fetch_session_world.h. */
#include "fetch_session_world.h"

uint64_t
world_random(struct world *w, uint64_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 11) % below;
}

bool
world_chance(struct world *w, uint32_t one_in)
{
	return world_random(w, one_in) == 0;
}

static void
say(struct world *w, const void *octets, size_t n)
{
	CHECK(w->out_n + n <= OUT_MAX);
	memcpy(w->out + w->out_n, octets, n);
	w->out_n += n;
}

static void
say_line(struct world *w, const char *text)
{
	say(w, text, strlen(text));
	say(w, "\r\n", 2);
}

size_t
world_body(const struct world *w, uint32_t id, uint8_t *out)
{
	char *p = (char *)out;
	size_t n = 0;

	(void)w;
	n += (size_t)snprintf(
		p + n, 200, "Message-ID: <%u@example.org>\r\nSubject: s\r\n\r\n", id);
	for (uint32_t i = 0; i < id % 7 + 1; i++)
		n += (size_t)snprintf(p + n, 200, "%s%u line %u of it\r\n",
			(id + i) % 3 == 0 ? "." : "", id, i);
	/* Sizes differ, so that a reused UIDL shows. */
	for (uint32_t i = 0; i < id; i++)
		p[n++] = (char)('a' + i % 26);
	memcpy(p + n, "\r\n", 2);
	return n + 2;
}

static uint64_t
listed_size(const struct world *w, uint32_t id)
{
	uint8_t body[BODY_MAX];
	size_t n = world_body(w, id, body);

	return w->ills & ILL_SIZES ? 2 * n + 7 : n;
}

static void
say_message(struct world *w, uint32_t id, bool header_only)
{
	uint8_t body[BODY_MAX];
	size_t n = world_body(w, id, body);

	if (header_only)
		n = (size_t)((uint8_t *)memmem(body, n, "\r\n\r\n", 4) - body) + 4;
	for (size_t i = 0; i < n; i++) {
		if (body[i] == '.' && (i == 0 || body[i - 1] == '\n') &&
			!(w->ills & ILL_UNSTUFFED))
			say(w, ".", 1);
		say(w, &body[i], 1);
	}
	say_line(w, ".");
}

static uint32_t
listed_n(const struct world *w)
{
	return w->drop_n - w->hidden;
}

static struct world_message *
message(struct world *w, uint32_t number)
{
	if (number <= w->old_n || number - w->old_n > listed_n(w))
		return NULL;
	return w->drop[number - w->old_n - 1].dele ? NULL
						   : &w->drop[number - w->old_n - 1];
}

void
server_connect(struct world *w)
{
	w->out_n = w->out_at = w->line_n = 0;
	w->sent = w->commands = w->turns = w->worst_window = 0;
	w->server_closed = w->quit_seen = w->logged_in = false;
	memset(w->asked_retr, 0, sizeof(w->asked_retr));
	memset(w->asked_top, 0, sizeof(w->asked_top));
	memset(w->asked_dele, 0, sizeof(w->asked_dele));
	memset(w->asked_uidl, 0, sizeof(w->asked_uidl));
	memset(w->asked_list, 0, sizeof(w->asked_list));
	memset(w->may_again, 0, sizeof(w->may_again));
	w->asked_stat = 0;
	w->session_number++;
	w->hidden = 0;
	if (w->session_ills & ILL_FLAP)
		w->hidden = (uint32_t)world_random(w, w->drop_n + 1);
	w->cut_at = w->session_ills & ILL_CUTS ? world_random(w, 6000) : UINT64_MAX;
	for (uint32_t i = 0; i < w->drop_n; i++) {
		struct world_message *m = &w->drop[i];

		m->dele = false;
		if (w->ills & ILL_NEW_UIDS)
			m->uid_n = (uint8_t)snprintf(
				m->uid, UID_MAX, "%u-%u", w->session_number, m->id);
	}
	say_line(w, world_chance(w, 2) ? "+OK ready" : "+OK ready <1.2@example.org>");
}

static void
capa(struct world *w)
{
	if (w->ills & ILL_NO_CAPA || (w->logged_in && w->ills & ILL_NO_CAPA_AFTER)) {
		say_line(w, "-ERR what?");
		return;
	}
	say_line(w, "+OK");
	say_line(w, "USER");
	if (!(w->ills & ILL_NO_TOP))
		say_line(w, "TOP");
	if (!(w->ills & ILL_NO_UIDL))
		say_line(w, "UIDL");
	if (!(w->ills & ILL_NO_PIPELINING))
		say_line(w, "PIPELINING");
	say_line(w, "SASL PLAIN");
	say_line(w, ".");
}

static void
list_all(struct world *w, bool uids)
{
	uint32_t n = listed_n(w), shift = w->ills & ILL_SHUFFLED && n > 0 ? 3 % n : 0;
	char row[UID_MAX + 40];

	say_line(w, "+OK");
	for (uint32_t i = 0; i < n; i++) {
		uint32_t number = w->ills & ILL_SHUFFLED ? n - (i + shift) % n : i + 1;
		const struct world_message *m = message(w, number);

		if (!m)
			continue;
		if (uids)
			snprintf(row, sizeof(row), "%u %.*s", number, m->uid_n, m->uid);
		else
			snprintf(row, sizeof(row), "%u %llu", number,
				(unsigned long long)listed_size(w, m->id));
		say_line(w, row);
	}
	say_line(w, ".");
}

static void
list(struct world *w, bool uids, uint32_t number)
{
	uint8_t *asked = uids ? w->asked_uidl : w->asked_list;
	const struct world_message *m = message(w, number);
	char row[UID_MAX + 40];

	if (number <= IDS_MAX)
		assert_true(asked[number]++ == 0);
	if (uids && (w->ills & ILL_NO_UIDL || w->session_ills & ILL_UIDL_NOW)) {
		say_line(w, "-ERR no");
	} else if (number == 0) {
		list_all(w, uids);
	} else if (number <= w->old_n) {
		snprintf(row, sizeof(row), "+OK %u old%u", number, number);
		say_line(w, row);
	} else if (!m || w->ills & ILL_NO_PROBES) {
		say_line(w, "-ERR no such message");
	} else {
		if (!uids)
			snprintf(row, sizeof(row), "+OK %u %llu", number,
				(unsigned long long)listed_size(w, m->id));
		else if (w->session_ills & ILL_PROBES && number <= w->memory.count)
			snprintf(row, sizeof(row), "+OK %u lie%u", number, number);
		else
			snprintf(row, sizeof(row), "+OK %u %.*s", number, m->uid_n,
				m->uid);
		say_line(w, row);
	}
}

static void
stat(struct world *w)
{
	uint64_t octets = w->old_n * UINT64_C(100);
	uint32_t n = w->old_n;
	char row[80];

	assert_true(w->asked_stat++ == 0);
	for (uint32_t i = 1; i <= listed_n(w); i++) {
		n++;
		octets += listed_size(w, w->drop[i - 1].id);
	}
	if (w->session_ills & ILL_STAT) {
		n += (uint32_t)world_random(w, 3);
		octets += world_random(w, 2);
		if (world_chance(w, 3)) {
			say_line(w, "+OK hello");
			return;
		}
	}
	snprintf(row, sizeof(row), "+OK %u %llu", n, (unsigned long long)octets);
	say_line(w, row);
}

static void
retr(struct world *w, uint32_t number, bool top)
{
	const struct world_message *m = message(w, number);
	uint8_t *asked = top ? w->asked_top : w->asked_retr;

	assert_true(number > w->old_n && number - w->old_n <= IDS_MAX);
	/* A guess that was none is asked for once more, when it is wanted. */
	if (!top && number == w->session.guess && asked[number - w->old_n] == 0)
		w->may_again[number - w->old_n]++;
	number -= w->old_n;
	/* A filter reads the header once more where it told a reused UIDL. */
	assert_true(asked[number] <=
		(top ? w->account.filter != NULL : w->may_again[number]));
	asked[number]++;
	if (top && w->ills & ILL_NO_TOP) {
		say_line(w, "-ERR what?");
	} else if (!m) {
		say_line(w, "-ERR no such message");
	} else if (m->id == w->poison && !top) {
		server_hang_up(w);
	} else {
		if (!top && w->ills & ILL_UNSTUFFED)
			w->may_again[number]++;
		say_line(w, "+OK");
		say_message(w, m->id, top);
	}
}

static void
dele(struct world *w, uint32_t number)
{
	struct world_message *m = message(w, number);

	assert_true(number > 0 && number <= IDS_MAX);
	assert_true(w->asked_dele[number]++ == 0);
	if (!m) {
		say_line(w, "-ERR no such message");
		return;
	}
	/* The one law: nothing is deleted that was not delivered. */
	assert_true(w->delivered[m->id] > 0 || w->account.filter);
	m->dele = true;
	say_line(w, "+OK");
}

static void
quit(struct world *w)
{
	uint32_t kept = 0;
	bool honest = !(w->session_ills & ILL_QUIT);

	w->quit_seen = true;
	/* All that came is committed by now. */
	assert_int_equal(w->batch_n, 0);
	if (honest || world_chance(w, 2)) {
		for (uint32_t i = 0; i < w->drop_n; i++) {
			if (!w->drop[i].dele)
				w->drop[kept++] = w->drop[i];
		}
		w->drop_n = kept;
		w->hidden = w->hidden < kept ? w->hidden : kept;
	}
	for (uint32_t i = 0; i < w->drop_n; i++)
		w->drop[i].dele = false;
	if (honest)
		say_line(w, "+OK bye");
	else if (world_chance(w, 2))
		say_line(w, "-ERR some messages were not deleted");
	server_hang_up(w);
}

void
server_hang_up(struct world *w)
{
	w->server_closed = true;
}

/* A refusal for no reason, of what may be refused without harm to the count of mail. */
static bool
refuse(struct world *w, const char *word, uint32_t number)
{
	static const char *const noes[] = {"-ERR no", "-ERR [SYS/TEMP] later", "-ERR"};
	size_t which = (size_t)world_random(w, ARRAY_SIZE(noes));

	if (!(w->session_ills & ILL_ERRORS) || !world_chance(w, 12) ||
		strcmp(word, "QUIT") == 0 || strcmp(word, "CAPA") == 0)
		return false;
	if (number == 0 && (strcmp(word, "UIDL") == 0 || strcmp(word, "LIST") == 0))
		return false;
	if (number > 0 && number <= IDS_MAX && strcmp(word, "RETR") == 0) {
		if (number == w->session.guess && w->asked_retr[number] == 0)
			w->may_again[number]++;
		assert_true(w->asked_retr[number]++ <= w->may_again[number]);
		if (which == 1)
			w->may_again[number]++;
	}
	say_line(w, noes[which]);
	return true;
}

static void
command(struct world *w, const char *line)
{
	char word[8] = "";
	uint64_t number = 0;
	size_t n = strcspn(line, " ");

	w->commands++;
	if (w->server_closed)
		return;
	assert_true(n < sizeof(word));
	memcpy(word, line, n);
	word[n] = 0;
	if (line[n] == ' ' && strcmp(word, "USER") != 0 && strcmp(word, "PASS") != 0 &&
		strcmp(word, "AUTH") != 0) {
		const char *p = line + n + 1;
		size_t digits = strcspn(p, " ");
		assert_true(num_decimal(
			(struct view){(const uint8_t *)p, digits}, UINT32_MAX, &number));
	}
	if (refuse(w, word, (uint32_t)number)) {
		if (strcmp(word, "PASS") == 0 || strcmp(word, "AUTH") == 0)
			w->logins++;
	} else if (strcmp(word, "CAPA") == 0) {
		capa(w);
	} else if (strcmp(word, "USER") == 0) {
		say_line(w, "+OK");
	} else if (strcmp(word, "PASS") == 0 || strcmp(word, "AUTH") == 0) {
		w->logged_in = true;
		say_line(w, "+OK in");
	} else if (strcmp(word, "STAT") == 0) {
		stat(w);
	} else if (strcmp(word, "LIST") == 0 || strcmp(word, "UIDL") == 0) {
		list(w, word[0] == 'U', (uint32_t)number);
	} else if (strcmp(word, "RETR") == 0 || strcmp(word, "TOP") == 0) {
		retr(w, (uint32_t)number, word[0] == 'T');
	} else if (strcmp(word, "DELE") == 0) {
		dele(w, (uint32_t)number);
	} else if (strcmp(word, "NOOP") == 0) {
		w->noops++;
		say_line(w, "+OK");
	} else if (strcmp(word, "QUIT") == 0) {
		quit(w);
	} else {
		say_line(w, "+OK");
	}
}

void
server_take(struct world *w, struct view octets)
{
	for (size_t i = 0; i < octets.n; i++) {
		CHECK(w->line_n < sizeof(w->line));
		w->line[w->line_n++] = (char)octets.p[i];
		if (octets.p[i] != '\n')
			continue;
		assert_true(w->line_n >= 2 && w->line[w->line_n - 2] == '\r');
		w->line[w->line_n - 2] = 0;
		w->line_n = 0;
		command(w, w->line);
	}
}
