/*
 * live_list.c: STAT, LIST and UIDL.
 */
#include "base/num.h"
#include "move/live_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
	struct live *l;
	struct live_list list;
	uint32_t cap;
	size_t uidls_n, uidls_cap;
	size_t *at; /* where each UIDL begins, plus 1; 0: none yet */
	uint32_t hint;
};

int
live_stat(struct live *l, uint32_t *ret_count, uint64_t *ret_octets)
{
	struct pop3_answer answer;

	l->step = "STAT";
	int r = live_ask(l, POP3_STAT, &answer);
	if (r < 0)
		return r;
	if (!answer.ok)
		return live_refused(l, -EPROTO, &answer);
	if (answer.bad_row)
		return live_fail(l, -EPROTO, "the answer cannot be read", answer.text);
	*ret_count = answer.msgno;
	*ret_octets = answer.value;
	return 0;
}

static int
no_memory(struct listing *g)
{
	return live_fail(g->l, -ENOMEM, "there is no memory", LIVE_NOTHING);
}

/* Room for n elements of that size, doubling. */
static bool
grow(void **p, size_t element, size_t n, size_t *cap)
{
	size_t want = *cap ? *cap : 1024;

	if (n <= *cap)
		return true;
	while (want < n)
		want *= 2;
	void *bigger = reallocarray(*p, want, element);
	if (!bigger)
		return false;
	*p = bigger;
	*cap = want;
	return true;
}

static int
take_size(struct listing *g, const struct pop3_answer *a)
{
	size_t cap = g->cap;

	if (a->bad_row || a->msgno == 0)
		return live_fail(g->l, -EPROTO, "a row of LIST cannot be read", a->text);
	if (g->list.count == LIVE_MAILS_MAX)
		return live_fail(
			g->l, -E2BIG, "LIST has more than 4000000 rows", LIVE_NOTHING);
	void *mails = g->list.mails;
	if (!grow(&mails, sizeof(*g->list.mails), (size_t)g->list.count + 1, &cap))
		return no_memory(g);
	g->list.mails = mails;
	g->cap = (uint32_t)cap;
	g->list.mails[g->list.count++] =
		(struct live_mail){.msgno = a->msgno, .size = a->value};
	return 0;
}

static int
by_number(const void *a, const void *b)
{
	const struct live_mail *x = a, *y = b;

	return (x->msgno > y->msgno) - (x->msgno < y->msgno);
}

/* Rows come in any order; each number once. */
static int
sort(struct listing *g)
{
	char what[64];

	g->at = calloc((size_t)g->list.count + 1, sizeof(*g->at));
	if (!g->at)
		return no_memory(g);
	if (g->list.count == 0)
		return 0;
	qsort(g->list.mails, g->list.count, sizeof(*g->list.mails), by_number);
	for (uint32_t i = 1; i < g->list.count; i++) {
		if (g->list.mails[i].msgno != g->list.mails[i - 1].msgno)
			continue;
		(void)snprintf(what, sizeof(what), "LIST has message %u twice",
			(unsigned)g->list.mails[i].msgno);
		return live_fail(g->l, -EPROTO, what, LIVE_NOTHING);
	}
	return 0;
}

static const struct live_mail *
find(struct listing *g, uint32_t msgno)
{
	struct live_mail key = {.msgno = msgno};

	if (g->hint < g->list.count && g->list.mails[g->hint].msgno == msgno)
		return &g->list.mails[g->hint++];
	if (g->list.count == 0)
		return NULL;
	const struct live_mail *m = bsearch(
		&key, g->list.mails, g->list.count, sizeof(*g->list.mails), by_number);
	if (m)
		g->hint = (uint32_t)(m - g->list.mails) + 1;
	return m;
}

/*
 * Servers that take UIDLs from X-UIDL fields show an empty one as it is, and a folded one
 * in two lines; any sender can write such a field. The message has no UIDL then, or that
 * of the first line; all others keep theirs.
 */
static bool
is_of_a_field(struct view row)
{
	uint64_t msgno;

	if (row.n > 0 && (row.p[0] == ' ' || row.p[0] == '\t'))
		return true;
	while (row.n > 0 && row.p[row.n - 1] == ' ')
		row.n--;
	return num_decimal(row, UINT32_MAX, &msgno) && msgno > 0;
}

static int
take_uidl(struct listing *g, const struct pop3_answer *a)
{
	char what[96];

	if (a->bad_row && is_of_a_field(a->text))
		return 0;
	if (a->bad_row || a->msgno == 0)
		return live_fail(g->l, -EPROTO, "a row of UIDL cannot be read", a->text);
	const struct live_mail *m = find(g, a->msgno);
	size_t i = m ? (size_t)(m - g->list.mails) : 0;
	if (!m || g->at[i] > 0) {
		(void)snprintf(what, sizeof(what),
			m ? "UIDL has message %u twice"
			  : "UIDL has message %u, which LIST has not",
			(unsigned)a->msgno);
		return live_fail(g->l, -EPROTO, what, LIVE_NOTHING);
	}
	if (a->uid.n > LIVE_UIDLS_MAX - g->uidls_n)
		return live_fail(
			g->l, -E2BIG, "the UIDLs have more than 512 MiB", LIVE_NOTHING);
	void *uidls = g->list.uidls;
	if (!grow(&uidls, 1, g->uidls_n + a->uid.n + 1, &g->uidls_cap))
		return no_memory(g);
	g->list.uidls = uidls;
	if (a->uid.n > 0)
		memcpy(g->list.uidls + g->uidls_n, a->uid.p, a->uid.n);
	g->at[i] = g->uidls_n + 1;
	g->list.mails[i].uidl.n = a->uid.n;
	g->uidls_n += a->uid.n;
	return 0;
}

/* The rows of an answer whose status is the next event. *ret_refused: the error of an
 * -ERR, which is noted; or 0. */
static int
rows(struct listing *g, int (*take)(struct listing *g, const struct pop3_answer *a),
	int *ret_refused)
{
	enum pop3_client_event e;
	struct pop3_answer answer;
	int r = live_next(g->l, &e, &answer);

	*ret_refused = 0;
	if (r == 0 && !answer.ok)
		*ret_refused = live_refused(g->l, -EPROTO, &answer);
	if (r < 0 || !answer.ok || !answer.more)
		return r;
	for (;;) {
		r = live_next(g->l, &e, &answer);
		if (r < 0 || e == POP3_CLIENT_END)
			return r;
		if (e == POP3_CLIENT_ROW)
			r = take(g, &answer);
		if (r < 0)
			return r;
	}
}

static int
ask(struct live *l, enum pop3_command first, enum pop3_command second)
{
	struct buf out = buf_over(l->out, sizeof(l->out));
	bool put = pop3_client_send(&l->client, first, 0, 0, &out);

	if (second != first)
		put = put && pop3_client_send(&l->client, second, 0, 0, &out);
	if (!put)
		return live_fail(
			l, -EPROTO, "nothing can be asked any more", LIVE_NOTHING);
	return live_send(l, &out);
}

/* A server that says that it does UIDL, or that it cannot just now, is none without
 * UIDLs. */
static bool
is_without_uidls(const struct listing *g, int refused)
{
	const struct live_facts *f = &g->l->facts;

	if (g->list.count == 0)
		return true;
	return refused != -EAGAIN && !((f->before.has | f->after.has) & POP3_CAPA_UIDL);
}

static int
gather(struct listing *g)
{
	struct live *l = g->l;
	bool together = (l->facts.after.has & POP3_CAPA_PIPELINING) != 0;
	int refused = 0;

	l->step = "LIST";
	int r = ask(l, POP3_LIST, together ? POP3_UIDL : POP3_LIST);
	if (r == 0)
		r = rows(g, take_size, &refused);
	if (r == 0 && refused < 0) {
		l->broken = true;
		return refused; /* why is noted */
	}
	if (r == 0)
		r = sort(g);
	l->step = "UIDL";
	if (r == 0 && !together)
		r = ask(l, POP3_UIDL, POP3_UIDL);
	if (r == 0)
		r = rows(g, take_uidl, &refused);
	if (r < 0)
		return r;
	g->list.has_uidls = refused == 0;
	return refused == 0 || is_without_uidls(g, refused) ? 0 : refused;
}

int
live_list(struct live *l, struct live_list *ret)
{
	struct listing g = {.l = l};
	int r = gather(&g);

	for (uint32_t i = 0; r == 0 && g.at && i < g.list.count; i++)
		if (g.at[i] > 0)
			g.list.mails[i].uidl.p = g.list.uidls + g.at[i] - 1;
	free(g.at);
	if (r < 0) {
		live_list_free(&g.list);
		return r;
	}
	*ret = g.list;
	return 0;
}

void
live_list_free(struct live_list *list)
{
	free(list->mails);
	free(list->uidls);
	*list = (struct live_list){0};
}
