#include "fetch/fetch_report.h"
#include "base/check.h"
#include "fetch/fetch_json.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_OCTETS	 (64 * 1024) /* all limits below, each octet as \uXXXX */
#define SAID_MAX	 1000
#define TEXT_MAX	 1000
#define DRAW_MS		 100
#define JSON_PROGRESS_MS 1000

enum level { LEVEL_ERROR, LEVEL_ALWAYS, LEVEL_WARNING, LEVEL_NOTE, LEVEL_JSON };

static const struct {
	const char *name, *words;
	enum level level;
} events[REPORT_EVENTS] = {
#define REPORT_EVENT(id, name, level, words) {name, words, LEVEL_##level},
#include "fetch/report_events.def"
#undef REPORT_EVENT
};

struct report {
	bool json, quiet, verbose;
	bool live;  /* stderr is a terminal that gets the line */
	bool drawn; /* it stands there now */
	bool utf8;
	/* Of the whole run, and where the live line began to count. */
	struct amount {
		uint64_t messages, octets;
	} expected, done, expected_base, done_base, delivered;
	uint64_t began_ms, drawn_ms;
	uint64_t deleted, aside, failed;
	struct buf line;
	uint8_t text[LINE_OCTETS];
};

/* RFC 3629 text is shown as such only where the terminal expects it. */
static bool
locale_is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *v = getenv(names[i]);
		if (v && v[0])
			return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
	}
	return false;
}

struct report *
report_new(bool json, bool quiet, bool verbose)
{
	struct report *r = calloc(1, sizeof(*r));
	const char *term = getenv("TERM");

	if (!r)
		return NULL;
	r->json = json;
	r->quiet = quiet;
	r->verbose = verbose;
	r->utf8 = locale_is_utf8();
	r->live = !json && !quiet && isatty(STDERR_FILENO) && term && term[0] &&
		strcmp(term, "dumb") != 0;
	r->line = buf_over(r->text, sizeof(r->text));
	return r;
}

void
report_free(struct report **r)
{
	free(*r);
	*r = NULL;
}

static void
wipe(struct report *r)
{
	if (!r->drawn)
		return;
	(void)fputs("\r\x1b[K", stderr);
	(void)fflush(stderr);
	r->drawn = false;
}

/* One write a line, so that lines of several programs do not mix. */
static void
flush_line(struct report *r, FILE *to)
{
	wipe(r);
	buf_put_u8(&r->line, '\n');
	(void)fwrite(r->line.p, 1, r->line.n, to);
	(void)fflush(to);
}

static void
start(struct report *r)
{
	r->line = buf_over(r->text, sizeof(r->text));
}

static void
start_json(struct report *r, const char *event)
{
	start(r);
	buf_put_u8(&r->line, '{');
	json_field_text(&r->line, "event", text_view(event), TEXT_MAX);
	json_field_time(&r->line, "time", clock_unix_s());
}

static void
json_optional(struct buf *b, const char *name, const char *text)
{
	if (text)
		json_field_text(b, name, text_view(text), TEXT_MAX);
}

static void
json_known(struct buf *b, const char *name, uint64_t n)
{
	if (n != UINT64_MAX)
		json_field_number(b, name, n);
}

static void
tell_json(struct report *r, enum report_event e, const struct report_facts *f)
{
	struct buf *b = &r->line;

	start_json(r, events[e].name);
	json_optional(b, "account", f->account);
	json_known(b, "message", f->msgno);
	if (f->uid.n > 0)
		json_field_text(b, "uid", f->uid, LETTER_UID_MAX);
	json_known(b, "octets", f->octets);
	json_known(b, "count", f->count);
	json_known(b, "seconds", f->seconds);
	json_optional(b, "target", f->target);
	json_optional(b, "subject", f->subject);
	json_optional(b, "from", f->from);
	json_optional(b, "why", f->why);
	if (f->server_said.n > 0)
		json_field_text(b, "server_said", f->server_said, SAID_MAX);
	buf_put_u8(b, '}');
	flush_line(r, stdout);
}

static void
put_shown(struct report *r, struct view v, size_t max)
{
	text_printable(&r->line, v, max, r->utf8);
}

/* A detail behind the words: the first after `: `, others after `, `. */
static void
detail(struct report *r, bool *first, const char *lead)
{
	buf_put_str(&r->line, *first ? ": " : ", ");
	buf_put_str(&r->line, lead);
	*first = false;
}

static void
put_message(struct report *r, const struct report_facts *f)
{
	struct buf *b = &r->line;

	buf_put_str(b, "message ");
	buf_put_dec(b, f->msgno);
	if (f->uid.n > 0) {
		buf_put_str(b, " (UIDL ");
		put_shown(r, f->uid, 70);
		buf_put_str(b, ")");
	}
	if (f->octets != UINT64_MAX) {
		buf_put_str(b, ", ");
		text_size(b, f->octets);
	}
	if (r->verbose && f->subject && f->subject[0]) {
		buf_put_str(b, ", \"");
		put_shown(r, text_view(f->subject), 60);
		buf_put_str(b, "\"");
	}
	if (r->verbose && f->from && f->from[0]) {
		buf_put_str(b, " from ");
		put_shown(r, text_view(f->from), 60);
	}
	buf_put_str(b, ": ");
}

static void
put_clock(struct buf *b, uint64_t seconds)
{
	if (seconds >= 3600) {
		buf_put_dec(b, seconds / 3600);
		buf_put_u8(b, ':');
		if (seconds / 60 % 60 < 10)
			buf_put_u8(b, '0');
	}
	buf_put_dec(b, seconds / 60 % 60);
	buf_put_u8(b, ':');
	buf_put_u8(b, (uint8_t)('0' + seconds % 60 / 10));
	buf_put_u8(b, (uint8_t)('0' + seconds % 10));
}

static void
put_details(struct report *r, enum report_event e, const struct report_facts *f)
{
	struct buf *b = &r->line;
	bool first = true;

	if (e == REPORT_WOULD && f->target) {
		/* "would delete: ..." is one sentence. */
		buf_put_u8(b, ' ');
		put_shown(r, text_view(f->target), 200);
	}
	if (f->count != UINT64_MAX) {
		detail(r, &first, "");
		buf_put_dec(b, f->count);
		buf_put_str(b, f->count == 1 ? " mail" : " mails");
	}
	if (f->octets != UINT64_MAX && f->msgno == UINT64_MAX) {
		detail(r, &first, "");
		text_size(b, f->octets);
	}
	if (f->seconds != UINT64_MAX) {
		detail(r, &first,
			e == REPORT_NEXT_POLL || e == REPORT_TEMPORARY ? "in " : "");
		put_clock(b, f->seconds);
	}
	if (f->target && e != REPORT_WOULD) {
		detail(r, &first, "");
		put_shown(r, text_view(f->target), 200);
	}
	if (f->why) {
		detail(r, &first, "");
		put_shown(r, text_view(f->why), TEXT_MAX);
	}
	if (f->server_said.n > 0) {
		detail(r, &first, "server said \"");
		put_shown(r, f->server_said, 300);
		buf_put_u8(b, '"');
	}
	if (e == REPORT_QUARANTINED)
		buf_put_str(b, "; --retry-aside tries it again");
}

static void
tell_person(struct report *r, enum report_event e, const struct report_facts *f)
{
	enum level level = events[e].level;

	start(r);
	put_shown(r, text_view(f->account ? f->account : "restante fetch"), 256);
	buf_put_str(&r->line, ": ");
	if (f->msgno != UINT64_MAX)
		put_message(r, f);
	buf_put_str(&r->line, events[e].words);
	put_details(r, e, f);
	flush_line(r, level == LEVEL_ERROR || level == LEVEL_WARNING ? stderr : stdout);
}

static uint64_t
times(const struct report_facts *f)
{
	return f->count == UINT64_MAX ? 1 : f->count;
}

void
report_tell(struct report *r, enum report_event e, const struct report_facts *f)
{
	CHECK(e < REPORT_EVENTS);
	enum level level = events[e].level;

	if (e == REPORT_DELIVERED) {
		r->delivered.messages += times(f);
		r->delivered.octets += f->octets == UINT64_MAX ? 0 : f->octets;
	}
	if (e == REPORT_DELETED)
		r->deleted += times(f);
	if (e == REPORT_QUARANTINED)
		r->aside += times(f);
	if (e == REPORT_FAILED_MESSAGE)
		r->failed += times(f);
	if (r->quiet && level > LEVEL_ALWAYS)
		return;
	if (r->json)
		tell_json(r, e, f);
	else if (level <= LEVEL_WARNING || (level == LEVEL_NOTE && r->verbose))
		tell_person(r, e, f);
}

void
report_expect(struct report *r, uint64_t messages, uint64_t octets)
{
	r->expected.messages += messages;
	r->expected.octets += octets;
}

static void
put_part(struct buf *b, uint64_t done, uint64_t of, const char *what)
{
	buf_put_dec(b, done);
	buf_put_u8(b, '/');
	buf_put_dec(b, of);
	buf_put_str(b, what);
}

/* "9.8/16.4 MB": in millions, one digit behind the point; small ones in kB. */
static void
put_octets(struct buf *b, uint64_t done, uint64_t of)
{
	uint64_t unit = of >= 1000000 ? 1000000 : 1000;

	buf_put_dec(b, done / unit);
	buf_put_u8(b, '.');
	buf_put_dec(b, done % unit / (unit / 10));
	buf_put_u8(b, '/');
	buf_put_dec(b, of / unit);
	buf_put_u8(b, '.');
	buf_put_dec(b, of % unit / (unit / 10));
	buf_put_str(b, unit == 1000 ? " kB" : " MB");
}

/* Seconds to go at the speed so far; UINT64_MAX: not known yet. */
static uint64_t
left_s(uint64_t done, uint64_t of, uint64_t elapsed_ms)
{
	if (done == 0 || elapsed_ms < 500 || of <= done)
		return UINT64_MAX;
	double s = (double)(of - done) * (double)elapsed_ms / (double)done / 1000.0;
	return s < 360000.0 ? (uint64_t)(s + 0.5) : UINT64_MAX;
}

static void
put_progress(struct report *r, const struct amount *done, const struct amount *of,
	uint32_t accounts, uint64_t now_ms)
{
	struct buf *b = &r->line;
	uint64_t left = of->octets > 0
		? left_s(done->octets, of->octets, now_ms - r->began_ms)
		: left_s(done->messages, of->messages, now_ms - r->began_ms);

	put_part(b, done->messages, of->messages, " mails, ");
	put_octets(b, done->octets, of->octets);
	buf_put_str(b, ", ");
	buf_put_dec(b, accounts);
	buf_put_str(b, accounts == 1 ? " account" : " accounts");
	if (left != UINT64_MAX) {
		buf_put_str(b, ", ETA ");
		put_clock(b, left);
	}
}

static void
draw(struct report *r)
{
	struct winsize w = {0};
	size_t n = r->line.n;

	/* A line that wraps could not be wiped. */
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 && n >= w.ws_col)
		n = w.ws_col - 1u;
	(void)fprintf(stderr, "\r%.*s\x1b[K", (int)n, (const char *)r->line.p);
	(void)fflush(stderr);
	r->drawn = true;
}

static void
progress_json(struct report *r, const struct amount *done, const struct amount *of,
	uint32_t accounts)
{
	struct buf *b = &r->line;

	start_json(r, "progress");
	json_field_number(b, "messages", done->messages);
	json_field_number(b, "messages_expected", of->messages);
	json_field_number(b, "octets", done->octets);
	json_field_number(b, "octets_expected", of->octets);
	json_field_number(b, "accounts", accounts);
	buf_put_u8(b, '}');
	flush_line(r, stdout);
}

static struct amount
since(struct amount now, struct amount base)
{
	return (struct amount){now.messages - base.messages, now.octets - base.octets};
}

void
report_progress(struct report *r, uint64_t messages, uint64_t octets, uint32_t accounts,
	uint64_t now_ms)
{
	r->done = (struct amount){messages, octets};
	if (accounts == 0) {
		/* All is quiet (a daemon between polls): the next line counts anew. */
		wipe(r);
		r->done_base = r->done;
		r->expected_base = r->expected;
		r->began_ms = 0;
		return;
	}
	if (r->began_ms == 0)
		r->began_ms = now_ms;
	struct amount done = since(r->done, r->done_base);
	struct amount of = since(r->expected, r->expected_base);
	if (of.messages == 0 || (!r->live && (!r->json || r->quiet)))
		return;
	if (r->drawn_ms > 0 &&
		now_ms - r->drawn_ms < (r->live ? DRAW_MS : JSON_PROGRESS_MS))
		return;
	r->drawn_ms = now_ms;
	if (!r->live) {
		progress_json(r, &done, &of, accounts);
		return;
	}
	/* What came may be more than LIST said. */
	of.messages = done.messages > of.messages ? done.messages : of.messages;
	of.octets = done.octets > of.octets ? done.octets : of.octets;
	start(r);
	put_progress(r, &done, &of, accounts, now_ms);
	draw(r);
}

static void
put_sum(struct report *r, uint64_t n, const char *what)
{
	if (n == 0)
		return;
	buf_put_str(&r->line, ", ");
	buf_put_dec(&r->line, n);
	buf_put_str(&r->line, what);
}

void
report_end(struct report *r)
{
	struct buf *b = &r->line;

	wipe(r);
	if (r->quiet)
		return;
	if (r->json) {
		start_json(r, "summary");
		json_field_number(b, "messages", r->delivered.messages);
		json_field_number(b, "octets", r->delivered.octets);
		json_field_number(b, "deleted", r->deleted);
		json_field_number(b, "quarantined", r->aside);
		json_field_number(b, "failed", r->failed);
		buf_put_u8(b, '}');
		flush_line(r, stdout);
		return;
	}
	bool any = r->delivered.messages + r->deleted + r->aside + r->failed > 0;
	if (!r->verbose && (!r->live || !any))
		return;
	start(r);
	buf_put_dec(b, r->delivered.messages);
	buf_put_str(b, r->delivered.messages == 1 ? " mail, " : " mails, ");
	text_size(b, r->delivered.octets);
	put_sum(r, r->deleted, " deleted on the server");
	put_sum(r, r->aside, " put aside");
	put_sum(r, r->failed, " not collected");
	flush_line(r, stdout);
}
