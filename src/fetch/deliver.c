/*
 * The order of rule 7 (letter.h), for a batch. What goes wrong with one letter at one
 * target is told of that letter alone; each target's outcome is a row of its own in the
 * journal, so a letter whose second target failed is not given to the first one again.
 *
 * Spool files are synced only where a Maildir takes them: nothing reads another spool
 * after a crash, its letters are fetched again.
 */
#include "fetch/deliver_parts.h"

#include "base/check.h"
#include "fetch/durable.h"
#include "os/clock.h"
#include "os/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct batch {
	struct deliver *d;
	struct letter *const *letters;
	size_t n;
	char (*names)[LETTER_NAME_MAX]; /* n rows of targets_n */
	uint8_t *fates;			/* enum letter_fate, n rows of targets_n */
	/* For one hand-over. */
	struct letter **chosen;
	char (*chosen_names)[LETTER_NAME_MAX];
	char (*chosen_ids)[TRACE_ID_MAX];
	struct settled *settled;
};

int
deliver_open(const struct fetch_account *a, struct spool *spool, struct state *state,
	int64_t account, struct deliver **ret, char *why, size_t why_n)
{
	struct deliver *d = calloc(1, sizeof(*d));
	int r = 0;

	if (!d) {
		(void)snprintf(why, why_n, "no memory");
		return -ENOMEM;
	}
	*d = (struct deliver){
		.account = a, .spool = spool, .state = state, .row = account};
	/* Nothing is delivered before a replay went well, whether or not one was asked
	 * for. */
	d->must_replay = true;
	d->spool_dir = spool_directory(spool, &d->spool_target);
	for (; r == 0 && d->targets_n < a->targets_n; d->targets_n++) {
		struct delivery_target *t = &d->targets[d->targets_n];
		struct target_context c = {.account = a,
			.spec = &a->targets[d->targets_n],
			.state_dir = spool_state_directory(spool),
			.spool_dir = d->spool_dir,
			.is_spool = (int)d->targets_n == d->spool_target,
			.mark = spool_mark(spool)};

		t->ops = target_ops_of(c.spec->kind);
		r = t->ops->open(&c, &t->target, why, why_n);
	}
	if (r < 0) {
		deliver_close(&d);
		return r;
	}
	*ret = d;
	return 0;
}

void
deliver_close(struct deliver **d)
{
	if (!*d)
		return;
	for (size_t i = 0; i < (*d)->targets_n; i++)
		if ((*d)->targets[i].target)
			(*d)->targets[i].ops->close(&(*d)->targets[i].target);
	free(*d);
	*d = NULL;
}

static bool
wants(const struct letter *l, size_t target)
{
	return l->wanted >> target & 1;
}

static uint8_t *
fate_at(struct batch *b, size_t i, size_t target)
{
	return &b->fates[i * b->d->targets_n + target];
}

/* Which targets lack these letters, and their ids. A letter that fails here is left out.
 */
static void
look_at(struct batch *b)
{
	const struct fetch_account *a = b->d->account;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];

		l->wanted = 0;
		l->fate = LETTER_COMING;
		l->why[0] = 0;
		r = target_trace_id(a, l, l->trace_id);
		if (r == 0 && l->same != 0)
			r = state_same(b->d->state, b->d->row, l, clock_unix_s());
		if (r < 0)
			target_failed(l, LETTER_TEMPORARY, "state", "cannot be asked", r);
		else
			b->chosen[n++] = l;
	}
	r = n > 0 ? state_want(b->d->state, b->d->row, b->chosen, n, a) : 0;
	for (size_t i = 0; r < 0 && i < n; i++)
		target_failed(
			b->chosen[i], LETTER_TEMPORARY, "state", "cannot be asked", r);
}

/*
 * The journal knows messages by their uid, and looks at header and digest only when it
 * takes a letter in: if all targets had the uid and one lacks it now, the server gave the
 * uid to another message. That one is never taken for delivered (rule 7); the next fetch
 * delivers it.
 */
static void
confirm_known(struct batch *b, struct letter *l)
{
	int r;

	if (l->fate != LETTER_COMING || l->wanted != 0)
		return;
	r = state_want(b->d->state, b->d->row, &l, 1, b->d->account);
	if (r < 0) {
		target_failed(l, LETTER_TEMPORARY, "state", "cannot be asked", r);
		l->wanted = 0;
		return;
	}
	l->fate = LETTER_KNOWN;
	if (l->wanted != 0) {
		target_failed(l, LETTER_TEMPORARY, "state",
			"the server gave this UIDL to another message; it is fetched "
			"again",
			EAGAIN);
		l->wanted = 0;
	}
}

static bool
goes_to_a_maildir(const struct batch *b, const struct letter *l)
{
	for (size_t t = 0; t < b->d->targets_n; t++)
		if (wants(l, t) && b->d->targets[t].ops->kind == FETCH_MAILDIR)
			return true;
	return false;
}

static bool
has_a_maildir(const struct deliver *d)
{
	for (size_t t = 0; t < d->targets_n; t++)
		if (d->targets[t].ops->kind == FETCH_MAILDIR)
			return true;
	return false;
}

/* tmp/ and the files in it at a time: neither needs the other. */
static void
sync_files(struct deliver *d, struct together *together, struct letter *const *letters,
	size_t n, struct to_sync *files)
{
	bool above = d->spool_target >= 0;

	for (size_t i = 0; i < n; i++)
		files[i].fd = letters[i]->fd;
	if (above)
		files[n].fd = d->spool_dir;
	together_sync(together, files, n + above);
	for (size_t i = 0; i < n; i++) {
		letters[i]->sync_error = files[i].result;
		letters[i]->above_error = above ? files[n].result : 0;
	}
}

void
deliver_sync(struct deliver *d, struct together *together, struct letter *const *letters,
	size_t n)
{
	AUTO_FREE struct to_sync *files = NULL;

	if (n == 0 || !has_a_maildir(d))
		return;
	files = calloc(n + 1, sizeof(*files));
	for (size_t i = 0; i < n; i++) {
		CHECK(!letters[i]->was_synced);
		letters[i]->was_synced = true;
		letters[i]->sync_error = -ENOMEM;
		letters[i]->above_error = 0;
	}
	if (files)
		sync_files(d, together, letters, n, files);
}

/* Step 2, where it was not taken before. After a failed sync the file is of no use to
 * anybody (rule 4). */
static void
sync_spool(struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];

		if (l->fate == LETTER_COMING && !l->was_synced && goes_to_a_maildir(b, l))
			b->chosen[n++] = l;
	}
	deliver_sync(b->d, NULL, b->chosen, n);
	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];

		if (l->fate != LETTER_COMING || !goes_to_a_maildir(b, l))
			continue;
		if (l->sync_error < 0)
			target_failed(l, LETTER_TEMPORARY, "spool",
				"the message cannot be synced", l->sync_error);
		else if (l->above_error < 0)
			target_failed(l, LETTER_TEMPORARY, "spool",
				"tmp/ cannot be synced", l->above_error);
	}
}

/* One target's preparation; who fails there keeps the target wanted, so that the journal
 * has a row for it. */
static void
prepare_target(struct batch *b, size_t t)
{
	const struct delivery_target *to = &b->d->targets[t];
	const char *where = b->d->account->targets[t].where;
	int r;

	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];

		if (l->fate != LETTER_COMING || !wants(l, t))
			continue;
		r = to->ops->prepare(to->target, l, l->trace_id, l->names[t]);
		if (r < 0) {
			target_failed(l, LETTER_COMING, where, "cannot be prepared", r);
			*fate_at(b, i, t) = LETTER_TEMPORARY;
			l->names[t][0] = 0;
		}
	}
	r = to->ops->prepared ? to->ops->prepared(to->target) : 0;
	for (size_t i = 0; r < 0 && i < b->n; i++) {
		struct letter *l = b->letters[i];

		if (l->fate != LETTER_COMING || !wants(l, t))
			continue;
		if (to->ops->drop && *fate_at(b, i, t) == LETTER_COMING)
			to->ops->drop(to->target, l);
		target_failed(l, LETTER_COMING, where, "cannot be synced", r);
		*fate_at(b, i, t) = LETTER_TEMPORARY;
	}
}

static int
intend(struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->letters[i]->fate == LETTER_COMING)
			b->chosen[n++] = b->letters[i];
	return n == 0 ? 0
		      : state_intend(b->d->state, b->d->row, b->chosen, n, b->d->account);
}

/* Steps 4 and 5 for one target. Its fates go to the table; the letters stay COMING. */
static void
hand_over_target(struct batch *b, size_t t)
{
	const struct delivery_target *to = &b->d->targets[t];
	bool silent = b->d->account->trace == FETCH_TRACE_NO;
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];

		if (l->fate != LETTER_COMING || !wants(l, t) ||
			*fate_at(b, i, t) != LETTER_COMING)
			continue;
		b->chosen[n] = l;
		memcpy(b->chosen_names[n], l->names[t], LETTER_NAME_MAX);
		memcpy(b->chosen_ids[n], silent ? "" : l->trace_id,
			silent ? 1 : TRACE_ID_MAX);
		n++;
	}
	if (n == 0)
		return;
	to->ops->hand_over(to->target, b->chosen, b->chosen_names, b->chosen_ids, n);
	int r = to->ops->settle ? to->ops->settle(to->target) : 0;
	for (size_t i = 0, k = 0; k < n; i++) {
		struct letter *l = b->letters[i];

		if (l != b->chosen[k])
			continue;
		k++;
		if (r < 0)
			target_failed(l, LETTER_TEMPORARY,
				b->d->account->targets[t].where, "cannot be synced", r);
		/* A target that says nothing did nothing. */
		*fate_at(b, i, t) =
			(uint8_t)(l->fate == LETTER_COMING ? LETTER_TEMPORARY : l->fate);
		l->fate = LETTER_COMING;
	}
}

/* What is worse wins; what will be tried again counts more than what never will. */
static enum letter_fate
worse(enum letter_fate a, enum letter_fate b)
{
	static const uint8_t rank[] = {
		[LETTER_COMING] = 0,
		[LETTER_KNOWN] = 1,
		[LETTER_DELIVERED] = 2,
		[LETTER_REFUSED] = 3,
		[LETTER_TEMPORARY] = 4,
		[LETTER_UNKNOWN] = 5,
	};
	return rank[a] >= rank[b] ? a : b;
}

/* Step 6. */
static int
settle(struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];
		enum letter_fate all = LETTER_COMING;

		if (l->fate != LETTER_COMING)
			continue;
		for (size_t t = 0; t < b->d->targets_n; t++) {
			enum letter_fate f = *fate_at(b, i, t);

			if (!wants(l, t))
				continue;
			all = worse(all, f);
			b->settled[n++] = (struct settled){
				l, t, f == LETTER_DELIVERED || f == LETTER_KNOWN};
		}
		l->fate = all;
	}
	return n == 0
		? 0
		: state_settle(b->d->state, b->d->row, b->settled, n, clock_unix_s());
}

static void
fail_open(struct batch *b, const char *what, int error)
{
	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];

		for (size_t t = 0; t < b->d->targets_n; t++)
			if (l->fate == LETTER_COMING && wants(l, t) &&
				b->d->targets[t].ops->drop)
				b->d->targets[t].ops->drop(b->d->targets[t].target, l);
		target_failed(l, LETTER_TEMPORARY, "state", what, error);
	}
}

/* Of a refused letter the file stays, the caller puts it aside. */
static void
put_away(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];

		l->names = NULL;
		if (l->fate == LETTER_REFUSED)
			continue;
		/* The spool's own Maildir took the file. */
		if (b->fates && b->d->spool_target >= 0 &&
			*fate_at(b, i, (size_t)b->d->spool_target) == LETTER_DELIVERED)
			l->tmp[0] = 0;
		spool_abort(b->d->spool, l);
	}
}

static int
commit(struct batch *b)
{
	char why[LETTER_WHY_MAX];
	int r = b->d->must_replay ? deliver_settle_journal(b->d, why, sizeof(why)) : 0;

	if (r < 0) {
		fail_open(b, "what was intended before cannot be settled", r);
		return r;
	}
	look_at(b);
	sync_spool(b);
	for (size_t t = 0; t < b->d->targets_n; t++)
		prepare_target(b, t);
	r = intend(b);
	if (r < 0) {
		/* It may be durable even so. */
		b->d->must_replay = true;
		fail_open(b, "the journal cannot be written", r);
		return r;
	}
	for (size_t i = 0; i < b->n; i++)
		confirm_known(b, b->letters[i]);
	for (size_t t = 0; t < b->d->targets_n; t++)
		hand_over_target(b, t);
	r = settle(b);
	if (r < 0) {
		b->d->must_replay = true;
		fail_open(b, "the journal cannot be written", r);
	}
	return r;
}

int
deliver_commit(struct deliver *d, struct letter *const *letters, size_t n)
{
	size_t targets = d->targets_n;
	struct batch b = {.d = d, .letters = letters, .n = n};
	int r = -ENOMEM;

	CHECK(targets <= FETCH_TARGETS_MAX);
	if (n == 0)
		return 0;
	b.names = calloc(n * targets + 1, sizeof(*b.names));
	b.fates = calloc(n * targets + 1, 1);
	b.chosen = calloc(n, sizeof(struct letter *));
	b.chosen_names = calloc(n, sizeof(*b.chosen_names));
	b.chosen_ids = calloc(n, sizeof(*b.chosen_ids));
	b.settled = calloc(n * targets + 1, sizeof(*b.settled));
	static_assert(LETTER_COMING == 0, "calloc gives letters that are coming");
	if (b.names && b.fates && b.chosen && b.chosen_names && b.chosen_ids &&
		b.settled) {
		for (size_t i = 0; i < n; i++) {
			letters[i]->names = b.names + i * targets;
			letters[i]->wanted = 0;
		}
		r = commit(&b);
	} else {
		fail_open(&b, "not delivered", r);
	}
	put_away(&b);
	free(b.names);
	free(b.fates);
	free(b.chosen);
	free(b.chosen_names);
	free(b.chosen_ids);
	free(b.settled);
	return r;
}
