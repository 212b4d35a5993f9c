/* The maildrops that a keeper has at hand, and the places of its sessions. */
#include "base/check.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/mutex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define LEFT_BATCH_MAX 64U

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
	keeper_snapshot_drop(d);
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
		/* It writes: until then the keeper must not be ended. */
		k->freeing++;
		mutex_unlock(&k->lock);
		drop_free(d);
		mutex_lock(&k->lock);
		k->freeing--;
		keeper_idle_look(k);
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
		mutex_unlock(&k->lock);
		d->ops->flush(d->store);
		mutex_lock(&k->lock);
		keeper_run_drop(k, d, r);
	}
}

void
keeper_drop_measure(struct keeper *k, struct drop *d)
{
	size_t now = d->ops->memory(d->store) + heads_memory(&d->heads) + d->small_n;

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

static uint64_t
user_hash(const struct session *s)
{
	uint64_t hash = XXH3_64bits(s->user, strlen(s->user));

	return hash != 0 ? hash : 1;
}

/* ---- what the monitor is told ------------------------------------------------ */

/* So many in one message; few where there are few places, for it counts on them. */
static uint32_t
left_batch(const struct keeper *k)
{
	uint32_t n = k->o.sessions_max / 16;

	return n < 1 ? 1 : n > LEFT_BATCH_MAX ? LEFT_BATCH_MAX : n;
}

void
keeper_left(struct keeper *k, uint32_t place)
{
	/* It attaches no more than sessions_max, less those that it was not told of. */
	if (place == 0 || k->left_n == KEEPER_SESSIONS_MAX)
		return;
	if (k->left_n == 0)
		k->left_since_ms = clock_ms();
	k->left[k->left_n++] = place;
	if (k->left_n >= left_batch(k))
		(void)keeper_left_tell(k, UINT64_MAX);
	else if (k->left_n == 1)
		keeper_deadline(k, k->left_since_ms + KEEPER_LEFT_MS);
}

uint64_t
keeper_left_tell(struct keeper *k, uint64_t now_ms)
{
	uint8_t storage[LEFT_BATCH_MAX * sizeof(uint32_t) + 8];

	while (k->left_n > 0 && now_ms >= k->left_since_ms + KEEPER_LEFT_MS) {
		uint8_t places[LEFT_BATCH_MAX * sizeof(uint32_t)];
		struct buf p = buf_over(places, sizeof(places));
		struct buf b = buf_over(storage, sizeof(storage));
		uint32_t n = k->left_n < LEFT_BATCH_MAX ? k->left_n : LEFT_BATCH_MAX;
		for (uint32_t i = 0; i < n; i++)
			buf_put_u32(&p, k->left[k->left_n - 1 - i]);
		msg_keeper_left_put(
			&(struct msg_keeper_left){.places = buf_view(&p)}, &b);
		CHECK(!b.full);
		/* A monitor that has much to read is told in a while. */
		if (channel_send(FD_MONITOR, buf_view(&b), NULL, 0) < 0) {
			k->left_since_ms = clock_ms();
			keeper_deadline(k, k->left_since_ms + KEEPER_LEFT_MS);
			break;
		}
		k->left_n -= n;
	}
	return k->left_n > 0 ? k->left_since_ms + KEEPER_LEFT_MS : KEEPER_NEVER;
}

void
keeper_idle_look(struct keeper *k)
{
	if (k->sessions == 0 && k->freeing == 0 && !k->idle_told)
		keeper_deadline(k, k->idle_since_ms + UINT64_C(1000) * k->o.idle_s);
}

/* ---- sessions' places ---------------------------------------------------------- */

void
keeper_unqueue(struct drop *d, struct session *s)
{
	struct session *before = NULL;

	if (!s->queued)
		return;
	for (struct session *at = d->first; at != s; at = at->next) {
		CHECK(at != NULL);
		before = at;
	}
	*(before ? &before->next : &d->first) = s->next;
	if (d->last == s)
		d->last = before;
	s->queued = false;
}

int
keeper_session_place(struct keeper *k, struct session *s)
{
	uint32_t most = k->o.sessions_max, i;
	bool accepts = s->rights & RIGHT_DELIVER;

	if (k->sessions >= most || (accepts && k->accepts >= most - most / 4))
		return -EMFILE;
	i = k->vacant_n > 0 ? k->vacant[--k->vacant_n] : k->slots_used++;
	CHECK(i < KEEPER_SESSIONS_MAX);
	k->slots[i] = s;
	k->users[i] = s->counts ? user_hash(s) : 0;
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
	k->users[s->slot] = 0;
	k->vacant[k->vacant_n++] = s->slot;
	keeper_left(k, s->place);
	k->sessions--;
	k->accepts -= s->rights & RIGHT_DELIVER ? 1 : 0;
	if (s->drop)
		s->drop->sessions--;
	if (k->sessions == 0) {
		k->idle_since_ms = clock_ms();
		keeper_idle_look(k);
	}
	keeper_out_done(s);
	keeper_handed_drop(s);
	fd_close(&s->fd);
	free(s->marks.octets);
	free(s->user);
	free(s);
}

void
keeper_uncount(struct keeper *k, struct session *s)
{
	if (!s->counts)
		return;
	mutex_lock(&k->lock);
	k->users[s->slot] = 0;
	s->counts = false;
	mutex_unlock(&k->lock);
}

uint32_t
keeper_session_others(const struct keeper *k, const struct session *s)
{
	uint64_t hash = user_hash(s);
	uint32_t n = 0;

	/* Thousands are looked at for each login: in a row of their own. */
	for (uint32_t i = 0; i < k->slots_used; i++) {
		if (k->users[i] != hash)
			continue;
		const struct session *o = k->slots[i];
		if (o != s && o != s->drop->current && strcmp(o->user, s->user) == 0)
			n++;
	}
	return n;
}
