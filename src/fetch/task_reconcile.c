/*
 * task_reconcile.c: --reconcile MAILDIR: what lies there counts as collected.
 *
 * No server is asked. Each message becomes a row without a UIDL (reconcile_rows.h); the
 * next run asks the server for the headers of all messages that it does not know (TOP n
 * 0), and gives a row's place to the message whose header is the same. A row stands for
 * one message: two copies on the server need two files.
 */
#include "base/check.h"
#include "fetch/durable.h"
#include "fetch/fetch_json.h"
#include "fetch/maildir_headers.h"
#include "fetch/reconcile_rows.h"
#include "fetch/state.h"
#include "fetch/tasks.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define MARKS_AT_ONCE 4096
#define DIGESTS_MAX   ((size_t)16 * 1000 * 1000)

struct digest_row {
	uint8_t header[HEADER_DIGEST];
	uint64_t size; /* UINT64_MAX: the header is enough */
};

struct reconciling {
	struct maildir_headers found; /* first */
	struct digest_row *rows;
	size_t n, cap;
};

static void
complain(const char *what, const char *why)
{
	(void)fprintf(stderr, "restante fetch: %s: %s\n", what, why);
}

static int
take(struct maildir_headers *found, const struct message_header *h)
{
	struct reconciling *r = (struct reconciling *)found;

	if (r->cap - r->n < h->n) {
		size_t cap = r->cap ? 2 * r->cap : 1024;
		struct digest_row *rows = cap > DIGESTS_MAX
			? NULL
			: reallocarray(r->rows, cap, sizeof(*rows));
		if (!rows)
			return -ENOMEM;
		r->rows = rows;
		r->cap = cap;
	}
	for (size_t i = 0; i < h->n; i++) {
		struct digest_row *row = &r->rows[r->n++];
		memcpy(row->header, h->digests[i], HEADER_DIGEST);
		row->size = h->size;
	}
	return 0;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(((const struct digest_row *)a)->header,
		((const struct digest_row *)b)->header, HEADER_DIGEST);
}

/* Rows of the state that are this message already, under a UIDL of the server's. */
static void
leave_out_known(struct reconciling *r, const struct known_table *known)
{
	AUTO_FREE bool *out = calloc(r->n + 1, sizeof(*out));
	size_t kept = 0;

	for (size_t i = 0; out && i < known->n; i++) {
		const struct known *k = &known->rows[i];
		struct digest_row key = {.size = UINT64_MAX};

		if (!k->has_header || reconcile_is_uid(k->uid))
			continue;
		memcpy(key.header, k->header, HEADER_DIGEST);
		const struct digest_row *at =
			bsearch(&key, r->rows, r->n, sizeof(*r->rows), compare);
		if (!at)
			continue;
		size_t first = (size_t)(at - r->rows);
		while (first > 0 && compare(&r->rows[first - 1], &key) == 0)
			first--;
		while (first < r->n && out[first] && compare(&r->rows[first], &key) == 0)
			first++;
		if (first < r->n && compare(&r->rows[first], &key) == 0)
			out[first] = true;
	}
	for (size_t i = 0; out && i < r->n; i++)
		if (!out[i])
			r->rows[kept++] = r->rows[i];
	r->n = out ? kept : r->n;
}

static int
mark_all(struct state *s, int64_t account, const struct reconciling *r)
{
	AUTO_FREE struct mark *marks = calloc(MARKS_AT_ONCE, sizeof(*marks));
	AUTO_FREE uint8_t(*uids)[RECONCILE_UID_MAX] =
		calloc(MARKS_AT_ONCE, sizeof(*uids));
	uint64_t now_s = clock_unix_s();
	uint32_t nth = 0;
	size_t n = 0;
	int err = marks && uids ? 0 : -ENOMEM;

	for (size_t i = 0; err == 0 && i < r->n; i++) {
		const struct digest_row *row = &r->rows[i];

		nth = i > 0 && compare(row, row - 1) == 0 ? nth + 1 : 0;
		marks[n] = (struct mark){.kind = MARK_ADOPTED, .size = row->size};
		memcpy(marks[n].header, row->header, HEADER_DIGEST);
		marks[n].uid =
			(struct view){uids[n], reconcile_uid(row->header, nth, uids[n])};
		if (++n < MARKS_AT_ONCE && i + 1 < r->n)
			continue;
		err = state_mark(s, account, marks, n, now_s);
		/* Where the same was done before, and the server did not list it. */
		for (size_t k = 0; k < n; k++)
			marks[k].kind = MARK_BACK;
		if (err == 0)
			err = state_mark(s, account, marks, n, now_s);
		n = 0;
	}
	return err;
}

static int
mark_account(struct state *s, const struct fetch_account *a, struct reconciling *r)
{
	struct remembered memory = {0};
	struct known_table known = {0};
	int err = state_account(s, a, &memory);

	if (err == 0)
		err = state_load(s, memory.row, &known);
	if (err == 0) {
		leave_out_known(r, &known);
		err = mark_all(s, memory.row, r);
	}
	/* The next session looks at the whole listing, not at its end alone. */
	memory.count = UINT32_MAX;
	if (err == 0)
		err = state_remember(s, &memory);
	known_free(&known);
	free(memory.tls_session);
	return err;
}

static void
tell(const struct fetch_command *c, const struct reconciling *r, const char *account)
{
	const struct maildir_headers *f = &r->found;
	uint8_t text[1024];
	struct buf b = buf_over(text, sizeof(text));

	if (!c->settings.json) {
		(void)printf(
			"%s: %llu messages in %s will be recognised on the server by "
			"their headers",
			account, (unsigned long long)(f->files - f->weak), c->argument);
		if (f->weak > 0)
			(void)printf("; %llu have none to be known by",
				(unsigned long long)f->weak);
		if (f->unreadable > 0)
			(void)printf("; %llu could not be read",
				(unsigned long long)f->unreadable);
		(void)printf("\n");
		return;
	}
	buf_put_str(&b, "{");
	json_field_text(&b, "event", text_view("reconciled"), 16);
	json_field_text(&b, "account", text_view(account), 512);
	json_field_number(&b, "messages", f->files - f->weak);
	json_field_number(&b, "weak", f->weak);
	json_field_number(&b, "unreadable", f->unreadable);
	buf_put_str(&b, "}\n");
	(void)fwrite(text, 1, b.n, stdout);
}

static int
run(const struct fetch_command *c, struct reconciling *r)
{
	const struct fetch_account *a = &c->settings.accounts[0];
	char why[LETTER_WHY_MAX];
	struct state *s = NULL;

	r->found.take = take;
	int err = maildir_headers_read(c->argument, &r->found);
	if (err < 0) {
		complain(c->argument,
			err == -ENOENT || err == -ENOTDIR
				? "it is no Maildir: cur and new must be directories in "
				  "it"
				: strerrordesc_np(-err));
		return err == -ENOMEM ? EX_OSERR : EX_NOINPUT;
	}
	if (r->n > 0)
		qsort(r->rows, r->n, sizeof(*r->rows), compare);
	err = state_open(c->settings.state, true, &s, why, sizeof(why));
	if (err < 0) {
		complain("state", why);
		return state_exit_status(err);
	}
	err = mark_account(s, a, r);
	if (err < 0)
		complain("state", err == -ENOMEM ? "out of memory" : state_why(s));
	state_close(&s);
	if (err < 0)
		return state_exit_status(err);
	tell(c, r, a->name);
	return r->found.unreadable > 0 ? EX_NOINPUT : EX_OK;
}

int
task_reconcile(const struct fetch_command *c)
{
	struct reconciling r = {0};

	/* Mail of one account in another's place would be taken for collected. */
	if (c->settings.accounts_n != 1) {
		complain("--reconcile",
			"there are several accounts: name the one whose mail lies there");
		return EX_USAGE;
	}
	int status = run(c, &r);
	free(r.rows);
	return status;
}
