/* A live POP3 server as the source: UIDL, LIST, and TOP n 0 for the headers. */
#include "move/import_source.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tops {
	struct live_sink sink; /* first */
	struct import *im;
	uint32_t first; /* row of the first message */
	uint8_t *header;
	size_t n, cap;
	bool too_long;
	int result;
};

/* Several answers never come at once: one after the other. */
static void
take(struct live_sink *s, size_t i, struct view octets)
{
	struct tops *t = (struct tops *)(void *)s;

	(void)i;
	if (t->too_long || t->result < 0)
		return;
	if (octets.n > MARKS_HEADER_MAX - t->n) {
		t->too_long = true;
		return;
	}
	if (t->n + octets.n > t->cap) {
		size_t cap = 2 * (t->n + octets.n);
		uint8_t *p = realloc(t->header, cap);
		if (!p) {
			t->result = -ENOMEM;
			return;
		}
		t->header = p;
		t->cap = cap;
	}
	memcpy(t->header + t->n, octets.p, octets.n);
	t->n += octets.n;
}

/* Servers send more than was asked for: an empty line, or some of the body. */
static void
end(struct live_sink *s, size_t i, const char *refused)
{
	struct tops *t = (struct tops *)(void *)s;
	struct import_row *r = &t->im->rows[t->first + i];
	/* That of an empty message has no octets, and is known. */
	struct view all = {t->header ? t->header : (const uint8_t *)"", t->n};
	size_t n = header_marks_end(all);

	if (!refused && !t->too_long && t->result == 0) {
		r->marks = import_room(t->im, sizeof(*r->marks));
		if (n > 0)
			all.n = n;
		t->result = r->marks ? header_marks_read(all, r->marks) : -ENOMEM;
	}
	t->n = 0;
	t->too_long = false;
}

static int
add_rows(struct import *im, const struct live_list *list)
{
	for (uint32_t i = 0; i < list->count; i++) {
		struct import_row *r = import_row_add(im);
		if (!r)
			return -ENOMEM;
		r->uidl = import_keep(im, list->mails[i].uidl);
		r->size = list->mails[i].size;
		r->line = list->mails[i].msgno;
		r->order = list->mails[i].msgno;
		r->saved = true;
	}
	return im->no_memory ? -ENOMEM : 0;
}

static int
read_headers(
	struct import *im, struct live *l, const struct live_list *list, uint32_t first)
{
	struct tops t = {.sink = {take, end}, .im = im, .first = first};
	AUTO_FREE uint32_t *numbers = calloc((size_t)list->count + 1, sizeof(*numbers));

	if (!numbers)
		return -ENOMEM;
	for (uint32_t i = 0; i < list->count; i++)
		numbers[i] = list->mails[i].msgno;
	int r = list->count > 0 ? live_top(l, numbers, list->count, 0, &t.sink) : 0;
	free(t.header);
	return r < 0 ? r : t.result;
}

int
import_live_read(struct import *im, const struct import_wishes *w, const char *user,
	const char *password, char why[IMPORT_WHY_MAX])
{
	struct live_list list = {.count = 0};
	struct live *l = live_new(&w->live);
	uint32_t first = im->rows_n;

	if (!l)
		return -ENOMEM;
	int r = live_open(l);
	if (r == 0)
		r = live_login(l, user, password);
	if (r == 0)
		r = live_list(l, &list);
	if (r == 0 && !list.has_uidls && list.count > 0) {
		(void)snprintf(why, IMPORT_WHY_MAX, "the server does not know UIDL");
		r = -ENOTSUP;
	} else if (r < 0) {
		(void)snprintf(why, IMPORT_WHY_MAX, "%s", live_why(l));
	}
	if (r == 0)
		r = add_rows(im, &list);
	if (r == 0) {
		r = read_headers(im, l, &list, first);
		if (r < 0)
			(void)snprintf(why, IMPORT_WHY_MAX, "%s", live_why(l));
	}
	live_list_free(&list);
	live_free(&l);
	return r;
}
