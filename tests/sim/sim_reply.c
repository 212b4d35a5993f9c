/* What a client makes of the answers: each belongs to a request, and must be true. */
#include "sim.h"
#include "sim_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"the greeting", "CAPA", "USER", "PASS", "STAT",
	"LIST", "UIDL", "RETR", "TOP", "DELE", "NOOP", "RSET", "LIST n", "nonsense",
	"QUIT"};

struct reply {
	bool ok;
	const uint8_t *p; /* the first line, without its end */
	size_t n;
	const uint8_t *body; /* of a multi-line one, with dots */
	size_t body_n;
};

static bool
is_many(enum ask a)
{
	return a == ASK_CAPA || a == ASK_LIST || a == ASK_UIDL || a == ASK_RETR ||
		a == ASK_TOP;
}

/* Octets of the first reply; 0: it is not whole. */
static size_t
cut_reply(struct client *c, enum ask ask, struct reply *ret)
{
	struct line_end *e = &c->line;
	size_t first = line_first(e, 0), at = first;

	if (first == 0)
		return 0;
	bool ok = memcmp(e->in, "+OK", 3) == 0;
	if (!ok && (first < 6 || memcmp(e->in, "-ERR", 4) != 0))
		k_violation("client %u: an answer to %s that is none: %.12s", c->number,
			names[ask], (const char *)e->in);
	*ret = (struct reply){
		.ok = ok, .p = e->in, .n = first - 2, .body = e->in + first};
	if (!ok || !is_many(ask))
		return first;
	for (;;) {
		size_t n = line_first(e, at);
		if (n == 0)
			return 0;
		at += n;
		if (n == 3 && e->in[at - 3] == '.')
			break;
	}
	ret->body_n = at - 3 - first;
	return at;
}

/* Lines of a listing: number and the rest of it. */
static size_t
each_line(const struct reply *r, void (*got)(struct client *, uint32_t, const char *),
	struct client *c)
{
	size_t at = 0, lines = 0;

	while (at < r->body_n) {
		char line[160];
		size_t n = 0;
		while (r->body[at + n] != '\r')
			n++;
		(void)snprintf(
			line, sizeof(line), "%.*s", (int)n, (const char *)r->body + at);
		char *rest = NULL;
		unsigned long msgno = strtoul(line, &rest, 10);
		if (msgno < 1 || msgno > MESSAGES_MAX || *rest != ' ')
			k_violation("client %u: a listing says %s", c->number, line);
		got(c, (uint32_t)msgno, rest + 1);
		at += n + 2;
		lines++;
	}
	return lines;
}

static void
got_size(struct client *c, uint32_t msgno, const char *text)
{
	c->sizes[msgno - 1] = strtoull(text, NULL, 10);
	c->sum += c->sizes[msgno - 1];
}

static void
got_uidl(struct client *c, uint32_t msgno, const char *text)
{
	for (size_t i = 0; i < c->listed_n; i++)
		if (strcmp(c->uidls[i], text) == 0)
			k_violation("client %u: UIDL %s is there twice", c->number, text);
	(void)snprintf(c->uidls[msgno - 1], sizeof(c->uidls[0]), "%s", text);
	c->listed_n = msgno;
}

static uint32_t
marks_of(const struct client *c)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i <= c->count; i++)
		n += c->marked[i];
	return n;
}

static void
got_list(struct client *c, const struct reply *r)
{
	uint32_t marks = marks_of(c);

	c->sum = 0;
	size_t lines = each_line(r, got_size, c);

	if (lines + marks != c->count)
		k_violation("client %u: LIST has %zu of %u messages, %u are marked",
			c->number, lines, c->count, marks);
	if (marks == 0 && c->octets != c->sum)
		k_violation("client %u: the sizes of LIST do not add up to STAT's",
			c->number);
}

/* Dots undone. */
static size_t
plain(const struct reply *r, uint8_t *to)
{
	size_t n = 0;
	bool begins = true;

	for (size_t i = 0; i < r->body_n; i++) {
		if (begins && r->body[i] == '.') {
			begins = false;
			continue;
		}
		to[n++] = r->body[i];
		begins = r->body[i] == '\n';
	}
	return n;
}

static void
got_message(struct client *c, const struct reply *r, uint32_t msgno, bool top)
{
	uint8_t *octets = k_new(r->body_n + 1);
	size_t n = plain(r, octets);

	if (top || msgno > c->listed_n)
		return;
	if (c->sizes_n > 0 && c->sizes[msgno - 1] != 0 && n != c->sizes[msgno - 1])
		k_violation("client %u: message %u has %zu octets, LIST said %llu",
			c->number, msgno, n, (unsigned long long)c->sizes[msgno - 1]);
	ledger_read(c->drop, c->uidls[msgno - 1], octets, n, c->pass_ns);
}

static void
got_stat(struct client *c, const struct reply *r)
{
	char line[80];
	char *rest = NULL;

	(void)snprintf(line, sizeof(line), "%.*s", (int)r->n, (const char *)r->p);
	c->count = (uint32_t)strtoul(line + 4, &rest, 10);
	c->octets = strtoull(rest, NULL, 10);
	if (c->role == CLIENT_LAST && c->count > 0)
		k_violation("client %u: after all were deleted, STAT says %s", c->number,
			line);
	if (c->count > MESSAGES_MAX)
		k_violation("client %u: STAT says %s", c->number, line);
}

static void
got_quit(struct client *c, const struct reply *r)
{
	for (uint32_t i = 1; i <= c->listed_n && r->ok; i++) {
		const struct letter *l = ledger_by_uidl(c->drop, c->uidls[i - 1]);
		if (c->marked[i] && l)
			ledger_gone(l->tag, c->drop);
	}
	if (c->role == CLIENT_READER && r->ok && c->logged_in)
		c->role = CLIENT_LAST;
	else if (c->role == CLIENT_LAST && r->ok && c->logged_in)
		c->role = CLIENT_DONE;
	client_hang_up(c);
}

static void
got_pass(struct client *c, const struct reply *r)
{
	c->logged_in = r->ok;
	c->wrong += !r->ok;
	if (r->ok && c->role == CLIENT_READER)
		ledger_open(c->drop);
}

static void
got_yes(struct client *c, enum ask ask, uint32_t msgno, const struct reply *r)
{
	switch (ask) {
	case ASK_STAT: got_stat(c, r); break;
	case ASK_LIST:
		got_list(c, r);
		c->sizes_n = c->count;
		break;
	case ASK_UIDL:
		c->listed_n = 0;
		if (each_line(r, got_uidl, c) != c->count)
			k_violation("client %u: UIDL has other messages than STAT",
				c->number);
		ledger_listed(c->drop, c->uidls, c->listed_n, c->pass_ns);
		break;
	case ASK_RETR:
	case ASK_TOP: got_message(c, r, msgno, ask == ASK_TOP); break;
	case ASK_DELE: c->marked[msgno] = true; break;
	case ASK_RSET: memset(c->marked, 0, sizeof(c->marked)); break;
	case ASK_BAD: k_violation("client %u: nonsense is answered +OK", c->number);
	case ASK_GREETING:
	case ASK_CAPA:
	case ASK_USER:
	case ASK_PASS:
	case ASK_NOOP:
	case ASK_LIST_ONE:
	case ASK_QUIT: break;
	}
}

void
client_told(void *arg)
{
	struct client *c = arg;
	struct reply r;

	c->asked_ns = k_world.now_ns;
	while (c->line.is_open && c->line.n > 0) {
		if (c->asked_n == 0)
			k_violation("client %u: an answer that nobody asked for: %.12s",
				c->number, (const char *)c->line.in);
		enum ask ask = c->asked[0].ask;
		uint32_t msgno = c->asked[0].msgno;
		size_t n = cut_reply(c, ask, &r);
		if (n == 0)
			return;
		k_trace("client %u: %s %u: %.*s (%zu)", c->number, names[ask], msgno,
			r.n > 60 ? 60 : (int)r.n, (const char *)r.p, n);
		memmove(c->asked, c->asked + 1, --c->asked_n * sizeof(c->asked[0]));
		if (ask == ASK_PASS)
			got_pass(c, &r);
		if (r.ok)
			got_yes(c, ask, msgno, &r);
		line_drop(&c->line, n);
		if (ask == ASK_QUIT) {
			if (c->line.n > 0)
				k_violation("client %u: octets after QUIT", c->number);
			got_quit(c, &r);
		}
		client_went_on(c);
	}
}
