/* The table of sessions that restante-control reads (ipc/who.h): memory, no calls. */
#include "front/conn.h"

#include "base/check.h"
#include "ipc/who.h"
#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int
who_open(struct who_table *w, int fd)
{
	struct stat st;

	if (w->map)
		return -EEXIST;
	/* A table that could be cut short would kill us (SIGBUS). */
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0)
		return -EINVAL;
	uint64_t rows = (uint64_t)st.st_size / WHO_ROW;
	if (rows < 1 || rows > FRONT_SESSIONS_MAX)
		return -EINVAL;
	uint32_t *vacant = calloc(rows, sizeof(uint32_t));
	if (!vacant)
		return -ENOMEM;
	void *map = mmap(NULL, rows * WHO_ROW, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		int err = -errno;
		free(vacant);
		return err;
	}
	*w = (struct who_table){.map = map, .rows = (uint32_t)rows, .vacant = vacant};
	while (w->vacant_n < w->rows) {
		vacant[w->vacant_n] = w->rows - 1 - w->vacant_n;
		w->vacant_n++;
	}
	return 0;
}

/* Odd while the row is being written; a reader sees the writes in between or not at all.
 */
static void
begin(struct who_row *r)
{
	uint32_t now = atomic_load_explicit(&r->sequence, memory_order_relaxed);

	atomic_store_explicit(&r->sequence, now + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void
end(struct who_row *r)
{
	uint32_t now = atomic_load_explicit(&r->sequence, memory_order_relaxed);

	atomic_store_explicit(&r->sequence, now + 1, memory_order_release);
}

static void
put_counts(const struct conn *c, struct who_row *r)
{
	const struct session_counts *n = session_counts(&c->session);

	r->octets = n->octets;
	r->retrieved = n->retrieved;
	r->marked = session_marked(&c->session);
}

void
who_claim(struct conn *c)
{
	struct who_table *w = &c->front->who;

	CHECK(c->who == 0);
	if (w->vacant_n == 0)
		return; /* served all the same, only not shown */
	uint32_t row = w->vacant[--w->vacant_n];
	CHECK(row < w->rows);
	struct who_row *r = &w->map[row];
	c->who = row + 1;
	begin(r);
	r->used = 1;
	r->mechanism = c->mechanism;
	r->tls = c->stream.ssl != NULL;
	r->session = c->number;
	r->since_s = clock_unix_s();
	r->messages = c->check.snapshot.count;
	r->listener = c->rules->listener;
	memcpy(r->address, c->address, sizeof(r->address));
	r->port = c->port;
	r->user_n = (uint8_t)(c->user_n < WHO_USER_MAX ? c->user_n : WHO_USER_MAX);
	if (c->user)
		memcpy(r->user, c->user, r->user_n);
	put_counts(c, r);
	end(r);
}

void
who_update(struct conn *c)
{
	if (c->who == 0)
		return;
	struct who_row *r = &c->front->who.map[c->who - 1];
	begin(r);
	put_counts(c, r);
	end(r);
}

void
who_leave(struct conn *c)
{
	struct who_table *w = &c->front->who;

	if (c->who == 0)
		return;
	struct who_row *r = &w->map[c->who - 1];
	uint32_t sequence = atomic_load_explicit(&r->sequence, memory_order_relaxed);
	begin(r);
	memset((uint8_t *)r + sizeof(sequence), 0, sizeof(*r) - sizeof(sequence));
	end(r);
	CHECK(w->vacant_n < w->rows);
	w->vacant[w->vacant_n++] = c->who - 1;
	c->who = 0;
}
