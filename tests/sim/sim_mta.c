/* Mail servers: messages by LMTP, for one or several recipients at once. */
#include "sim_actor.h"
#include "sim_ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MTAS_MAX    4
#define PATIENCE_NS (1500 * K_S)

enum mta_step {
	MTA_GREETING,
	MTA_LHLO,
	MTA_MAIL,
	MTA_RCPT,
	MTA_DATA,
	MTA_BODY, /* one answer for each recipient that was taken */
	MTA_QUIT,
};

struct mta {
	struct line_end line;
	uint32_t number, turn;
	enum mta_step step;
	struct letter *letter;
	int to[DROPS];
	size_t to_n, asked, taken_n;
	int taken[DROPS];
	int only; /* at rest: this maildrop, until a yes; else -1 */
	bool done;
	uint64_t said_ns;
};

static struct mta mtas[MTAS_MAX], last[DROPS];
static uint32_t mtas_n;

struct moment {
	struct mta *mta;
	uint32_t turn;
	void (*fn)(struct mta *m);
};

static void
fire(void *arg)
{
	const struct moment *m = arg;

	if (m->turn == m->mta->turn)
		m->fn(m->mta);
}

static void
later(struct mta *mta, uint64_t delay_ns, void (*fn)(struct mta *m))
{
	struct moment *m = k_new(sizeof(*m));

	*m = (struct moment){mta, mta->turn, fn};
	k_after(delay_ns, fire, m);
}

static void come(struct mta *m);

static void
hang_up(struct mta *m)
{
	line_close(&m->line);
	m->turn++;
	if (!m->done)
		later(m, m->only >= 0 ? K_S : 1 + k_below(6 * K_S), come);
}

static void
lost_patience(struct mta *m)
{
	if (k_world.now_ns < m->said_ns + PATIENCE_NS)
		return;
	if (k_world.calm)
		k_violation(
			"mail server %u has no answer at step %d", m->number, m->step);
	line_reset(&m->line);
	hang_up(m);
}

static void
say(struct mta *m, const char *text)
{
	m->said_ns = k_world.now_ns;
	line_say(&m->line, text, strlen(text));
	later(m, PATIENCE_NS, lost_patience);
}

static void
say_rcpt(struct mta *m)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "RCPT TO:<u%d>\r\n", m->to[m->asked]);
	say(m, text);
}

/* Dots doubled, and the end. From now on it may be there. */
static void
say_body(struct mta *m)
{
	const struct letter *l = m->letter;
	uint8_t *octets = k_new(2 * l->n + 8);
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (l->octets[i] == '.' && (i == 0 || l->octets[i - 1] == '\n'))
			octets[n++] = '.';
		octets[n++] = l->octets[i];
	}
	memcpy(octets + n, ".\r\n", 3);
	for (size_t i = 0; i < m->taken_n; i++)
		ledger_tried(m->letter, m->taken[i]);
	m->said_ns = k_world.now_ns;
	line_say(&m->line, octets, n + 3);
	later(m, PATIENCE_NS, lost_patience);
}

static void
got_rcpt(struct mta *m, bool yes)
{
	if (yes)
		m->taken[m->taken_n++] = m->to[m->asked];
	if (++m->asked < m->to_n) {
		say_rcpt(m);
	} else if (m->taken_n > 0) {
		m->step = MTA_DATA;
		say(m, "DATA\r\n");
	} else {
		m->step = MTA_QUIT;
		say(m, "QUIT\r\n");
	}
}

static void
got_outcome(struct mta *m, bool yes)
{
	ledger_answered(m->letter, m->taken[m->asked], yes);
	m->done |= m->only >= 0 && yes;
	if (++m->asked < m->taken_n)
		return;
	m->step = MTA_QUIT;
	say(m, "QUIT\r\n");
}

static void
got(struct mta *m, int code)
{
	bool yes = code / 100 == 2;

	switch (m->step) {
	case MTA_GREETING:
		m->step = MTA_LHLO;
		say(m, "LHLO mx\r\n");
		return;
	case MTA_LHLO:
		m->step = MTA_MAIL;
		say(m, "MAIL FROM:<a@example>\r\n");
		return;
	case MTA_MAIL:
		m->step = MTA_RCPT;
		say_rcpt(m);
		return;
	case MTA_RCPT: got_rcpt(m, yes); return;
	case MTA_DATA:
		m->step = code == 354 ? MTA_BODY : MTA_QUIT;
		m->asked = 0;
		if (code == 354)
			say_body(m);
		else
			say(m, "QUIT\r\n");
		return;
	case MTA_BODY: got_outcome(m, yes); return;
	case MTA_QUIT: hang_up(m); return;
	}
}

static void
told(void *arg)
{
	struct mta *m = arg;
	size_t n;

	while (m->line.is_open && (n = line_first(&m->line, 0)) > 0) {
		if (n < 6)
			k_violation("mail server %u: an answer that is none", m->number);
		int code = atoi((const char *)m->line.in);
		bool last_line = m->line.in[3] == ' ';
		k_trace("mail server %u: %.*s", m->number, n > 60 ? 60 : (int)n - 2,
			(const char *)m->line.in);
		line_drop(&m->line, n);
		if (code == 421)
			hang_up(m);
		else if (last_line)
			got(m, code);
	}
}

static void
ended(void *arg)
{
	struct mta *m = arg;

	k_trace("mail server %u is cut off at step %d", m->number, m->step);
	hang_up(m);
}

static void
come(struct mta *m)
{
	if (k_world.calm && m->only < 0)
		return;
	m->turn++;
	m->step = MTA_GREETING;
	m->to_n = m->asked = m->taken_n = 0;
	for (int i = 0; i < DROPS; i++)
		if (m->only >= 0 ? m->only == i : k_chance(500))
			m->to[m->to_n++] = i;
	if (m->to_n == 0)
		m->to[m->to_n++] = 0;
	m->said_ns = k_world.now_ns;
	if (!line_open(&m->line, LMTP_PORT)) {
		later(m, 2 * K_S, come);
		return;
	}
	m->letter = ledger_new();
}

static void
prepare(struct mta *m, uint32_t number, int only)
{
	m->number = number;
	m->only = only;
	m->line.told = told;
	m->line.ended = ended;
	m->line.owner = m;
}

void
mtas_begin(uint32_t n)
{
	mtas_n = n < MTAS_MAX ? n : MTAS_MAX;
	for (uint32_t i = 0; i < mtas_n; i++) {
		prepare(&mtas[i], i + 1, -1);
		later(&mtas[i], k_below(3 * K_S), come);
	}
}

void
mtas_end(void)
{
	for (uint32_t i = 0; i < mtas_n; i++) {
		mtas[i].turn++;
		line_reset(&mtas[i].line);
	}
}

void
mtas_settle(void)
{
	for (int i = 0; i < DROPS; i++) {
		prepare(&last[i], 50 + (uint32_t)i, i);
		come(&last[i]);
	}
}

bool
mtas_settled(void)
{
	for (int i = 0; i < DROPS; i++)
		if (!last[i].done)
			return false;
	return true;
}
