#include "log/core.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/cursor.h"
#include "ipc/log.h"

/* Kept free for " cut=1" and the line end. */
#define TAIL_MAX 8

#define FACILITY_MAIL 2

static const struct {
	const char *name;
	uint8_t severity; /* RFC 3164 s.4.1.1 */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", 3},
	[LOG_LEVEL_WARNING] = {"warning", 4},
	[LOG_LEVEL_INFO] = {"info", 6},
	[LOG_LEVEL_DEBUG] = {"debug", 7},
};

/* ---- what a record must be --------------------------------------------------------- */

static bool
is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || c == '_';
}

static bool
is_event(struct view v)
{
	if (v.n == 0)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!is_letter(v.p[i]) && !ascii_is_digit(v.p[i]) && v.p[i] != '-')
			return false;
	return true;
}

/* Those that stand in every line already. */
static bool
is_ours(struct view key)
{
	static const struct view ours[] = {
		VIEW("time"), VIEW("level"), VIEW("program"), VIEW("pid"), VIEW("event")};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (view_equal(key, ours[i]))
			return true;
	return false;
}

static bool
is_key(struct view v)
{
	if (v.n == 0 || v.n > LOG_KEY_MAX)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!is_letter(v.p[i]))
			return false;
	return true;
}

static void
next_pair(struct cursor *c, struct view *key, struct view *value)
{
	*key = cursor_take(c, cursor_u8(c));
	*value = cursor_take(c, cursor_u16(c));
}

static bool
is_sound(const struct msg_log_record *m)
{
	struct cursor c = cursor_over(m->pairs);
	struct view key, value;

	if (m->level < LOG_LEVEL_ERROR || m->level > LOG_LEVEL_DEBUG)
		return false;
	if (!is_event(m->event))
		return false;
	while (c.n > 0 && !c.bad) {
		next_pair(&c, &key, &value);
		if (c.bad || !is_key(key))
			return false;
	}
	return cursor_at_end(&c);
}

/* ---- time ----------------------------------------------------------------------------
 */

struct civil {
	uint64_t year;
	unsigned int month, day, hour, minute, second, ms; /* month and day from 1 */
};

/* Years begin in March here, so that the leap day is the last of its year. */
static struct civil
civil_of(uint64_t unix_ms)
{
	uint64_t seconds = unix_ms / 1000, days = seconds / 86400 + 719468;
	uint64_t era = days / 146097, of_era = days % 146097;
	uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * of_year + 2) / 153;
	unsigned int of_day = (unsigned int)(seconds % 86400);
	struct civil c = {
		.year = year + era * 400 + (month >= 10 ? 1 : 0),
		.month = (unsigned int)(month < 10 ? month + 3 : month - 9),
		.day = (unsigned int)(of_year - (153 * month + 2) / 5 + 1),
		.hour = of_day / 3600,
		.minute = of_day / 60 % 60,
		.second = of_day % 60,
		.ms = (unsigned int)(unix_ms % 1000),
	};

	return c;
}

static void
put_padded(struct buf *out, uint64_t n, uint64_t below, char pad)
{
	for (uint64_t limit = below / 10; limit > 1 && n < limit; limit /= 10)
		buf_put_u8(out, (uint8_t)pad);
	buf_put_dec(out, n);
}

static void
put_clock(struct buf *out, const struct civil *c)
{
	put_padded(out, c->hour, 100, '0');
	buf_put_u8(out, ':');
	put_padded(out, c->minute, 100, '0');
	buf_put_u8(out, ':');
	put_padded(out, c->second, 100, '0');
}

/* RFC 3339, UTC. */
static void
put_time(struct buf *out, uint64_t unix_ms)
{
	struct civil c = civil_of(unix_ms);

	put_padded(out, c.year, 10000, '0');
	buf_put_u8(out, '-');
	put_padded(out, c.month, 100, '0');
	buf_put_u8(out, '-');
	put_padded(out, c.day, 100, '0');
	buf_put_u8(out, 'T');
	put_clock(out, &c);
	buf_put_u8(out, '.');
	put_padded(out, c.ms, 1000, '0');
	buf_put_u8(out, 'Z');
}

/* RFC 3164 s.4.1.2, but UTC: syslog daemons put their own time on what is local. */
static void
put_syslog_time(struct buf *out, uint64_t unix_ms)
{
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
		"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct civil c = civil_of(unix_ms);

	buf_put_str(out, months[c.month - 1]);
	buf_put_u8(out, ' ');
	put_padded(out, c.day, 100, ' ');
	buf_put_u8(out, ' ');
	put_clock(out, &c);
}

/* ---- pairs
 * ----------------------------------------------------------------------------- */

static bool
needs_quotes(struct view v)
{
	static const struct view plain = VIEW("._:/@+-");

	if (v.n == 0)
		return true;
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i], lower = ascii_lower(c);
		bool is_plain = ascii_is_digit(c) || (lower >= 'a' && lower <= 'z');
		for (size_t k = 0; k < plain.n && !is_plain; k++)
			is_plain = c == plain.p[k];
		if (!is_plain)
			return true;
	}
	return false;
}

/* One octet between quotes; false where it does not fit. */
static bool
put_quoted(struct buf *out, uint8_t c)
{
	static const char digits[] = "0123456789ABCDEF";

	if (c >= 0x20 && c <= 0x7E && c != '"' && c != '\\') {
		if (buf_room(out) < 2)
			return false;
		buf_put_u8(out, c);
		return true;
	}
	if (buf_room(out) < 5)
		return false;
	buf_put_str(out, "\\x");
	buf_put_u8(out, (uint8_t)digits[c >> 4]);
	buf_put_u8(out, (uint8_t)digits[c & 15]);
	return true;
}

/* False: something of it did not fit. Whole pairs are left out, values are cut. */
static bool
put_pair(struct buf *out, struct view key, struct view value)
{
	bool quotes = needs_quotes(value), fits = true;

	/* A blank, said_, the key, =, two quotes and one octet at least. */
	if (buf_room(out) < key.n + 15)
		return false;
	buf_put_u8(out, ' ');
	/* Nobody speaks in another's name: what it says of itself is marked as that. */
	if (is_ours(key))
		buf_put_str(out, "said_");
	buf_put_view(out, key);
	buf_put_u8(out, '=');
	if (!quotes) {
		fits = value.n <= buf_room(out);
		if (!fits)
			value.n = buf_room(out);
		buf_put_view(out, value);
		return fits;
	}
	buf_put_u8(out, '"');
	for (size_t i = 0; i < value.n && fits; i++)
		fits = put_quoted(out, value.p[i]);
	buf_put_u8(out, '"');
	return fits;
}

/* ---- the line
 * ---------------------------------------------------------------------------- */

/* ---- the one line that another program reads ------------------------------------------
 */

/* What may stand between < and >, or behind a "=": nothing that could end it. */
static void
put_bare(struct buf *out, struct view v, size_t max)
{
	for (size_t i = 0; i < v.n && i < max; i++) {
		uint8_t c = v.p[i];
		bool bare = ascii_is_graph(c) && c != '<' && c != '>' && c != '"' &&
			c != '\\' && c != ',';
		buf_put_u8(out, bare ? c : '?');
	}
}

/*
 * Failed logins once more as a Dovecot says them, which is what the stock filter
 * "dovecot" of fail2ban knows: its time, its name, and these words.
 */
static void
put_fail2ban(enum log_form form, const struct log_from *from, uint64_t unix_ms,
	const struct msg_log_record *m, struct buf *out)
{
	struct view user = VIEW(""), method = VIEW("?"), address = VIEW("unknown");
	struct cursor c = cursor_over(m->pairs);
	struct view key, value;

	while (c.n > 0) {
		next_pair(&c, &key, &value);
		if (view_equal(key, VIEW("user")))
			user = value;
		else if (view_equal(key, VIEW("method")))
			method = value;
		else if (view_equal(key, VIEW("address")))
			address = value;
	}
	if (form == LOG_FORM_SYSLOG) {
		buf_put_u8(out, '<');
		buf_put_dec(out, FACILITY_MAIL * 8U + levels[LOG_LEVEL_INFO].severity);
		buf_put_u8(out, '>');
		put_syslog_time(out, unix_ms);
	} else {
		put_time(out, unix_ms);
	}
	buf_put_str(out, " dovecot[");
	buf_put_dec(out, from->pid);
	buf_put_str(out,
		"]: pop3-login: Info: Disconnected (auth failed, 1 attempts): user=<");
	put_bare(out, user, 255);
	buf_put_str(out, ">, method=");
	put_bare(out, method, 32);
	buf_put_str(out, ", rip=");
	put_bare(out, address, 46);
}

static void
put_head(enum log_form form, const struct log_from *from, uint64_t unix_ms, uint8_t level,
	struct buf *out)
{
	struct view program = {from->program, from->program_n};

	if (form == LOG_FORM_SYSLOG) {
		buf_put_u8(out, '<');
		buf_put_dec(out, FACILITY_MAIL * 8U + levels[level].severity);
		buf_put_u8(out, '>');
		put_syslog_time(out, unix_ms);
		buf_put_u8(out, ' ');
		buf_put_view(out, program);
		buf_put_u8(out, '[');
		buf_put_dec(out, from->pid);
		buf_put_str(out, "]: level=");
		buf_put_str(out, levels[level].name);
		return;
	}
	buf_put_str(out, "time=");
	put_time(out, unix_ms);
	buf_put_str(out, " level=");
	buf_put_str(out, levels[level].name);
	buf_put_str(out, " program=");
	buf_put_view(out, program);
	buf_put_str(out, " pid=");
	buf_put_dec(out, from->pid);
}

/* From auth only: no other process can have somebody banned. */
static bool
is_for_fail2ban(const struct log_from *from, const struct msg_log_record *m)
{
	struct view program = {from->program, from->program_n};

	return view_equal(m->event, VIEW("fail2ban")) &&
		view_equal(program, VIEW("restante-auth"));
}

/* False: something of it did not fit. */
static bool
put_record(enum log_form form, const struct log_from *from, uint64_t unix_ms,
	const struct msg_log_record *m, struct buf *out)
{
	struct cursor c = cursor_over(m->pairs);
	struct view key, value;
	bool whole = true;

	put_head(form, from, unix_ms, m->level, out);
	buf_put_str(out, " event=");
	buf_put_view(out, m->event);
	while (c.n > 0 && whole) {
		next_pair(&c, &key, &value);
		whole = put_pair(out, key, value);
	}
	return whole;
}

enum log_outcome
log_format(enum log_form form, const struct log_from *from, uint64_t unix_ms,
	const struct msg_log_record *m, struct buf *out)
{
	CHECK(buf_room(out) >= LOG_LINE_MAX);
	if (!is_sound(m))
		return LOG_MALFORMED;
	struct buf line = buf_over(out->p + out->n, LOG_LINE_MAX - TAIL_MAX);
	bool whole = true;
	if (is_for_fail2ban(from, m))
		put_fail2ban(form, from, unix_ms, m, &line);
	else
		whole = put_record(form, from, unix_ms, m, &line);
	CHECK(!line.full);
	line.cap = LOG_LINE_MAX;
	if (!whole)
		buf_put_str(&line, " cut=1");
	if (form == LOG_FORM_LINE)
		buf_put_u8(&line, '\n');
	CHECK(!line.full);
	out->n += line.n;
	return LOG_WRITTEN;
}

void
log_from_set(struct log_from *f, struct view program, uint32_t pid)
{
	bool is_name =
		program.n > 0 && program.n <= sizeof(f->program) && is_event(program);

	if (!is_name)
		program = VIEW("unknown");
	struct buf b = buf_over(f->program, sizeof(f->program));
	buf_put_view(&b, program);
	f->program_n = (uint8_t)b.n;
	f->pid = pid;
}

bool
log_limit_take(struct log_limit *l, uint64_t now_ms)
{
	uint64_t second = now_ms / 1000;

	if (l->second != second) {
		l->second = second;
		l->n = 0;
	}
	if (l->n < LOG_RATE) {
		l->n++;
		return true;
	}
	l->dropped++;
	return false;
}
