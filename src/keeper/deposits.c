/*
 * Mail that comes in, contract 5: each in a session of its own that says DEPOSIT once.
 * What waits for one maildrop at one time is stored together and shares its syncs.
 */
#include "base/check.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sealed.h"
#include "stat/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A file of tmpfs knows no RWF_NOWAIT; but its seals, which nothing else has, tell of it
 * without asking a file system. */
static bool
is_file_in_memory(int fd, uint64_t length)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY || (flags & O_PATH))
		return false;
	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	return st.st_size >= 0 && length <= (uint64_t)st.st_size;
}

/* Threats, rule 14. It is read with pread and counted as it comes: it need not be sealed.
 */
static bool
source_is_sound(int fd, uint64_t length)
{
	uint64_t size;

	if (sealed_check(fd, &size) == 0)
		return length <= size;
	return slice_file_check(fd, 0, length) == 0 || is_file_in_memory(fd, length);
}

static struct handed *
handed_new(const struct msg_deposit *m)
{
	struct handed *h = malloc(sizeof(*h) + m->sender.n + m->recipient.n);

	if (!h)
		return NULL;
	struct buf b = buf_over(h->texts, m->sender.n + m->recipient.n);
	buf_put_view(&b, m->sender);
	buf_put_view(&b, m->recipient);
	h->fd = -1;
	h->length = m->length;
	h->sender = (struct view){h->texts, m->sender.n};
	h->recipient = (struct view){h->texts + m->sender.n, m->recipient.n};
	return h;
}

void
keeper_handed_drop(struct session *s)
{
	if (s->handed)
		fd_close(&s->handed->fd);
	free(s->handed);
	s->handed = NULL;
}

const char *
keeper_take_deposit(struct session *s, struct view payload, struct received *r)
{
	struct drop *d = s->drop;
	struct msg_deposit m;

	CHECK(d->group_n < KEEPER_GROUP_MAX);
	CHECK(!s->handed);
	if (!msg_deposit_get(&m, payload))
		return "malformed";
	if (r->nfds != 1)
		return "no descriptor";
	if (!source_is_sound(r->fds[0], m.length))
		return "a descriptor that is not allowed";
	s->handed = handed_new(&m);
	if (!s->handed)
		return "no memory";
	s->handed->fd = received_take(r, 0);
	s->state = KEEPER_STORING;
	if (d->group_n++ == 0)
		d->group_end = &d->group;
	s->behind = NULL;
	*d->group_end = s;
	d->group_end = &s->behind;
	return NULL;
}

bool
keeper_group_is_due(const struct drop *d, const struct session *next)
{
	if (d->group_n == 0)
		return false;
	/* A login may take long; one more that brings mail does not. */
	return d->group_n == KEEPER_GROUP_MAX || !next || next->state != KEEPER_ACCEPTING;
}

static void
answer(struct session *s, int result)
{
	struct msg_deposited m = {.outcome = keeper_deposit_outcome_of(result)};
	struct buf b = keeper_out_begin(s);

	msg_deposited_put(&m, &b);
	keeper_out_end(s, &b);
	s->state = KEEPER_ENDED;
}

void
keeper_group_store(struct drop *d)
{
	struct store_deposit list[KEEPER_GROUP_MAX];
	uint64_t now_s = clock_unix_s();

	struct session *s;
	uint32_t n = 0;

	for (s = d->group; s; s = s->behind) {
		const struct handed *h = s->handed;
		CHECK(n < KEEPER_GROUP_MAX);
		list[n++] = (struct store_deposit){.fd = h->fd,
			.length = h->length,
			.sender = h->sender,
			.recipient = h->recipient,
			.now_s = now_s,
			.result = -EIO};
	}
	CHECK(n == d->group_n);
	d->ops->deposit(d->store, list, n);
	stat_add(STAT_DEPOSIT_GROUPS, 1);
	keeper_log_notices(d->group);
	n = 0;
	for (s = d->group; s; s = s->behind) {
		int result = list[n++].result;
		if (result < 0) {
			keeper_log_store(s, "deposit", result);
		} else {
			stat_add(STAT_DEPOSITS, 1);
			stat_add(STAT_DEPOSIT_OCTETS, s->handed->length);
		}
		keeper_handed_drop(s);
		answer(s, result);
	}
}
