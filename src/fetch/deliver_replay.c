#include "fetch/deliver_parts.h"

#include "fetch/durable.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct delivery_target *
target_of(struct deliver *d, const char *text)
{
	for (size_t t = 0; t < d->targets_n; t++)
		if (strcmp(d->account->targets[t].text, text) == 0)
			return &d->targets[t];
	return NULL;
}

/*
 * A server's or a program's answer cannot be looked up, and a target that is no longer
 * configured holds nothing for us: fetched again, with the same trace id.
 */
static int
find(struct deliver *d, const struct unsettled *u, bool *ret)
{
	const struct delivery_target *t = target_of(d, u->target);

	*ret = false;
	if (!t || !t->ops->journalled || !t->ops->find)
		return 0;
	return t->ops->find(t->target, u->tmp, u->name, u->digest, u->stored, ret);
}

static int
settle_all(struct deliver *d)
{
	int r = 0;

	for (size_t t = 0; r == 0 && t < d->targets_n; t++)
		if (d->targets[t].ops->journalled && d->targets[t].ops->settle)
			r = d->targets[t].ops->settle(d->targets[t].target);
	return r;
}

/* What was found is synced where it lies before the journal says so. */
int
deliver_settle_journal(struct deliver *d, char *why, size_t why_n)
{
	AUTO_FREE struct unsettled *rows = NULL;
	AUTO_FREE bool *found = NULL;
	size_t n = 0, i = 0;
	int r = state_unsettled(d->state, d->row, &rows, &n);

	if (r == 0 && n > 0) {
		found = calloc(n, sizeof(*found));
		if (!found)
			r = -ENOMEM;
	}
	if (r < 0) {
		(void)snprintf(why, why_n, "the journal cannot be read: %s",
			strerrordesc_np(-r));
		return r;
	}
	for (; r == 0 && i < n; i++)
		r = find(d, &rows[i], &found[i]);
	if (r == 0)
		r = settle_all(d);
	if (r < 0) {
		(void)snprintf(why, why_n,
			"what an earlier run delivered to %s cannot be told: %s",
			i > 0 ? rows[i - 1].target : "its targets", strerrordesc_np(-r));
		return r;
	}
	for (i = 0; r == 0 && i < n; i++)
		r = state_replayed(d->state, &rows[i], found[i], clock_unix_s());
	if (r < 0)
		(void)snprintf(why, why_n, "the journal cannot be written: %s",
			strerrordesc_np(-r));
	else
		d->must_replay = false;
	return r;
}

struct litter {
	int dir;
	const char *mark;
};

static int
remove_litter(void *arg, const char *name)
{
	const struct litter *l = arg;

	if (strncmp(name, l->mark, strlen(l->mark)) == 0 &&
		unlinkat(l->dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int
deliver_replay(struct deliver *d, char *why, size_t why_n)
{
	struct litter litter = {d->spool_dir, spool_mark(d->spool)};
	int r = deliver_settle_journal(d, why, why_n);

	if (r < 0)
		return r;
	r = durable_scan(d->spool_dir, remove_litter, &litter);
	for (size_t t = 0; r == 0 && t < d->targets_n; t++)
		if (d->targets[t].ops->sweep && (int)t != d->spool_target)
			r = d->targets[t].ops->sweep(d->targets[t].target);
	if (r < 0)
		(void)snprintf(why, why_n,
			"spool files of an earlier run cannot be removed: %s",
			strerrordesc_np(-r));
	return r;
}
