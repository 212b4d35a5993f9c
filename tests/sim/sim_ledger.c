#include "sim_ledger.h"
#include "sim.h"
#include "sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct letter *letters;
static uint32_t tags;

/* ---- letters
 * ---------------------------------------------------------------------------- */

static size_t
body_line(char *line, uint64_t kind)
{
	size_t n = k_below(70);

	if (kind == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		line[i] = (char)('!' + k_below(90));
	if (kind == 1 && n > 0)
		line[0] = '.';
	if (kind == 2)
		n = 1, line[0] = '.';
	return n;
}

struct letter *
ledger_new(void)
{
	struct letter *l = k_new(sizeof(*l));
	size_t lines = k_chance(30) ? k_below(3000) : k_below(12);
	char line[128];

	l->tag = ++tags;
	l->octets = k_new(200 + lines * 80);
	l->n = (size_t)snprintf((char *)l->octets, 200,
		"From: a@example\r\nX-Tag: %08u\r\nSubject: %08u\r\n\r\n", l->tag,
		l->tag);
	for (size_t i = 0; i < lines; i++) {
		size_t n = body_line(line, k_below(8));
		memcpy(l->octets + l->n, line, n);
		memcpy(l->octets + l->n + n, "\r\n", 2);
		l->n += n + 2;
	}
	l->next = letters;
	letters = l;
	return l;
}

struct letter *
ledger_first(void)
{
	return letters;
}

struct letter *
ledger_find(uint32_t tag)
{
	for (struct letter *l = letters; l; l = l->next)
		if (l->tag == tag)
			return l;
	return NULL;
}

uint32_t
ledger_tag(const uint8_t *p, size_t n)
{
	const uint8_t *at = n > 0 ? memmem(p, n, "X-Tag: ", 7) : NULL;
	uint32_t tag = 0;

	if (!at || (size_t)(at - p) + 15 > n)
		return 0;
	for (int i = 7; i < 15; i++)
		tag = tag * 10 + (uint32_t)(at[i] - '0');
	return tag;
}

int
ledger_drop_of(const char *path)
{
	const char *at = strstr(path, "/u");
	char c = at ? at[2] : path[0] == 'u' ? path[1] : '-';

	return c >= '0' && c < '0' + DROPS ? c - '0' : -1;
}

/* ---- what may go, and what is gone
 * ---------------------------------------------------------- */

static bool
ends_in(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);

	return n >= m && strcmp(path + n - m, end) == 0;
}

static const char *const parts[] = {"/home/Mail/new", "/home/Mail/cur"};

static bool
has_tag(const struct inode *i, uint32_t tag)
{
	return i && ledger_tag(i->p, i->n) == tag;
}

/* The retriever has a message deleted once its own copy survives a loss of power. */
static void
must_be_safe(const struct letter *l)
{
	for (size_t k = 0; k < 2; k++) {
		struct inode *dir = k_disk_walk(NULL, parts[k]);
		for (struct entry *e = dir ? dir->entries : NULL; e; e = e->next)
			if (has_tag(e->inode, l->tag) && e->inode->synced &&
				disk_find_safe(dir, e->name) == e->inode)
				return;
	}
	k_violation("message %u is deleted for the retriever, whose copy is not safe",
		l->tag);
}

/* How often it is there: on the server, and with the retriever. */
static uint32_t
times(const struct letter *l, const char *path)
{
	struct inode *dir = k_disk_walk(NULL, path);
	uint32_t n = 0;

	for (struct entry *e = dir ? dir->entries : NULL; e; e = e->next)
		n += has_tag(e->inode, l->tag);
	return n;
}

void
ledger_collected(void)
{
	for (struct letter *l = letters; l; l = l->next) {
		enum place_state state = l->at[DROPS_SHARED].state;
		uint32_t here = times(l, parts[0]) + times(l, parts[1]);
		uint32_t there = times(l, "/mail/u3/Maildir/new") +
			times(l, "/mail/u3/Maildir/cur");
		if (there > 0)
			k_violation("message %u was not collected", l->tag);
		if (here > 1)
			k_violation("message %u was collected %u times", l->tag, here);
		if (here == 0 && state == PLACE_SURE)
			k_violation(
				"message %u is lost on its way to the retriever", l->tag);
		if (here > 0 && state == PLACE_NONE)
			k_violation("message %u was collected from nowhere", l->tag);
	}
}

void
ledger_unlinked(const char *dir, const uint8_t *p, size_t n)
{
	int drop = ledger_drop_of(dir);
	uint32_t tag = ledger_tag(p, n);

	if (drop < 0 || tag == 0 || (!ends_in(dir, "/new") && !ends_in(dir, "/cur")))
		return;
	struct letter *l = ledger_find(tag);
	if (!l)
		k_violation("a message %u that nobody wrote lies in %s", tag, dir);
	/* One without an answer may be taken out by the keeper itself. */
	if (l->at[drop].state != PLACE_SURE)
		return;
	if (drop == DROPS_SHARED)
		must_be_safe(l);
	else if (!l->at[drop].marked)
		k_violation("message %u is removed from u%d, which nobody who said QUIT "
			    "has marked",
			tag, drop);
}

void
ledger_marked(uint32_t tag, int drop)
{
	struct letter *l = ledger_find(tag);

	k_trace("message %u of u%d is marked, and QUIT is said", tag, drop);
	if (l)
		l->at[drop].marked = true;
}

static void
must_lack(int drop, uint32_t tag, const char *sub)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/mail/u%d/Maildir/%s", drop, sub);
	struct inode *dir = k_disk_walk(NULL, path);
	if (!dir)
		return;
	for (struct entry *e = dir->entries; e; e = e->next)
		if (ledger_tag(e->inode->p, e->inode->n) == tag)
			k_violation("message %u of u%d is there after +OK to QUIT", tag,
				drop);
	for (struct entry *e = dir->safe_entries; e; e = e->next) {
		const struct inode *i = disk_find_safe(dir, e->name);
		if (i && ledger_tag(i->p, i->n) == tag)
			k_violation("message %u of u%d would be there again if the power "
				    "failed now, after +OK to QUIT",
				tag, drop);
	}
}

void
ledger_gone(uint32_t tag, int drop)
{
	struct letter *l = ledger_find(tag);

	k_trace("message %u of u%d is gone", tag, drop);
	must_lack(drop, tag, "new");
	must_lack(drop, tag, "cur");
	if (!l)
		return;
	l->at[drop].gone = true;
	l->at[drop].gone_ns = k_world.now_ns;
}

/* ---- what is read
 * ---------------------------------------------------------------------------- */

struct letter *
ledger_by_uidl(int drop, const char *uidl)
{
	for (struct letter *l = letters; l; l = l->next)
		if (strcmp(l->at[drop].uidl, uidl) == 0)
			return l;
	return NULL;
}

void
ledger_read(int drop, const char *uidl, const uint8_t *p, size_t n, uint64_t since_ns)
{
	uint32_t tag = ledger_tag(p, n);
	struct letter *l = ledger_find(tag);

	if (!l)
		k_violation("u%d shows a message %u that nobody wrote", drop, tag);
	struct place *at = &l->at[drop];
	if (n < l->n || memcmp(p + n - l->n, l->octets, l->n) != 0)
		k_violation("message %u of u%d has other octets than it was given", tag,
			drop);
	if (at->state == PLACE_NONE)
		k_violation("message %u was never handed in for u%d", tag, drop);
	if (at->gone && at->gone_ns < since_ns)
		k_violation("message %u of u%d is back after +OK to QUIT", tag, drop);
	if (at->state == PLACE_REFUSED && !k_world.harmed)
		k_violation("message %u of u%d was refused, and is there", tag, drop);
	const struct letter *other = ledger_by_uidl(drop, uidl);
	if (other && other != l)
		k_violation("UIDL %s of u%d was that of message %u and is now of %u",
			uidl, drop, other->tag, tag);
	if (at->uidl[0] != '\0' && strcmp(at->uidl, uidl) != 0)
		k_violation("message %u of u%d had UIDL %s and has %s", tag, drop,
			at->uidl, uidl);
	(void)snprintf(at->uidl, sizeof(at->uidl), "%s", uidl);
	at->seen++;
}

static bool
is_in(const char *uidl, char (*uidls)[80], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(uidls[i], uidl) == 0)
			return true;
	return false;
}

void
ledger_listed(int drop, char (*uidls)[80], size_t n, uint64_t since_ns)
{
	size_t must = 0;

	for (struct letter *l = letters; l; l = l->next) {
		const struct place *at = &l->at[drop];
		if (at->gone && at->gone_ns < since_ns && at->uidl[0] &&
			is_in(at->uidl, uidls, n))
			k_violation("message %u of u%d is listed after +OK to QUIT",
				l->tag, drop);
		if (at->state != PLACE_SURE || at->marked || at->sure_ns >= since_ns)
			continue;
		must++;
		if (at->uidl[0] && !is_in(at->uidl, uidls, n))
			k_violation("message %u of u%d (%s) is not listed", l->tag, drop,
				at->uidl);
	}
	if (n < must)
		k_violation("u%d lists %zu messages, and %zu are there for sure", drop, n,
			must);
}

void
ledger_tried(struct letter *l, int drop)
{
	k_trace("message %u of %zu octets is handed in for u%d", l->tag, l->n, drop);
	l->at[drop].state = PLACE_TRIED;
}

void
ledger_answered(struct letter *l, int drop, bool yes)
{
	k_trace("message %u for u%d: %s", l->tag, drop, yes ? "yes" : "no");
	l->at[drop].state = yes ? PLACE_SURE : PLACE_REFUSED;
	l->at[drop].sure_ns = k_world.now_ns;
}

void
ledger_open(int drop)
{
	for (struct letter *l = letters; l; l = l->next)
		l->at[drop].seen = 0;
}

void
ledger_close(int drop)
{
	for (struct letter *l = letters; l; l = l->next) {
		const struct place *at = &l->at[drop];
		if (at->seen > 1)
			k_violation("message %u of u%d is there %u times", l->tag, drop,
				at->seen);
		if (at->state == PLACE_SURE && !at->marked && at->seen == 0)
			k_violation("message %u of u%d is lost", l->tag, drop);
	}
}

void
ledger_count(uint32_t *ret_sure, uint32_t *ret_gone, uint32_t *ret_letters)
{
	*ret_sure = *ret_gone = 0;
	*ret_letters = tags;
	for (struct letter *l = letters; l; l = l->next)
		for (int i = 0; i < DROPS; i++) {
			*ret_sure += l->at[i].state == PLACE_SURE;
			*ret_gone += l->at[i].gone;
		}
}
