#include "base/buf.h"
#include "base/check.h"
#include "base/ticket.h"
#include "front/session_state.h"

#include <string.h>

static void
put_hex16(struct pop3_line *l, unsigned v)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t text[4];
	size_t n = 0;

	for (int shift = 12; shift >= 0; shift -= 4)
		if (n > 0 || v >> shift & 15 || shift == 0)
			text[n++] = (uint8_t)digits[v >> shift & 15];
	pop3_line_view(l, (struct view){text, n});
}

/* RFC 5952 s.4.2: the longest run of zero groups, the first of equals, two at least. */
static int
longest_zeros(const unsigned *groups, int *ret_n)
{
	int best = -1, best_n = 1;

	for (int i = 0; i < 8; i++) {
		int n = 0;
		while (i + n < 8 && groups[i + n] == 0)
			n++;
		if (n > best_n) {
			best = i;
			best_n = n;
		}
	}
	*ret_n = best_n;
	return best;
}

static void
put_ipv6(struct pop3_line *l, const uint8_t *a)
{
	unsigned groups[8];
	int zeros_n;

	for (int i = 0; i < 8; i++)
		groups[i] = (unsigned)a[2 * i] << 8 | a[2 * i + 1];
	int zeros = longest_zeros(groups, &zeros_n);
	int after = zeros < 0 ? -1 : zeros + zeros_n;
	for (int i = 0; i < 8; i++) {
		if (i == zeros) {
			pop3_line_text(l, "::");
			i = after - 1;
			continue;
		}
		if (i > 0 && i != after)
			pop3_line_text(l, ":");
		put_hex16(l, groups[i]);
	}
}

void
session_line_address(struct pop3_line *l, struct view address)
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

	if (address.n != 16)
		return;
	if (memcmp(address.p, mapped, sizeof(mapped)) != 0) {
		put_ipv6(l, address.p);
		return;
	}
	for (int i = 12; i < 16; i++) {
		if (i > 12)
			pop3_line_text(l, ".");
		pop3_line_number(l, address.p[i]);
	}
}

static void
put_two(struct pop3_line *l, unsigned n, const char *before)
{
	pop3_line_text(l, before);
	if (n < 10)
		pop3_line_text(l, "0");
	pop3_line_number(l, n);
}

/* Days since 1970-01-01 as a date: years begin in March, so that leap days come last. */
static void
put_date(struct pop3_line *l, uint64_t days)
{
	uint64_t z = days + 719468; /* from 0000-03-01 */
	uint64_t era = z / 146097, day = z % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	unsigned of_year = (unsigned)(day - (365 * year + year / 4 - year / 100));
	unsigned month = (5 * of_year + 2) / 153;
	unsigned of_month = of_year - (153 * month + 2) / 5 + 1;

	year += era * 400 + (month >= 10);
	for (uint64_t n = 1000; n > 1 && year < n; n /= 10)
		pop3_line_text(l, "0");
	pop3_line_number(l, year);
	put_two(l, month < 10 ? month + 3 : month - 9, "-");
	put_two(l, of_month, "-");
}

void
session_line_time(struct pop3_line *l, uint64_t unix_s)
{
	unsigned of_day = (unsigned)(unix_s % 86400);

	put_date(l, unix_s / 86400);
	put_two(l, of_day / 3600, "T");
	put_two(l, of_day / 60 % 60, ":");
	put_two(l, of_day % 60, ":");
	pop3_line_text(l, "Z");
}

void
session_line_messages(struct pop3_line *l, uint64_t n)
{
	pop3_line_number(l, n);
	pop3_line_word(l, n == 1 ? POP3_WORD_MESSAGE : POP3_WORD_MESSAGES);
}

void
session_line_octets(struct pop3_line *l, uint64_t n)
{
	pop3_line_text(l, " (");
	pop3_line_number(l, n);
	pop3_line_word(l, POP3_WORD_OCTETS);
	pop3_line_text(l, ")");
}

void
session_put_language(const struct session *s, struct buf *out)
{
	struct pop3_line l;

	pop3_line_start(&l, POP3_OK_LANG, session_language(s));
	pop3_line_text(&l, " ");
	pop3_line_text(&l, pop3_language_tag(session_language(s)));
	pop3_line_word(&l, POP3_WORD_CHANGED);
	pop3_line_end(&l, out);
}

/* Typed fields only: no text of a file or of another process gets here (wire point 41).
 */
static void
put_holder(const struct session_trial *t, struct pop3_line *l)
{
	if (t->peer.has_address) {
		pop3_line_word(l, POP3_WORD_FROM);
		pop3_line_text(l, " ");
		session_line_address(
			l, (struct view){t->peer.address, sizeof(t->peer.address)});
	}
	if (t->since > 0) {
		pop3_line_word(l, POP3_WORD_SINCE);
		pop3_line_text(l, " ");
		session_line_time(l, t->since);
	}
}

/* By this `restante why` finds a refusal again; each has one, of the same form. */
static void
put_id(struct session_trial *t, struct pop3_line *l)
{
	uint8_t text[TICKET_OCTETS];

	if (t->id == 0)
		return;
	ticket_put(t->id, text);
	pop3_line_text(l, " (id ");
	pop3_line_view(l, (struct view){text, sizeof(text)});
	pop3_line_text(l, ")");
	t->id = 0;
}

static void
put_login(const struct session_drop *d, struct pop3_line *l)
{
	pop3_line_text(l, " ");
	session_line_messages(l, d->snap->count);
	session_line_octets(l, d->octets);
}

static void
put_partial(const struct session_drop *d, struct pop3_line *l)
{
	pop3_line_text(l, " ");
	session_line_messages(l, d->remain);
	pop3_line_word(l, POP3_WORD_OF);
	pop3_line_text(l, " ");
	pop3_line_number(l, d->marked);
	pop3_line_word(l, d->remain == 1 ? POP3_WORD_REMAINS : POP3_WORD_REMAIN);
}

void
session_put_answer(struct session *s, enum pop3_reply reply, struct buf *out)
{
	struct pop3_line l;

	pop3_line_start(&l, reply, session_language(s));
	if (reply == POP3_ERR_IN_USE)
		put_holder(&s->trial, &l);
	if (reply == POP3_OK_LOGIN)
		put_login(&s->drop, &l);
	if (reply == POP3_ERR_PARTIAL)
		put_partial(&s->drop, &l);
	if (reply == POP3_OK_BYE_LEFT) {
		pop3_line_text(&l, " (");
		session_line_messages(&l, s->drop.snap->count - s->drop.removed);
		pop3_line_word(&l, POP3_WORD_LEFT);
		pop3_line_text(&l, ")");
	}
	put_id(&s->trial, &l);
	pop3_line_end(&l, out);
}
