#include "torture/torture_facts.h"

#include "base/ascii.h"
#include "base/num.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LISTS_MAX (UINT32_C(128) << 20)

/* ---- capabilities ---- */

const char *
torture_capa_of(const struct torture_capa *c, const char *tag)
{
	size_t n = strlen(tag);

	for (const char *p = c->text; p < c->text + c->n; p += strlen(p) + 1)
		if (strncasecmp(p, tag, n) == 0 && (p[n] == '\0' || p[n] == ' '))
			return p[n] ? p + n + 1 : p + n;
	return NULL;
}

bool
torture_capa_says(const struct torture_capa *c, const char *tag, const char *word)
{
	const char *p = torture_capa_of(c, tag);
	size_t n = strlen(word);

	while (p && *p) {
		size_t length = strcspn(p, " ");

		if (length == n && strncasecmp(p, word, n) == 0)
			return true;
		p += length;
		p += strspn(p, " ");
	}
	return false;
}

static void
read_capa(const struct body *b, struct torture_capa *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < b->text_n;) {
		const uint8_t *lf = memchr(b->text + i, '\n', b->text_n - i);
		size_t end = lf ? (size_t)(lf - b->text) : b->text_n;
		size_t n = end - i;

		while (n > 0 && (b->text[i + n - 1] == '\r' || b->text[i + n - 1] == ' '))
			n--;
		if (ret->n + n + 1 > sizeof(ret->text))
			return;
		memcpy(ret->text + ret->n, b->text + i, n);
		ret->n += n;
		ret->text[ret->n++] = '\0';
		i = end + 1;
	}
}

bool
torture_ask_capa(struct trial *t, struct link *l, struct torture_capa *ret)
{
	struct answer a;
	struct body b;

	*ret = (struct torture_capa){0};
	if (!trial_ask(t, l, "CAPA\r\n", &a))
		return false;
	if (a.sign != SIGN_OK)
		return true;
	bool good = trial_body(t, l, TORTURE_CAPA_MAX, &b);
	ret->known = good;
	if (good)
		read_capa(&b, ret);
	body_free(&b);
	return good;
}

/* ---- lists ---- */

static uint64_t
digest_of(struct view v)
{
	uint64_t d = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < v.n; i++)
		d = (d ^ v.p[i]) * UINT64_C(0x100000001B3);
	return d ? d : 1;
}

/* "NUMBER REST\r\n" at p. The rest, without line end, or n = 0. */
static struct view
split_row(struct view line, uint64_t *ret_number)
{
	const uint8_t *blank = memchr(line.p, ' ', line.n);
	struct view rest = {0};

	if (!blank)
		return rest;
	struct view number = {line.p, (size_t)(blank - line.p)};
	if (!num_decimal(number, UINT32_MAX, ret_number))
		return rest;
	rest = (struct view){blank + 1, line.n - number.n - 1};
	while (rest.n > 0 && (rest.p[rest.n - 1] == '\n' || rest.p[rest.n - 1] == '\r'))
		rest.n--;
	return rest;
}

static bool
take_row(struct trial *t, struct view line, bool uidl, struct torture_mail *mails,
	uint32_t count)
{
	uint64_t number = 0, size;
	struct view rest = split_row(line, &number);
	int shown = line.n > 60 ? 60 : (int)line.n;

	if (rest.n == 0 || number == 0 || number > count)
		return !t->all->surveyed ||
			trial_fail(t, "%s has a row that is none: %.*s",
				uidl ? "UIDL" : "LIST", shown, (const char *)line.p);
	struct torture_mail *m = &mails[number - 1];
	if (uidl) {
		m->uidl = digest_of(rest);
		return true;
	}
	const uint8_t *blank = memchr(rest.p, ' ', rest.n);
	if (blank) /* additional information, RFC 1939 s.5 */
		rest.n = (size_t)(blank - rest.p);
	if (m->listed || !num_decimal(rest, UINT64_MAX, &size))
		return !t->all->surveyed ||
			trial_fail(t, "LIST has a row that is none: %.*s", shown,
				(const char *)line.p);
	m->size = size;
	m->listed = true;
	return true;
}

static bool
ask_list(struct trial *t, struct link *l, bool uidl, struct torture_mail *mails,
	uint32_t count)
{
	struct answer a;
	struct body b;

	if (!trial_ask(t, l, uidl ? "UIDL\r\n" : "LIST\r\n", &a))
		return false;
	if (a.sign != SIGN_OK && uidl)
		return true; /* it is optional */
	if (a.sign != SIGN_OK)
		return trial_fail(t, "LIST was answered with %s", a.text);
	t->all->has_uidls |= uidl;
	bool good = trial_body(t, l, LISTS_MAX, &b);
	for (size_t i = 0; good && i < b.text_n;) {
		const uint8_t *lf = memchr(b.text + i, '\n', b.text_n - i);
		size_t n = (size_t)(lf - b.text) + 1 - i;

		good = take_row(t, (struct view){b.text + i, n}, uidl, mails, count);
		i += n;
	}
	body_free(&b);
	return good;
}

bool
torture_ask_mails(struct trial *t, struct link *l, struct torture_mail **ret_mails,
	uint32_t *ret_count, uint64_t *ret_octets)
{
	struct answer a;
	uint64_t n[2];

	if (!trial_ask(t, l, "STAT\r\n", &a))
		return false;
	if (a.sign != SIGN_OK || answer_numbers(&a, n, 2) != 2)
		return trial_fail(t, "STAT was answered with %s", a.text);
	if (n[0] > TORTURE_MAILS_MAX)
		return trial_fail(t, "more than %u messages: take another account",
			TORTURE_MAILS_MAX);
	struct torture_mail *mails = calloc(n[0] + 1, sizeof(*mails));
	if (!mails)
		return trial_fail(t, "there is no memory");
	if (!ask_list(t, l, false, mails, (uint32_t)n[0]) ||
		!ask_list(t, l, true, mails, (uint32_t)n[0])) {
		free(mails);
		return false;
	}
	free(*ret_mails);
	*ret_mails = mails;
	*ret_count = (uint32_t)n[0];
	*ret_octets = n[1];
	return true;
}

/* ---- the survey ---- */

static bool
look_before_tls(struct trial *t)
{
	struct torture *all = t->all;

	if (!trial_open(t, &t->link, AT_SOCKET) ||
		(all->options.tls != TORTURE_POP3S &&
			!torture_ask_capa(t, &t->link, &all->raw)))
		return false;
	link_close(&t->link);
	return true;
}

bool
torture_survey(struct trial *t)
{
	struct torture *all = t->all;

	if (!look_before_tls(t) || !trial_open(t, &t->link, AT_GREETING) ||
		!torture_ask_capa(t, &t->link, &all->before))
		return false;
	if (all->options.user) {
		if (!trial_log_in(t, &t->link) ||
			!torture_ask_capa(t, &t->link, &all->after) ||
			!torture_ask_mails(
				t, &t->link, &all->mails, &all->count, &all->octets))
			return false;
	}
	(void)trial_quit(t, &t->link);
	link_close(&t->link);
	all->surveyed = true;
	return true;
}
