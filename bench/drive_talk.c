/*
 * One session, as its script has it. A letter is a request; `,` waits for the answers to
 * all before it:
 *
 *     C CAPA, U USER, P PASS, S STAT, L LIST, I UIDL, Q QUIT,
 *     R all messages by RETR, a window of requests at a time,
 *     D as R, with a DELE after each RETR,
 *     H held: the session is left alone until the drive goes on.
 *
 * Every octet is looked at: the numbers of STAT, LIST and UIDL against the manifest, and
 * of each message the digest, which must be that of a message of this maildrop that did
 * not come before in this session.
 */
#include "drive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

void
times_add(struct times *t, int64_t us)
{
	if (t->n == t->room) {
		t->room = t->room * 2 + 1024;
		t->us = realloc(t->us, t->room * sizeof(t->us[0]));
		if (!t->us)
			fail("no memory");
	}
	t->us[t->n++] = us;
}

bool
wrong(struct drive *d, const char *format, ...)
{
	va_list args;

	if (d->why[0] == '\0') {
		va_start(args, format);
		(void)vsnprintf(d->why, sizeof(d->why), format, args);
		va_end(args);
	}
	return false;
}

[[gnu::format(printf, 3, 4)]] static void
say(struct client *c, enum wait_for due, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	size_t n = (size_t)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n >= sizeof(text))
		fail("a request of %zu octets", n);
	if (c->out_n + n > c->out_room) {
		c->out_room = (c->out_room + n) * 2;
		c->out = realloc(c->out, c->out_room);
	}
	if (c->due_n == c->due_room) {
		c->due_room = c->due_room * 2 + 8;
		c->due = realloc(c->due, c->due_room);
	}
	if (!c->due || (!c->out && n > 0))
		fail("no memory");
	if (n > 0)
		memcpy(c->out + c->out_n, text, n);
	c->out_n += n;
	c->due[c->due_n++] = (uint8_t)due;
}

static void
ask_mail(struct drive *d, struct client *c, bool delete)
{
	uint32_t to = c->next + d->window;

	if (to > c->drop->count)
		to = c->drop->count;
	while (c->next < to) {
		uint32_t n = ++c->next;
		say(c, WAIT_RETR, "RETR %u\r\n", n);
		if (delete)
			say(c, WAIT_DELE, "DELE %u\r\n", n);
	}
}

static bool
all_came(struct drive *d, struct client *c)
{
	if (c->got != c->drop->count)
		return wrong(d, "%s: %u of %u messages came", c->drop->user, c->got,
			c->drop->count);
	return true;
}

/* One letter of the script. */
static bool
step(struct drive *d, struct client *c, char letter)
{
	switch (letter) {
	case 'C': say(c, WAIT_CAPA, "CAPA\r\n"); return true;
	case 'U': say(c, WAIT_USER, "USER %s\r\n", c->drop->user); return true;
	case 'P': say(c, WAIT_PASS, "PASS %s\r\n", d->password); return true;
	case 'S': say(c, WAIT_STAT, "STAT\r\n"); return true;
	case 'L': say(c, WAIT_LIST, "LIST\r\n"); return true;
	case 'I': say(c, WAIT_UIDL, "UIDL\r\n"); return true;
	case 'R': ask_mail(d, c, false); return true;
	case 'D': ask_mail(d, c, true); return true;
	case 'Q': say(c, WAIT_QUIT, "QUIT\r\n"); return true;
	case 'H':
		c->held = true;
		d->holding++;
		return true;
	default: fail("a script has no step %c", letter);
	}
}

/* All answers came: on to the next comma. */
static bool
advance(struct drive *d, struct client *c)
{
	c->due_at = c->due_n = 0;
	c->out_at = c->out_n = 0;
	c->asked = now_us();
	while (*c->script != '\0' && *c->script != ',') {
		char letter = *c->script;
		if ((letter == 'R' || letter == 'D') && c->next >= c->drop->count) {
			c->script++;
			if (!all_came(d, c))
				return false;
			continue;
		}
		if (!step(d, c, letter))
			return false;
		if (letter == 'R' || letter == 'D')
			return true; /* comes back for the next window */
		c->script++;
	}
	if (*c->script == ',')
		c->script++;
	return c->due_n > 0 || c->held || *c->script == '\0' || advance(d, c);
}

bool
talk_begin(struct drive *d, struct client *c)
{
	c->script = d->script;
	c->due_n = c->due_at = 0;
	c->next = c->got = 0;
	c->within = c->held = c->closing = false;
	c->rest_n = 0;
	if (c->drop->known > 0) {
		c->seen = calloc(c->drop->known, 1);
		if (!c->seen)
			fail("no memory");
	}
	say(c, WAIT_GREETING, "%s", "");
	return true;
}

bool
talk_resume(struct drive *d, struct client *c)
{
	c->held = false;
	d->holding--;
	return advance(d, c);
}

void
talk_done(struct client *c)
{
	free(c->out);
	free(c->due);
	free(c->seen);
	free(c->rest);
	EVP_MD_CTX_free(c->sum);
	*c = (struct client){.fd = -1};
}

bool
talk_closed(struct drive *d, struct client *c)
{
	if (c->closing && c->rest_n == 0)
		return true;
	return wrong(d, "the server closed amid a session (%s)", c->drop->user);
}

/* ---- answers --------------------------------------------------------------------- */

static bool
mail_ended(struct drive *d, struct client *c)
{
	uint8_t digest[EVP_MAX_MD_SIZE];

	d->messages++;
	d->octets += c->octets;
	c->got++;
	if (d->window == 1)
		times_add(&d->answers, now_us() - c->asked);
	if (c->drop->known == 0)
		return true;
	if (EVP_DigestFinal_ex(c->sum, digest, NULL) != 1)
		fail("no SHA-256");
	for (uint32_t i = 0; i < c->drop->known; i++) {
		/* Nearly always they come in the order of the manifest. */
		uint32_t k = (c->got - 1 + i) % c->drop->known;
		const struct mail *m = &c->drop->mails[k];
		if (c->seen[k] || m->octets != c->octets ||
			memcmp(m->digest, digest, DIGEST) != 0)
			continue;
		c->seen[k] = 1;
		return true;
	}
	return wrong(d,
		"%s: message %u is none of its maildrop, or came before: %" PRIu64
		" octets",
		c->drop->user, c->got, c->octets);
}

/* `NUMBER ...` at the start of a line; 0 where there is none. */
static uint64_t
number(const char **p, const char *end)
{
	uint64_t value = 0;

	while (*p < end && **p >= '0' && **p <= '9' && value < UINT64_MAX / 20)
		value = value * 10 + (uint64_t)(*(*p)++ - '0');
	return value;
}

/* STAT: +OK count octets. */
static bool
stat_agrees(struct drive *d, struct client *c, const char *line, size_t n)
{
	const char *p = line + 4, *end = line + n;
	uint64_t count = n > 4 ? number(&p, end) : 0;

	p++;
	uint64_t octets = p < end ? number(&p, end) : 0;
	if (count != c->drop->count || octets != c->drop->octets)
		return wrong(d, "%s: STAT tells %" PRIu64 " %" PRIu64 ", not %u %" PRIu64,
			c->drop->user, count, octets, c->drop->count, c->drop->octets);
	return true;
}

/* A line of LIST or UIDL within their answer. */
static bool
listing_line(struct drive *d, struct client *c, const char *line, size_t n)
{
	const char *p = line, *end = line + n;
	enum wait_for due = c->due[c->due_at];

	if (due == WAIT_CAPA)
		return true;
	if (c->lines == 0)
		times_add(&d->firsts, now_us() - c->asked);
	c->lines++;
	if (number(&p, end) != c->lines || p == end || *p++ != ' ' || p == end)
		return wrong(d, "%s: line %u of a listing is %.*s", c->drop->user,
			c->lines, (int)(n < 60 ? n : 60), line);
	if (due == WAIT_LIST)
		c->octets += number(&p, end);
	return true;
}

static bool
listing_ended(struct drive *d, struct client *c)
{
	enum wait_for due = c->due[c->due_at];

	if (due == WAIT_CAPA)
		return true;
	if (c->lines != c->drop->count)
		return wrong(
			d, "%s: %u lines of %u", c->drop->user, c->lines, c->drop->count);
	if (due == WAIT_LIST && c->octets != c->drop->octets)
		return wrong(d, "%s: LIST sums to %" PRIu64 ", not %" PRIu64,
			c->drop->user, c->octets, c->drop->octets);
	return true;
}

static bool
answered(struct drive *d, struct client *c)
{
	bool last = c->due[c->due_at] == WAIT_QUIT;

	c->within = false;
	c->due_at++;
	if (last)
		c->closing = true;
	if (c->due_at < c->due_n || last)
		return true;
	return advance(d, c);
}

static bool
first_line(struct drive *d, struct client *c, const char *line, size_t n)
{
	enum wait_for due = c->due[c->due_at];

	/* Who does not know CAPA says so, and that is an answer (RFC 2449 s.5). */
	if (due == WAIT_CAPA && n >= 4 && memcmp(line, "-ERR", 4) == 0)
		return answered(d, c);
	if (n < 3 || memcmp(line, "+OK", 3) != 0)
		return wrong(d, "%s: answer %u: %.*s", c->drop->user, due,
			(int)(n < 80 ? n : 80), line);
	c->octets = c->lines = 0;
	switch (due) {
	case WAIT_CAPA:
	case WAIT_LIST:
	case WAIT_UIDL: c->within = true; return true;
	case WAIT_RETR:
		c->within = true;
		if (!c->sum)
			c->sum = EVP_MD_CTX_new();
		if (!c->sum || EVP_DigestInit_ex(c->sum, EVP_sha256(), NULL) != 1)
			fail("no SHA-256");
		return true;
	case WAIT_STAT: return stat_agrees(d, c, line, n) && answered(d, c);
	case WAIT_GREETING:
		times_add(&d->greetings, now_us() - c->began);
		[[fallthrough]];
	case WAIT_USER:
	case WAIT_PASS:
	case WAIT_DELE:
	case WAIT_QUIT: return answered(d, c);
	}
	fail("no such answer");
}

static void
body_octets(struct client *c, const char *p, size_t n)
{
	c->octets += n;
	if (n > 0 && c->drop->known > 0 && EVP_DigestUpdate(c->sum, p, n) != 1)
		fail("no SHA-256");
}

/* Whole lines of a message: what lies between two stuffed dots is summed at once. */
static bool
take_body(struct drive *d, struct client *c, const char *p, size_t n, size_t *ret_used)
{
	const char *run = p, *at = p, *end = p + n, *nl;

	while ((nl = memchr(at, '\n', (size_t)(end - at)))) {
		if (nl == at || nl[-1] != '\r')
			return wrong(d, "%s: a line does not end in CRLF", c->drop->user);
		if (*at == '.') {
			body_octets(c, run, (size_t)(at - run));
			run = at + 1;
			if (nl - at == 2) {
				*ret_used = (size_t)(nl + 1 - p);
				return mail_ended(d, c) && answered(d, c);
			}
		}
		at = nl + 1;
	}
	if (run < at)
		body_octets(c, run, (size_t)(at - run));
	*ret_used = (size_t)(at - p);
	return true;
}

static bool
take_line(struct drive *d, struct client *c, const char *line, size_t n)
{
	if (!c->within)
		return first_line(d, c, line, n);
	if (n == 1 && line[0] == '.')
		return listing_ended(d, c) && answered(d, c);
	return listing_line(d, c, line, n);
}

bool
talk_take(struct drive *d, struct client *c, const char *p, size_t n, size_t *ret_used)
{
	size_t at = 0;

	for (*ret_used = 0; at < n; *ret_used = at) {
		size_t used = 0;
		if (c->due_at >= c->due_n)
			return wrong(
				d, "%s: octets that nobody asked for", c->drop->user);
		if (c->within && c->due[c->due_at] == WAIT_RETR) {
			if (!take_body(d, c, p + at, n - at, &used))
				return false;
			at += used;
			if (used == 0)
				break;
			continue;
		}
		const char *nl = memchr(p + at, '\n', n - at);
		if (!nl)
			break;
		size_t line = (size_t)(nl - (p + at));
		if (line == 0 || nl[-1] != '\r')
			return wrong(d, "a line does not end in CRLF");
		if (!take_line(d, c, p + at, line - 1))
			return false;
		at += line + 1;
	}
	return true;
}
