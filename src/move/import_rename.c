/* pop3_uidl_duplicates = rename: what Dovecot makes of UIDLs that are there twice. */
#include "move/import.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RENAMED_MAX 2048

/* UIDLs given so far, each with how often it was asked for. */
struct given {
	struct view *uidls;
	uint32_t *times;
	uint32_t mask;
};

static uint64_t
hash_of(struct view v)
{
	uint64_t h = 0xcbf29ce484222325U; /* FNV-1a */

	for (size_t i = 0; i < v.n; i++)
		h = (h ^ v.p[i]) * 0x100000001b3U;
	return h;
}

static uint32_t
place_of(const struct given *g, struct view v)
{
	uint32_t at = (uint32_t)hash_of(v) & g->mask;

	while (g->uidls[at].p && !view_equal(g->uidls[at], v))
		at = (at + 1) & g->mask;
	return at;
}

/* The second with one UIDL gets -2, the third -3; and again, should that be taken too. */
static int
rename_one(struct import *im, struct given *g, struct import_row *r)
{
	uint8_t storage[RENAMED_MAX];
	struct buf b = buf_over(storage, sizeof(storage));
	uint32_t at = place_of(g, r->uidl);

	if (!g->uidls[at].p) {
		g->uidls[at] = r->uidl;
		g->times[at] = 1;
		return 0;
	}
	buf_put_view(&b, r->uidl);
	while (g->uidls[at].p) {
		buf_put_str(&b, "-");
		buf_put_dec(&b, ++g->times[at]);
		if (b.full)
			return -E2BIG;
		at = place_of(g, buf_view(&b));
	}
	r->uidl = import_keep(im, buf_view(&b));
	if (!r->uidl.p)
		return -ENOMEM;
	g->uidls[at] = r->uidl;
	g->times[at] = 1;
	im->renamed++;
	return 0;
}

int
import_rename(struct import *im)
{
	struct given g = {.mask = 15};
	int r = 0;

	while (g.mask / 2 < im->rows_n)
		g.mask = g.mask * 2 + 1;
	AUTO_FREE struct view *uidls = calloc((size_t)g.mask + 1, sizeof(*uidls));
	AUTO_FREE uint32_t *times = calloc((size_t)g.mask + 1, sizeof(*times));
	if (!uidls || !times)
		return -ENOMEM;
	g.uidls = uidls;
	g.times = times;
	/* Messages that are gone do not count: the server did not see them either. */
	for (uint32_t i = 0; i < im->rows_n && r == 0; i++)
		if (im->rows[i].message != 0 && im->rows[i].fate == IMPORT_OPEN)
			r = rename_one(im, &g, &im->rows[i]);
	return r;
}
