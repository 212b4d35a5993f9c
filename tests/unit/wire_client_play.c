#include "wire_client_play.h"
#include "unit.h"

#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const commands[] = {"CAPA", "STLS", "USER", "PASS", "AUTH", "QUIT",
	"STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "TOP", "UIDL", "LAST", "APOP",
	"UTF8", "LANG", "XCLIENT", "-"};
static const char *const codes[] = {
	"", " [OTHER]", " [AUTH]", " [IN-USE]", " [LOGIN-DELAY]", " [TEMP]", " [PERM]"};

static void
put(struct trace *t, const char *s)
{
	size_t n = strlen(s);

	assert_true(t->n + n < sizeof(t->text));
	memcpy(t->text + t->n, s, n + 1);
	t->n += n;
}

static void
put_octets(struct trace *t, struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		char one[8] = {(char)v.p[i], '\0'};
		if (v.p[i] == '\r' || v.p[i] == '\n')
			memcpy(one, v.p[i] == '\r' ? "\\r" : "\\n", 3);
		else if (v.p[i] < ' ' || v.p[i] > '~')
			(void)snprintf(one, sizeof(one), "\\%02x", v.p[i]);
		put(t, one);
	}
}

static void
put_view(struct trace *t, const char *before, struct view v, const char *behind)
{
	put(t, before);
	put_octets(t, v);
	put(t, behind);
}

static void
put_number(struct trace *t, const char *before, uint64_t n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%s%llu", before, (unsigned long long)n);
	if (n > 0)
		put(t, text);
}

static void
put_head(struct trace *t, const char *kind, const struct pop3_answer *a)
{
	put(t, kind);
	put(t, a->ok ? "+ " : "- ");
	put(t, commands[a->command]);
	put_number(t, " ", a->msgno);
}

static void
put_answer(struct trace *t, const char *kind, const struct pop3_answer *a)
{
	put_head(t, kind, a);
	put(t, codes[a->code]);
	put_view(t, " |", a->text, "|");
	put_number(t, " =", a->value);
	if (a->uid.n > 0)
		put_view(t, " uid=", a->uid, "");
	if (a->stamp.n > 0)
		put_view(t, " stamp=", a->stamp, "");
	put(t, a->more ? " ...\n" : a->bad_row ? " bad\n" : "\n");
}

void
trace_event(struct trace *t, enum pop3_client_event event, const struct pop3_answer *a)
{
	if (event == POP3_CLIENT_DATA) {
		assert_true(a->data.n > 0);
		put_view(t, t->in_data ? "" : "D ", a->data, "");
		t->in_data = true;
		return;
	}
	if (t->in_data && event != POP3_CLIENT_NEED_INPUT) {
		put(t, "\n");
		t->in_data = false;
	}
	switch (event) {
	case POP3_CLIENT_NEED_INPUT:
	case POP3_CLIENT_DATA: return;
	case POP3_CLIENT_GREETING: put_answer(t, "G", a); return;
	case POP3_CLIENT_STATUS: put_answer(t, "S", a); return;
	case POP3_CLIENT_ROW: put_answer(t, "R", a); return;
	case POP3_CLIENT_CHALLENGE:
		put_view(t, "C |", a->data, a->bad64 ? "| bad64" : "|");
		put(t, a->more ? " ...\n" : "\n");
		return;
	case POP3_CLIENT_END:
		put_head(t, "E", a);
		put_number(t, " octets=", a->octets);
		put_number(t, " dots=", a->dots);
		put_number(t, " lf=", a->bare_lf);
		put(t, "\n");
		return;
	case POP3_CLIENT_BROKEN:
		assert_non_null(a->why);
		t->broken = true;
		put(t, "B ");
		put(t, a->why);
		put_view(t, " |", a->text, "|\n");
		return;
	}
}

static struct view
view_of(const char *s, size_t n)
{
	return (struct view){(const uint8_t *)s, n};
}

static uint32_t
number_at(const char *s)
{
	size_t n = strspn(s, "0123456789");
	uint64_t value = 0;

	if (n > 0)
		assert_true(num_decimal(view_of(s, n), UINT32_MAX, &value));
	return (uint32_t)value;
}

static bool
say_auth(struct pop3_client *c, const char *arg, size_t n, struct buf *out)
{
	const char *initial = memchr(arg, '=', n);
	size_t name_n = initial ? (size_t)(initial - arg) - 1 : n;
	char name[64];

	if (n == 0)
		return pop3_client_send(c, POP3_AUTH, 0, 0, out);
	assert_true(name_n < sizeof(name));
	memcpy(name, arg, name_n);
	name[name_n] = '\0';
	if (!initial)
		return pop3_client_auth(c, name, NULL, out);
	struct view v = view_of(initial + 1, n - name_n - 2);
	return pop3_client_auth(c, name, &v, out);
}

static bool
say_command(struct pop3_client *c, const char *word, size_t word_n, const char *arg,
	size_t n, struct buf *out)
{
	size_t k = 0;

	while (k < POP3_COMMANDS &&
		(strlen(commands[k]) != word_n || memcmp(commands[k], word, word_n) != 0))
		k++;
	assert_true(k < POP3_COMMANDS);
	if (k == POP3_AUTH)
		return say_auth(c, arg, n, out);
	if (k == POP3_USER || k == POP3_PASS)
		return pop3_client_send_text(
			c, (enum pop3_command)k, view_of(arg, n), out);
	const char *second = memchr(arg, ' ', n);
	return pop3_client_send(c, (enum pop3_command)k, number_at(arg),
		second ? number_at(second + 1) : 0, out);
}

static void
say_line(struct pop3_client *c, const char *line, size_t n, struct buf *out)
{
	const char *blank = memchr(line, ' ', n);
	size_t word_n = blank ? (size_t)(blank - line) : n;
	const char *arg = blank ? blank + 1 : line + n;
	size_t arg_n = (size_t)(line + n - arg);
	bool said = true;

	if (word_n == 3 && memcmp(line, "TLS", 3) == 0)
		pop3_client_secured(c);
	else if (word_n == 7 && memcmp(line, "LENIENT", 7) == 0)
		pop3_client_lenient(c, true);
	else if (word_n == 1 && line[0] == '>')
		said = pop3_client_respond(c, view_of(arg, arg_n), out);
	else if (word_n == 1 && line[0] == '*')
		said = pop3_client_cancel(c, out);
	else if (word_n == 3 && memcmp(line, "RAW", 3) == 0)
		said = pop3_client_retrieve(c, number_at(arg), POP3_RAW, out);
	else
		said = say_command(c, line, word_n, arg, arg_n, out);
	assert_true(said);
}

void
client_say(struct pop3_client *c, const char *lines, struct buf *out)
{
	while (*lines) {
		size_t n = strcspn(lines, "\n");
		say_line(c, lines, n, out);
		lines += n + (lines[n] == '\n');
	}
}

/* All that can be said of a piece. Its octets lie alone, so that a tool sees a read
 * beside them. The octets that were left. */
static size_t
feed_piece(struct pop3_client *c, struct view piece, struct trace *t)
{
	static uint8_t scratch[POP3_SCRATCH_MIN];
	uint8_t *alone = malloc(piece.n + (piece.n == 0));
	struct view in = {alone, piece.n};
	enum pop3_client_event e;
	struct pop3_answer a;

	assert_non_null(alone);
	if (piece.n > 0)
		memcpy(alone, piece.p, piece.n);
	do {
		size_t before = in.n;
		e = pop3_client_next(c, &in, scratch, sizeof(scratch), &a);
		assert_true(in.n <= before);
		assert_true(in.n < before || e == POP3_CLIENT_NEED_INPUT ||
			e == POP3_CLIENT_END || e == POP3_CLIENT_BROKEN);
		trace_event(t, e, &a);
	} while (e != POP3_CLIENT_NEED_INPUT && e != POP3_CLIENT_BROKEN);
	free(alone);
	return in.n;
}

void
client_feed(struct pop3_client *c, struct view octets, size_t cut, size_t step,
	struct trace *t)
{
	size_t left = 0, end = 0;

	do {
		size_t start = end - left;
		end = step > 0 ? end + step : end < cut ? cut : octets.n;
		if (end > octets.n)
			end = octets.n;
		left = feed_piece(c, (struct view){octets.p + start, end - start}, t);
		assert_true(t->broken || left < POP3_ROW_MAX);
	} while (end < octets.n && !t->broken);
}

/* The octets of all steps count on: `cut` lies in one of them. */
static void
play(const struct step *steps, size_t n, size_t cut, size_t step)
{
	static struct trace t;
	static uint8_t storage[1 << 16];
	struct pop3_client c;

	pop3_client_init(&c);
	for (size_t i = 0; i < n; i++) {
		struct buf out = buf_over(storage, sizeof(storage));
		struct view octets = view_of(steps[i].server, strlen(steps[i].server));
		client_say(&c, steps[i].say, &out);
		assert_int_equal(out.n, strlen(steps[i].wire));
		assert_memory_equal(out.p, steps[i].wire, out.n);
		t.n = 0;
		t.text[0] = '\0';
		t.in_data = t.broken = false;
		client_feed(&c, octets, cut < octets.n ? cut : 0, step, &t);
		cut -= cut < octets.n ? cut : octets.n;
		if (strcmp(t.text, steps[i].events) != 0)
			print_error("step %zu (%s), cut %zu, pieces of %zu\n", i,
				steps[i].say, cut, step);
		assert_string_equal(t.text, steps[i].events);
	}
}

void
play_everywhere(const struct step *steps, size_t n)
{
	size_t octets = 0;

	for (size_t i = 0; i < n; i++)
		octets += strlen(steps[i].server);
	for (size_t step = 0; step < 8; step++)
		play(steps, n, 0, step);
	for (size_t cut = 1; cut < octets; cut++)
		play(steps, n, cut, 0);
}
