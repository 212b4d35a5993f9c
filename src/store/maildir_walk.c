/* The order in which a directory's entries were met: the next reading goes along. */
#include "os/fd.h"
#include "store/maildir_build.h"

#include <errno.h>
#include <stdlib.h>

#define STEPS	  512 /* entries that may be missing in a row */
#define CAP_LEAST 64
#define FROM	  1000 /* rows; a smaller table is not worth the memory */

void
maildir_walks_free(struct maildir_walk **walks, unsigned dirs)
{
	for (unsigned d = 0; *walks && d < dirs; d++)
		free((*walks)[d].list);
	free(*walks);
	*walks = NULL;
}

size_t
maildir_walks_memory(const struct maildir_table *t)
{
	size_t n = 0;

	for (unsigned d = 0; t->walks && d < t->dirs; d++)
		n += t->walks[d].cap * sizeof(*t->walks[d].list);
	return n;
}

int
maildir_walk_begin(struct maildir_scan *scan, unsigned dirs)
{
	const struct maildir_table *t = scan->known;

	if (!scan->keeps || t->pub.count < FROM)
		return 0;
	if (!scan->walks)
		scan->walks = calloc(dirs, sizeof(*scan->walks));
	if (!scan->walks)
		return -ENOMEM;
	for (unsigned d = 0; d < dirs; d++) {
		struct maildir_walk *w = &scan->walks[d];
		w->n = 0;
		if (w->list || !t->walks)
			continue;
		w->cap = t->walks[d].n + CAP_LEAST;
		w->list = malloc(w->cap * sizeof(*w->list));
		if (!w->list)
			return -ENOMEM;
	}
	return 0;
}

uint32_t
maildir_walk_next(struct maildir_scan *scan, unsigned dir, uint64_t tag)
{
	const struct maildir_table *t = scan->known;

	/* A row that has got another name since is not as the walk met it. */
	if (!scan->walks || !t->walks || t->names.p)
		return 0;
	const struct maildir_walk *w = &t->walks[dir];
	size_t end = scan->step + STEPS < w->n ? scan->step + STEPS : w->n;
	for (size_t i = scan->step; i < end; i++)
		if (w->list[i].tag == tag) {
			scan->step = i + 1;
			return w->list[i].row;
		}
	return 0;
}

size_t
maildir_walk_put(struct maildir_scan *scan, unsigned dir, uint64_t tag, uint32_t row)
{
	struct maildir_walk *w = scan->walks ? &scan->walks[dir] : NULL;

	if (!w)
		return SIZE_MAX;
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : CAP_LEAST;
		void *grown = realloc(w->list, cap * sizeof(*w->list));
		if (!grown)
			return SIZE_MAX;
		w->list = grown;
		w->cap = cap;
	}
	w->list[w->n] = (struct maildir_met){tag, row};
	return w->n++;
}

void
maildir_walk_mend(struct maildir_scan *scan, unsigned dir, size_t place, uint32_t row)
{
	if (scan->walks && place < scan->walks[dir].n)
		scan->walks[dir].list[place].row = row;
}

void
maildir_walks_take(struct maildir_build *b, struct maildir_scan *scan,
	struct maildir_table *known, const uint32_t *moved)
{
	unsigned dirs = b->t->dirs;

	/* Where it was disturbed each time the last one may be of no moment. */
	if (!scan->walks || scan->racy == UINT64_MAX)
		return;
	for (unsigned d = 0; d < dirs; d++) {
		struct maildir_walk *w = &scan->walks[d];
		if (!(scan->read >> d & 1) && known->walks && !known->names.p) {
			free(w->list);
			*w = known->walks[d];
			known->walks[d] = (struct maildir_walk){.n = 0};
		}
		for (size_t i = 0; i < w->n; i++) {
			uint32_t row = w->list[i].row;
			w->list[i].row =
				row > 0 && b->kept[row - 1] ? moved[row - 1] + 1 : 0;
		}
	}
	b->t->walks = scan->walks;
	scan->walks = NULL;
}
