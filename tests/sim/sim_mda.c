/*
 * Another program's delivery agent on the same machine, right into new/: tmp, sync, link,
 * sync; and it may be killed between any two of these. A keeper that was killed may have
 * made the directories and not synced them, so what is above is synced as well.
 */
#include "sim_actor.h"
#include "sim_disk.h"
#include "sim_ledger.h"

#include <stdio.h>
#include <string.h>

struct delivery {
	struct letter *letter;
	struct inode *file, *tmp, *to, *maildir, *home;
	int drop, step;
	uint32_t crashes;
	char name[64];
};

static void step(void *arg);

static void
write_all(struct delivery *d)
{
	bool crlf = k_chance(200);

	d->file = disk_make(d->tmp, d->name, S_IFREG | 0600);
	for (size_t i = 0; i < d->letter->n; i++)
		if (crlf || d->letter->octets[i] != '\r')
			disk_append(d->file, d->letter->octets + i, 1);
}

static void
begin(void *arg)
{
	static uint32_t made;
	struct delivery *d = k_new(sizeof(*d));
	char path[64];

	(void)arg;
	if (k_world.calm)
		return;
	k_after(K_S + k_below(10 * K_S), begin, NULL);
	d->drop = (int)k_below(DROPS);
	d->crashes = k_world.crashes;
	(void)snprintf(path, sizeof(path), "/mail/u%d/Maildir/new", d->drop);
	d->to = k_disk_walk(NULL, path);
	(void)snprintf(path, sizeof(path), "/mail/u%d/Maildir/tmp", d->drop);
	d->tmp = k_disk_walk(NULL, path);
	(void)snprintf(path, sizeof(path), "/mail/u%d/Maildir", d->drop);
	d->maildir = k_disk_walk(NULL, path);
	(void)snprintf(path, sizeof(path), "/mail/u%d", d->drop);
	d->home = k_disk_walk(NULL, path);
	if (!d->to || !d->tmp || !d->maildir || !d->home)
		return;
	d->letter = ledger_new();
	(void)snprintf(d->name, sizeof(d->name), "%llu.M%uP7Q%u.mda",
		(unsigned long long)(K_EPOCH_S + k_world.now_ns / K_S),
		(unsigned)(k_world.now_ns / 1000 % 1000000), ++made);
	k_after(1, step, d);
}

static void
step(void *arg)
{
	struct delivery *d = arg;

	if (d->crashes != k_world.crashes || (!k_world.calm && k_chance(20)))
		return;
	switch (d->step++) {
	case 0: write_all(d); break;
	case 1: disk_sync(d->file); break;
	case 2:
		ledger_tried(d->letter, d->drop);
		(void)disk_link(d->to, d->name, d->file);
		break;
	case 3:
		disk_sync(d->to);
		disk_sync(d->maildir);
		disk_sync(d->home);
		break;
	case 4:
		ledger_answered(d->letter, d->drop, true);
		(void)disk_unlink(d->tmp, d->name);
		return;
	default: return;
	}
	k_after(k_below(10 * K_MS), step, d);
}

void
mda_begin(void)
{
	k_after(k_below(5 * K_S), begin, NULL);
}
