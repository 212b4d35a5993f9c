/*
 * The disk. What is seen is what was written; what survives a loss of power is what was
 * synced, and of the rest what the seed leaves: of a file that was not synced its octets
 * before, or a part of them; of a directory the first so many of its changes since.
 */
#include "sim_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICK_NS (4 * K_MS) /* file times move on in steps */
#define SECTOR	512

enum change_kind { CHANGE_LINK, CHANGE_UNLINK, CHANGE_RENAME };

struct change {
	struct change *next;
	enum change_kind kind;
	struct inode *dir, *to, *inode;
	bool is_safe;
	uint64_t at_ns;
	char *name, *as;
};

static struct inode *root;
static uint64_t numbers;
static struct change *first_change, **last_change;

uint64_t
disk_time(void)
{
	uint64_t now = K_EPOCH_S * K_S + k_world.now_ns;

	return now - now % TICK_NS;
}

static struct inode *
inode_new(mode_t mode)
{
	struct inode *i = k_new(sizeof(*i));

	i->number = ++numbers;
	i->dirty_from = SIZE_MAX;
	i->path = "";
	i->mode = mode;
	i->mtime_ns = i->ctime_ns = disk_time();
	return i;
}

void
k_disk_begin(void)
{
	root = inode_new(S_IFDIR | 0755);
	root->links = 2;
	root->parent = root;
	last_change = &first_change;
}

struct inode *
disk_root(void)
{
	return root;
}

/* ---- entries --------------------------------------------------------------------------
 */

static struct entry **
place_of(struct entry **list, const char *name)
{
	while (*list && strcmp((*list)->name, name) != 0)
		list = &(*list)->next;
	return list;
}

static void
entry_put(struct entry **list, const char *name, struct inode *i)
{
	struct entry **at = place_of(list, name);

	if (!*at) {
		*at = k_new(sizeof(**at) + strlen(name) + 1);
		memcpy((*at)->name, name, strlen(name) + 1);
	}
	(*at)->inode = i;
}

static void
entry_drop(struct entry **list, const char *name)
{
	struct entry **at = place_of(list, name);

	if (*at)
		*at = (*at)->next;
}

struct inode *
disk_find(struct inode *dir, const char *name)
{
	if (strcmp(name, ".") == 0 || name[0] == '\0')
		return dir;
	if (strcmp(name, "..") == 0)
		return dir->parent;
	struct entry **at = place_of(&dir->entries, name);
	return *at ? (*at)->inode : NULL;
}

struct inode *
disk_find_safe(struct inode *dir, const char *name)
{
	struct entry **at = place_of(&dir->safe_entries, name);
	struct inode *i = *at ? (*at)->inode : NULL;

	/* What is safe, but not yet at its place. */
	for (struct change *c = first_change; c; c = c->next) {
		if (!c->is_safe)
			continue;
		if (c->kind == CHANGE_LINK && c->dir == dir && strcmp(c->name, name) == 0)
			i = c->inode;
		if (c->kind != CHANGE_LINK && c->dir == dir && strcmp(c->name, name) == 0)
			i = NULL;
		if (c->kind == CHANGE_RENAME && c->to == dir && strcmp(c->as, name) == 0)
			i = c->inode;
	}
	return i;
}

static void
apply_safe(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_LINK: entry_put(&c->dir->safe_entries, c->name, c->inode); break;
	case CHANGE_UNLINK: entry_drop(&c->dir->safe_entries, c->name); break;
	case CHANGE_RENAME:
		entry_drop(&c->dir->safe_entries, c->name);
		entry_put(&c->to->safe_entries, c->as, c->inode);
		break;
	}
}

static void
fold(void)
{
	while (first_change && first_change->is_safe) {
		apply_safe(first_change);
		first_change = first_change->next;
	}
	if (!first_change)
		last_change = &first_change;
}

static char *
copy_of(const char *text)
{
	size_t n = strlen(text) + 1;

	return memcpy(k_new(n), text, n);
}

static void
change(enum change_kind kind, struct inode *dir, const char *name, struct inode *i,
	struct inode *to, const char *as)
{
	struct change *c = k_new(sizeof(*c));

	*c = (struct change){.kind = kind, .dir = dir, .inode = i, .to = to};
	c->at_ns = dir->mtime_ns = dir->ctime_ns = disk_time();
	c->name = copy_of(name);
	if (as) {
		c->as = copy_of(as);
		to->mtime_ns = to->ctime_ns = c->at_ns;
	}
	i->ctime_ns = c->at_ns;
	*last_change = c;
	last_change = &c->next;
}

struct inode *
disk_make(struct inode *dir, const char *name, mode_t mode)
{
	struct inode *i = inode_new(mode);

	i->parent = dir;
	i->links = S_ISDIR(mode) ? 2 : 1;
	i->synced = S_ISDIR(mode);
	size_t n = strlen(dir->path), m = strlen(name);
	char *path = k_new(n + m + 2);
	memcpy(path, dir->path, n);
	path[n] = '/';
	memcpy(path + n + 1, name, m + 1);
	i->path = path;
	entry_put(&dir->entries, name, i);
	change(CHANGE_LINK, dir, name, i, NULL, NULL);
	return i;
}

int
disk_link(struct inode *dir, const char *name, struct inode *inode)
{
	if (disk_find(dir, name))
		return EEXIST;
	inode->links++;
	entry_put(&dir->entries, name, inode);
	change(CHANGE_LINK, dir, name, inode, NULL, NULL);
	return 0;
}

int
disk_unlink(struct inode *dir, const char *name)
{
	struct inode *i = disk_find(dir, name);

	if (!i)
		return ENOENT;
	i->links = S_ISDIR(i->mode) ? 0 : i->links - 1;
	entry_drop(&dir->entries, name);
	change(CHANGE_UNLINK, dir, name, i, NULL, NULL);
	return 0;
}

int
disk_rename(struct inode *dir, const char *name, struct inode *to, const char *as)
{
	struct inode *i = disk_find(dir, name), *old = disk_find(to, as);

	if (!i)
		return ENOENT;
	if (old == i)
		return 0;
	if (old)
		old->links--;
	entry_drop(&dir->entries, name);
	entry_put(&to->entries, as, i);
	i->parent = to;
	change(CHANGE_RENAME, dir, name, i, to, as);
	return 0;
}

/* ---- what is safe
 * ----------------------------------------------------------------------- */

static void
make_safe(struct inode *i)
{
	size_t to = i->dirty_to < i->n ? i->dirty_to : i->n;

	if (i->n > i->safe_cap) {
		uint8_t *grown = k_new(i->cap > i->n ? i->cap : i->n);
		if (i->safe_n > 0)
			memcpy(grown, i->safe, i->safe_n);
		i->safe = grown;
		i->safe_cap = i->cap > i->n ? i->cap : i->n;
	}
	if (i->dirty_from < to)
		memcpy(i->safe + i->dirty_from, i->p + i->dirty_from, to - i->dirty_from);
	i->safe_n = i->n;
	i->synced = true;
	i->dirty_from = SIZE_MAX;
	i->dirty_to = 0;
}

/* It differs there from what is safe. */
void
disk_dirty(struct inode *i, size_t from, size_t to)
{
	i->dirty_from = from < i->dirty_from ? from : i->dirty_from;
	i->dirty_to = to > i->dirty_to ? to : i->dirty_to;
	i->synced = false;
}

void
disk_sync(struct inode *i)
{
	if (!S_ISDIR(i->mode)) {
		if (!i->synced)
			make_safe(i);
		return;
	}
	for (struct change *c = first_change; c; c = c->next)
		if (c->dir == i || c->to == i)
			c->is_safe = true;
	fold();
}

void
disk_sync_all(struct inode *dir)
{
	disk_sync(dir);
	for (struct entry *e = dir->entries; e; e = e->next) {
		if (S_ISDIR(e->inode->mode))
			disk_sync_all(e->inode);
		else
			disk_sync(e->inode);
	}
}

struct dropped {
	struct inode *dirs[256];
	size_t n;
};

static bool
was_dropped(const struct dropped *d, const struct inode *dir)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->dirs[i] == dir)
			return true;
	return false;
}

static void
drop_dir(struct dropped *d, struct inode *dir)
{
	if (dir && !was_dropped(d, dir) && d->n < 256)
		d->dirs[d->n++] = dir;
}

static void
copy_entries(struct inode *dir)
{
	dir->entries = NULL;
	for (struct entry *e = dir->safe_entries; e; e = e->next)
		entry_put(&dir->entries, e->name, e->inode);
}

/* Of each sector what was synced, or what was written since; of what lies behind, zeros.
 */
static void
file_tear(struct inode *i)
{
	uint8_t *torn = k_new(i->n);

	for (size_t at = 0; at < i->n; at += SECTOR) {
		size_t n = i->n - at < SECTOR ? i->n - at : SECTOR;
		size_t old = i->safe_n > at ? i->safe_n - at : 0;
		if (k_chance(500))
			memcpy(torn + at, i->p + at, n);
		else if (old > 0)
			memcpy(torn + at, i->safe + at, old < n ? old : n);
	}
	i->p = torn;
	i->cap = i->n;
}

static void
file_crash(struct inode *i)
{
	uint64_t way = k_below(3);

	if (i->synced)
		return;
	if (way == 0 || i->n == 0) { /* as before */
		i->n = i->safe_n;
		i->p = k_new(i->n);
		if (i->n > 0)
			memcpy(i->p, i->safe, i->n);
		i->cap = i->n;
	} else if (way == 1) { /* a part */
		if (i->n > i->safe_n)
			i->n = i->safe_n + k_below(i->n - i->safe_n);
		file_tear(i);
	}
	disk_dirty(i, 0, i->n);
	make_safe(i);
}

static void
tree_crash(struct inode *dir)
{
	copy_entries(dir);
	dir->locked = dir->flocked = NULL;
	dir->shared_n = 0;
	for (struct entry *e = dir->entries; e; e = e->next) {
		if (S_ISDIR(e->inode->mode))
			tree_crash(e->inode);
		else
			file_crash(e->inode);
	}
}

static void
count_links(struct inode *dir, bool clear)
{
	for (struct entry *e = dir->entries; e; e = e->next) {
		if (S_ISDIR(e->inode->mode))
			count_links(e->inode, clear);
		else
			e->inode->links = clear ? 0 : e->inode->links + 1;
	}
}

void
k_disk_crash(void)
{
	struct dropped d = {.n = 0};
	uint32_t keeps = k_chance(300) ? 0 : k_chance(300) ? 1000 : 500;
	size_t lost = 0;

	for (struct change *c = first_change; c; c = c->next) {
		bool may = !was_dropped(&d, c->dir) && !was_dropped(&d, c->to);
		if (c->is_safe || (may && k_chance(keeps))) {
			apply_safe(c);
			continue;
		}
		lost++;
		drop_dir(&d, c->dir);
		drop_dir(&d, c->to);
		c->dir->mtime_ns = c->dir->ctime_ns = c->at_ns;
	}
	first_change = NULL;
	last_change = &first_change;
	tree_crash(root);
	count_links(root, true);
	count_links(root, false);
	k_world.crashes++;
	k_world.harmed = true;
	k_trace("power fails, %zu changes of directories are lost", lost);
}
