/* Rows of a table by inode: all, or those that a few entries may be. */
#include "store/maildir_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define LATE_BITS 4096U /* inodes of entries off the walk */
#define AHEAD	  16	/* rows whose slots are fetched while others are put */

uint64_t
maildir_tag(const char *name, size_t n, unsigned dir, uint64_t ino)
{
	return XXH3_64bits_withSeed(name, n, ino + ((uint64_t)dir << 56));
}

static void
inodes_put(const struct maildir_table *t, struct maildir_inodes *h, uint32_t i)
{
	const struct maildir_row *r = &t->rows[i];
	uint32_t at = maildir_hash_u64(r->ino) & h->mask;

	while (h->slots[at].row != 0)
		at = (at + 1) & h->mask;
	h->slots[at] = (struct maildir_inode_slot){
		maildir_tag(maildir_row_name(t, r), r->name_n, r->dir, r->ino),
		(uint32_t)r->ino, i + 1};
}

int
maildir_inodes_make(const struct maildir_table *t, struct maildir_inodes *ret)
{
	struct maildir_inodes h = {
		.mask = maildir_hash_mask(t->pub.count), .whole = true};
	size_t octets = ((size_t)h.mask + 1) * sizeof(*h.slots);

	h.slots = maildir_room(octets);
	*ret = (struct maildir_inodes){.slots = NULL};
	if (!h.slots)
		return -ENOMEM;
	memset(h.slots, 0, octets);
	for (uint32_t i = 0; i < t->pub.count; i++) {
		const struct maildir_row *r = &t->rows[i];
		if (i + AHEAD < t->pub.count)
			__builtin_prefetch(
				&h.slots[maildir_hash_u64(r[AHEAD].ino) & h.mask], 1);
		if (!(r->flags & ROW_REMOVED))
			inodes_put(t, &h, i);
	}
	*ret = h;
	return 0;
}

int
maildir_inodes_make_few(struct maildir_scan *scan)
{
	const struct maildir_table *t = scan->known;
	struct maildir_inodes *ret = &scan->inodes;
	uint64_t wanted[LATE_BITS / 64] = {0};
	uint32_t n = 0;

	*ret = (struct maildir_inodes){.slots = NULL};
	if (scan->n > LATE_BITS / 8)
		return maildir_inodes_make(t, ret);
	for (size_t i = 0; i < scan->n; i++) {
		uint32_t bit = maildir_hash_u64(scan->entries[i].ino) % LATE_BITS;
		wanted[bit / 64] |= UINT64_C(1) << bit % 64;
	}
	for (int pass = 0; pass < 2; pass++) {
		if (pass > 0) {
			ret->mask = maildir_hash_mask(n);
			ret->slots = calloc((size_t)ret->mask + 1, sizeof(*ret->slots));
			if (!ret->slots)
				return -ENOMEM;
		}
		for (uint32_t i = 0; i < t->pub.count; i++) {
			const struct maildir_row *r = &t->rows[i];
			uint32_t bit = maildir_hash_u64(r->ino) % LATE_BITS;
			if (!(wanted[bit / 64] >> bit % 64 & 1) ||
				(r->flags & ROW_REMOVED))
				continue;
			if (pass == 0)
				n++;
			else
				inodes_put(t, ret, i);
		}
	}
	return 0;
}

bool
maildir_inodes_next(const struct maildir_table *t, const struct maildir_inodes *h,
	uint64_t ino, int64_t *slot, uint32_t *ret_idx)
{
	uint32_t at = *slot < 0 ? maildir_hash_u64(ino) : (uint32_t)*slot + 1;

	if (!h->slots)
		return false;
	for (;; at++) {
		at &= h->mask;
		const struct maildir_inode_slot *p = &h->slots[at];
		if (p->row == 0)
			return false;
		if (p->ino != (uint32_t)ino || t->rows[p->row - 1].ino != ino)
			continue;
		*slot = at;
		*ret_idx = p->row - 1;
		return true;
	}
}

uint32_t
maildir_inodes_row(const struct maildir_inodes *h, uint64_t tag, uint64_t ino)
{
	for (uint32_t at = maildir_hash_u64(ino);; at++) {
		const struct maildir_inode_slot *p = &h->slots[at & h->mask];
		if (p->row == 0)
			return 0;
		if (p->tag == tag && p->ino == (uint32_t)ino)
			return p->row;
	}
}
