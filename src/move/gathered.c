#include "move/gathered.h"

#include <errno.h>
#include <stdlib.h>

int
gathered_new(uint32_t n, size_t uidl_octets, struct gathered *ret)
{
	*ret = (struct gathered){0};
	ret->side.n = n;
	ret->side.messages = calloc((size_t)n + 1, sizeof(*ret->side.messages));
	ret->side.order = calloc((size_t)n + 1, sizeof(*ret->side.order));
	ret->uidls = malloc(uidl_octets + 1);
	if (ret->side.messages && ret->side.order && ret->uidls)
		return 0;
	gathered_free(ret);
	return -ENOMEM;
}

void
gathered_free(struct gathered *g)
{
	free(g->side.messages);
	free(g->side.order);
	free(g->uidls);
	*g = (struct gathered){0};
}

int
gathered_list(struct live *l, struct gathered *ret)
{
	struct live_list list;
	int r = live_list(l, &list);

	if (r == 0)
		r = gathered_new(list.count, 0, ret);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < list.count; i++) {
		struct compare_message *m = &ret->side.messages[i];
		m->number = list.mails[i].msgno;
		m->size = list.mails[i].size;
		m->uidl = list.mails[i].uidl;
	}
	ret->side.has_uidls = list.has_uidls;
	free(ret->uidls);
	ret->uidls = list.uidls;
	list.uidls = NULL;
	live_list_free(&list);
	return 0;
}

/* ---- digests ---- */

struct digesting {
	struct live_sink sink; /* first */
	struct gathered *g;
	const uint32_t *rows; /* of the wanted ones */
	struct header_digest digest;
	bool bytes, started;
	int failed;
};

static void
start(struct digesting *d)
{
	if (d->started || d->failed)
		return;
	d->failed = header_digest_start(&d->digest, d->bytes);
	d->started = d->failed == 0;
}

static void
take(struct live_sink *s, size_t i, struct view octets)
{
	struct digesting *d = (struct digesting *)(void *)s;

	(void)i;
	start(d);
	if (d->started)
		header_digest_take(&d->digest, octets);
}

static void
end(struct live_sink *s, size_t i, const char *refused)
{
	struct digesting *d = (struct digesting *)(void *)s;
	struct compare_message *m = &d->g->side.messages[d->rows[i]];

	if (refused) {
		m->refused = true;
		return;
	}
	start(d);
	if (!d->started)
		return;
	d->started = false;
	d->failed =
		header_digest_finish(&d->digest, m->header, d->bytes ? m->whole : NULL);
	m->has_header = d->failed == 0;
	m->has_whole = m->has_header && d->bytes;
	d->g->digests++;
}

int
gathered_digests(struct live *l, struct gathered *g, bool bytes)
{
	struct digesting d = {.sink = {take, end}, .g = g, .bytes = bytes};
	uint32_t *rows = calloc((size_t)g->side.n + 1, sizeof(*rows));
	uint32_t *numbers = calloc((size_t)g->side.n + 1, sizeof(*numbers));
	size_t n = 0;
	int r = rows && numbers ? 0 : -ENOMEM;

	for (uint32_t i = 0; r == 0 && i < g->side.n; i++) {
		const struct compare_message *m = &g->side.messages[i];
		if (!m->want || m->refused || (bytes ? m->has_whole : m->has_header))
			continue;
		rows[n] = i;
		numbers[n++] = m->number;
	}
	d.rows = rows;
	if (r == 0 && n > 0)
		r = bytes ? live_retr(l, numbers, n, &d.sink)
			  : live_top(l, numbers, n, 0, &d.sink);
	if (d.started)
		header_digest_done(&d.digest);
	free(rows);
	free(numbers);
	return r < 0 ? r : d.failed;
}
