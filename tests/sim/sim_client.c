/*
 * Clients of POP3: each logs in, looks, reads, marks, and says QUIT, or vanishes; one
 * request after the other, or several at once; and comes again.
 */
#include "sim_client.h"

#include <stdio.h>
#include <string.h>

#define CLIENTS_MAX 16
#define PATIENCE_NS (400 * K_S)
#define AGAIN_NS    (2 * K_S)
#define LOGIN_NS    (100 * K_MS)

enum { STEP_CAPA, STEP_USER, STEP_PASS, STEP_STAT, STEP_UIDL, STEP_LOOK, STEP_MAIL };

static struct client clients[CLIENTS_MAX], readers[DROPS_SHARED];
static uint32_t clients_n;

struct moment {
	struct client *client;
	uint32_t turn;
	uint64_t asked_ns;
	void (*fn)(struct client *c);
};

static void
fire(void *arg)
{
	const struct moment *m = arg;

	if (m->turn == m->client->turn)
		m->fn(m->client);
}

static void
later(struct client *c, uint64_t delay_ns, void (*fn)(struct client *c))
{
	struct moment *m = k_new(sizeof(*m));

	*m = (struct moment){c, c->turn, 0, fn};
	k_after(delay_ns, fire, m);
}

/* ---- requests
 * ---------------------------------------------------------------------------- */

static size_t
request_text(const struct client *c, enum ask ask, uint32_t msgno, char *text, size_t n)
{
	bool wrong = c->role == CLIENT_PLAIN && k_chance(40);
	int got = 0;

	switch (ask) {
	case ASK_GREETING: return 0;
	case ASK_CAPA: got = snprintf(text, n, "CAPA\r\n"); break;
	case ASK_USER: got = snprintf(text, n, "USER u%d\r\n", c->drop); break;
	case ASK_PASS:
		got = snprintf(text, n, "PASS %s\r\n", wrong ? "wrong" : "secret");
		break;
	case ASK_STAT: got = snprintf(text, n, "stat\r\n"); break;
	case ASK_LIST: got = snprintf(text, n, "LIST\r\n"); break;
	case ASK_UIDL: got = snprintf(text, n, "UIDL\r\n"); break;
	case ASK_RETR: got = snprintf(text, n, "RETR %u\r\n", msgno); break;
	case ASK_TOP: got = snprintf(text, n, "TOP %u 3\r\n", msgno); break;
	case ASK_DELE: got = snprintf(text, n, "DELE %u\r\n", msgno); break;
	case ASK_NOOP: got = snprintf(text, n, "NOOP\r\n"); break;
	case ASK_RSET: got = snprintf(text, n, "RSET\r\n"); break;
	case ASK_LIST_ONE: got = snprintf(text, n, "LIST %u\r\n", msgno); break;
	case ASK_BAD: got = snprintf(text, n, "HELP ME\r\n"); break;
	case ASK_QUIT: got = snprintf(text, n, "QUIT\r\n"); break;
	}
	return (size_t)got;
}

/* From now on what is marked, and what may be by an answer under way, may go. */
static void
say_quit(struct client *c)
{
	bool marks[MESSAGES_MAX + 1];

	memcpy(marks, c->marked, sizeof(marks));
	for (size_t i = 0; i < c->asked_n; i++)
		if (c->asked[i].ask == ASK_DELE)
			marks[c->asked[i].msgno] = true;
	for (uint32_t i = 1; i <= c->listed_n; i++) {
		const struct letter *l = ledger_by_uidl(c->drop, c->uidls[i - 1]);
		if (marks[i] && l)
			ledger_marked(l->tag, c->drop);
	}
	c->quits = true;
}

static void
lost_patience(struct client *c)
{
	if (c->asked_n == 0)
		return;
	if (k_world.now_ns < c->asked_ns + PATIENCE_NS) {
		later(c, PATIENCE_NS, lost_patience);
		return;
	}
	if (k_world.calm || !k_world.harmed)
		k_violation("client %u has no answer for %llu s", c->number,
			(unsigned long long)(PATIENCE_NS / K_S));
	line_reset(&c->line);
	client_hang_up(c);
}

void
client_ask(struct client *c, enum ask ask, uint32_t msgno)
{
	char text[64];

	if (ask == ASK_QUIT)
		say_quit(c);
	if (ask == ASK_PASS)
		c->pass_ns = k_world.now_ns;
	c->asked[c->asked_n].ask = ask;
	c->asked[c->asked_n++].msgno = msgno;
	c->asked_ns = k_world.now_ns;
	size_t n = request_text(c, ask, msgno, text, sizeof(text));
	line_say(&c->line, text, n);
	later(c, PATIENCE_NS, lost_patience);
}

/* ---- what comes next
 * ---------------------------------------------------------------------- */

/* A message that can be told by its UIDL: only such are marked. */
static bool
is_known(const struct client *c, uint32_t msgno)
{
	return msgno <= c->listed_n && ledger_by_uidl(c->drop, c->uidls[msgno - 1]);
}

static void
ask_anything(struct client *c)
{
	uint32_t msgno = 1 + (uint32_t)k_below(c->count + 1);
	uint64_t what = k_below(100);

	if (what < 50 && c->count > 0)
		client_ask(c, ASK_RETR, msgno);
	else if (what < 75 && is_known(c, msgno))
		client_ask(c, ASK_DELE, msgno);
	else if (what < 80)
		client_ask(c, ASK_TOP, msgno);
	else if (what < 85)
		client_ask(c, ASK_LIST, 0);
	else if (what < 90)
		client_ask(c, ASK_LIST_ONE, msgno);
	else if (what < 93)
		client_ask(c, ASK_BAD, 0);
	else if (what < 96 && c->asked_n == 0)
		client_ask(c, ASK_RSET, 0);
	else
		client_ask(c, ASK_NOOP, 0);
}

static void
vanish(struct client *c)
{
	uint64_t how = k_below(3);

	k_trace("client %u vanishes", c->number);
	if (how == 0)
		line_close(&c->line);
	else if (how == 1)
		line_reset(&c->line);
	else
		line_cut(&c->line);
	client_hang_up(c);
}

/* All are read, then all are marked. */
static void
ask_as_reader(struct client *c)
{
	uint32_t i = c->step++ - STEP_MAIL;

	if (i < c->count)
		client_ask(c, ASK_RETR, i + 1);
	else if (i == c->count)
		ledger_close(c->drop);
	else if (i <= 2 * c->count)
		client_ask(c, ASK_DELE, i - c->count);
	else
		client_ask(c, ASK_QUIT, 0);
}

static void
ask_next(struct client *c)
{
	switch (c->step) {
	case STEP_CAPA:
		c->step++;
		if (k_chance(300))
			client_ask(c, ASK_CAPA, 0);
		return;
	case STEP_USER:
		c->step++;
		client_ask(c, ASK_USER, 0);
		return;
	case STEP_PASS:
		c->step++;
		client_ask(c, ASK_PASS, 0);
		return;
	case STEP_STAT:
		c->step++;
		client_ask(c, ASK_STAT, 0);
		return;
	case STEP_UIDL:
		c->step++;
		client_ask(c, ASK_UIDL, 0);
		return;
	case STEP_LOOK: c->step++; return;
	default: break;
	}
	if (c->role != CLIENT_PLAIN) {
		ask_as_reader(c);
		return;
	}
	if (c->step++ < (uint32_t)STEP_MAIL + c->steps)
		ask_anything(c);
	else if (k_chance(200))
		vanish(c);
	else
		client_ask(c, ASK_QUIT, 0);
}

/* What must be known before the next request is said. */
static bool
must_wait(const struct client *c)
{
	for (size_t i = 0; i < c->asked_n; i++) {
		enum ask a = c->asked[i].ask;
		if (a == ASK_GREETING || a == ASK_PASS || a == ASK_RSET)
			return true;
		if (c->step >= STEP_LOOK && (a == ASK_STAT || a == ASK_UIDL))
			return true;
	}
	if (c->role != CLIENT_PLAIN && c->step == STEP_MAIL + c->count && c->asked_n > 0)
		return true; /* every message must have come before it is judged */
	return c->asked_n >= c->depth || c->asked_n >= ASKED_MAX - 1;
}

static void
try_again(struct client *c)
{
	c->step = STEP_USER;
	c->waits = false;
	client_went_on(c);
}

static void
go(struct client *c)
{
	c->waits = false;
	if (c->step > STEP_PASS && !c->logged_in && c->asked_n == 0) {
		if (c->wrong > 1) {
			client_ask(c, ASK_QUIT, 0);
			return;
		}
		c->waits = true;
		later(c, AGAIN_NS, try_again);
		return;
	}
	while (c->line.is_open && !c->quits && !must_wait(c))
		ask_next(c);
}

void
client_went_on(struct client *c)
{
	if (!c->line.is_open || c->waits || c->quits)
		return;
	c->waits = true;
	later(c, k_chance(100) ? k_below(3 * K_S) : k_below(5 * K_MS), go);
}

/* ---- coming and going
 * ------------------------------------------------------------------------ */

static void
come(struct client *c)
{
	if (k_world.calm && c->role == CLIENT_PLAIN)
		return;
	c->turn++;
	c->asked_n = c->listed_n = c->sizes_n = 0;
	c->count = c->wrong = c->step = 0;
	c->logged_in = c->quits = c->waits = false;
	memset(c->marked, 0, sizeof(c->marked));
	memset(c->sizes, 0, sizeof(c->sizes));
	c->depth = k_chance(500) ? 1 : 1 + (uint32_t)k_below(12);
	c->steps = (uint32_t)k_below(16);
	if (c->role == CLIENT_PLAIN)
		c->drop = (int)k_below(DROPS_SHARED);
	if (!line_open(&c->line, POP3_PORT)) {
		later(c, AGAIN_NS, come);
		return;
	}
	k_trace("client %u comes for u%d", c->number, c->drop);
	client_ask(c, ASK_GREETING, 0);
}

void
client_hang_up(struct client *c)
{
	line_close(&c->line);
	c->turn++;
	if (c->role != CLIENT_DONE)
		later(c,
			c->role == CLIENT_PLAIN ? 1 + k_below(8 * K_S)
						: k_below(AGAIN_NS),
			come);
}

/*
 * A newer login ends an idle session; a request that crosses its end has no answer. There
 * lie the newer one's way to us, the end's way back and its reading between.
 */
static bool
is_superseded(const struct client *c)
{
	uint64_t crossing_ns = LOGIN_NS + 3 * k_world.delay_ns;

	for (uint32_t i = 0; i < clients_n; i++) {
		const struct client *d = &clients[i];
		if (d != c && d->drop == c->drop && d->pass_ns > c->pass_ns &&
			k_world.now_ns < d->pass_ns + crossing_ns)
			return true;
	}
	return false;
}

static void
cut_off(void *arg)
{
	struct client *c = arg;

	k_trace("client %u is cut off, %zu answers lack", c->number, c->asked_n);
	/* A front that is renewed closes what is not logged in, as a request comes. */
	if ((k_world.calm || !k_world.harmed) && c->asked_n > 0 && !k_world.renews &&
		!is_superseded(c))
		k_violation("client %u is cut off and %zu answers lack", c->number,
			c->asked_n);
	client_hang_up(c);
}

static void
prepare(struct client *c, uint32_t number, enum client_role role)
{
	c->number = number;
	c->role = role;
	c->line.told = client_told;
	c->line.ended = cut_off;
	c->line.owner = c;
}

void
clients_begin(uint32_t n)
{
	clients_n = n < CLIENTS_MAX ? n : CLIENTS_MAX;
	for (uint32_t i = 0; i < clients_n; i++) {
		prepare(&clients[i], i + 1, CLIENT_PLAIN);
		later(&clients[i], k_below(4 * K_S), come);
	}
}

void
clients_end(void)
{
	for (uint32_t i = 0; i < clients_n; i++) {
		clients[i].turn++;
		line_reset(&clients[i].line);
	}
}

void
clients_settle(void)
{
	for (int i = 0; i < DROPS_SHARED; i++) {
		prepare(&readers[i], 100 + (uint32_t)i, CLIENT_READER);
		readers[i].drop = i;
		come(&readers[i]);
	}
}

bool
clients_settled(void)
{
	for (int i = 0; i < DROPS_SHARED; i++)
		if (readers[i].role != CLIENT_DONE)
			return false;
	return true;
}
