/* The maildrops that a keeper has at hand, and the places of its sessions. */
#include "base/check.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static void
use_unlink(struct keeper *k, struct drop *d)
{
	*(d->newer ? &d->newer->older : &k->newest) = d->older;
	*(d->older ? &d->older->newer : &k->oldest) = d->newer;
	d->newer = d->older = NULL;
}

static void
use_first(struct keeper *k, struct drop *d)
{
	d->older = k->newest;
	*(k->newest ? &k->newest->newer : &k->oldest) = d;
	k->newest = d;
}

static void
drop_free(struct drop *d)
{
	if (d->store) {
		d->ops->flush(d->store);
		d->ops->close(&d->store);
	}
	fd_close(&d->snapshot);
	heads_free(&d->heads);
	free(d->path);
	free(d);
}

static struct drop *
drop_new(const struct keeper *k, const char *path, uint8_t kind, uint64_t hash)
{
	const struct store_ops *ops = store_ops_of(kind);
	struct drop *d = ops ? calloc(1, sizeof(*d)) : NULL;

	if (!d)
		return NULL;
	d->snapshot = -1;
	d->hash = hash;
	d->kind = kind;
	d->ops = ops;
	d->path = strdup(path);
	if (!d->path || ops->open(k->root, path, &k->o.store, &d->store) < 0) {
		drop_free(d);
		return NULL;
	}
	return d;
}

struct drop *
keeper_drop_get(struct keeper *k, const char *path, uint8_t kind)
{
	uint64_t hash = XXH3_64bits(path, strlen(path));
	struct drop **bucket = &k->buckets[hash % KEEPER_BUCKETS];
	struct drop *d = *bucket;

	while (d && (d->hash != hash || d->kind != kind || strcmp(d->path, path) != 0))
		d = d->next;
	if (d) {
		use_unlink(k, d);
	} else {
		d = drop_new(k, path, kind, hash);
		if (!d)
			return NULL;
		d->next = *bucket;
		*bucket = d;
		k->drops++;
	}
	use_first(k, d);
	return d;
}

static void
drop_forget(struct keeper *k, struct drop *d)
{
	struct drop **at = &k->buckets[d->hash % KEEPER_BUCKETS];

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	use_unlink(k, d);
	k->drops--;
	k->memory -= d->memory;
}

void
keeper_drops_trim(struct keeper *k)
{
	while (k->drops > KEEPER_DROPS_MAX || k->memory > KEEPER_MEMORY_MAX) {
		struct drop *d = k->oldest;
		while (d && (d->busy || d->sessions > 0))
			d = d->newer;
		if (!d)
			return;
		drop_forget(k, d);
		CHECK(pthread_mutex_unlock(&k->lock) == 0);
		drop_free(d);
		CHECK(pthread_mutex_lock(&k->lock) == 0);
	}
}

static struct drop *
next_to_flush(const struct keeper *k)
{
	struct drop *d = k->newest;

	while (d && (d->flushed == k->flushes || d->busy || d->sessions > 0))
		d = d->older;
	return d;
}

void
keeper_drops_flush(struct keeper *k, struct received *r)
{
	struct drop *d;

	k->flushes++;
	while ((d = next_to_flush(k))) {
		d->flushed = k->flushes;
		/* busy keeps it from being freed while the lock is not held. */
		d->busy = true;
		CHECK(pthread_mutex_unlock(&k->lock) == 0);
		d->ops->flush(d->store);
		CHECK(pthread_mutex_lock(&k->lock) == 0);
		keeper_run_drop(k, d, r);
	}
}

void
keeper_drop_measure(struct keeper *k, struct drop *d)
{
	size_t now = d->ops->memory(d->store) + heads_memory(&d->heads);

	k->memory += now;
	k->memory -= d->memory;
	d->memory = now;
}

void
keeper_queue(struct drop *d, struct session *s)
{
	if (s->queued)
		return;
	s->queued = true;
	s->next = NULL;
	*(d->last ? &d->last->next : &d->first) = s;
	d->last = s;
}

int
keeper_session_place(struct keeper *k, struct session *s)
{
	uint32_t i = 0;

	bool accepts = s->rights & RIGHT_DELIVER;

	if (k->sessions == KEEPER_SESSIONS_MAX ||
		(accepts && k->accepts == KEEPER_ACCEPTS_MAX))
		return -EMFILE;
	while (k->slots[i])
		i++;
	if (i >= k->slots_used)
		k->slots_used = i + 1;
	k->slots[i] = s;
	s->slot = i;
	s->turn = ++k->turns[i];
	k->sessions++;
	k->accepts += accepts;
	return 0;
}

void
keeper_session_free(struct keeper *k, struct session *s)
{
	CHECK(!s->queued);
	CHECK(k->slots[s->slot] == s);
	k->slots[s->slot] = NULL;
	k->sessions--;
	k->accepts -= s->rights & RIGHT_DELIVER ? 1 : 0;
	if (s->drop)
		s->drop->sessions--;
	if (k->sessions == 0) {
		k->idle_since_ms = clock_ms();
		keeper_deadline(k, k->idle_since_ms + UINT64_C(1000) * k->o.idle_s);
	}
	keeper_out_drop(s);
	keeper_handed_drop(s);
	fd_close(&s->fd);
	free(s->marks.octets);
	free(s->user);
	free(s);
}

uint32_t
keeper_session_others(const struct keeper *k, const struct session *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->slots_used; i++) {
		const struct session *o = k->slots[i];
		if (o && o != s && o != s->drop->current && o->counts &&
			strcmp(o->user, s->user) == 0)
			n++;
	}
	return n;
}
