#include "ctl/sandbox_office.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

/*
 * A keeper reaches a maildrop from a root, which it gets as a descriptor, through
 * directories that its owner may search and that are no links. So a root must not be
 * above a directory that the owner cannot search; what is above the root itself does not
 * matter (a 0700 home of root, say).
 */
static bool
may_search(const struct stat *st, uint32_t uid, uint32_t gid)
{
	if (st->st_uid == uid)
		return st->st_mode & S_IXUSR;
	return st->st_mode & (st->st_gid == gid ? S_IXGRP : S_IXOTH);
}

/* An option's list is separated by blanks and commas, its paths are below /. */
static bool
can_be_listed(const char *path)
{
	return path[0] == '/' && path[1] != '\0' && strlen(path) < 1024 &&
		!strpbrk(path, " \t,\r\n\"");
}

/*
 * Replaces the path by the one above it if that may be a root for the place; a file is
 * none itself.
 */
static bool
lift(struct office_place *p)
{
	struct stat st;
	char *slash = strrchr(p->path, '/');

	/* Neither / nor, through a link, anything but its own directory. */
	if (!slash || slash == p->path || lstat(p->path, &st) != 0 || S_ISLNK(st.st_mode))
		return false;
	*slash = '\0';
	bool fine = stat(p->path, &st) == 0 && may_search(&st, p->uid, p->gid);
	if (!fine)
		*slash = '/';
	return fine;
}

int
office_place_add(struct office *f, const char *maildrop, uint32_t uid, uint32_t gid)
{
	if (f->places_n == f->places_cap) {
		size_t cap = f->places_cap > 0 ? 2 * f->places_cap : 64;
		struct office_place *more = reallocarray(f->places, cap, sizeof(*more));
		if (!more)
			return office_say(EX_OSERR, "out of memory");
		f->places = more;
		f->places_cap = cap;
	}
	struct office_place *p = &f->places[f->places_n];
	*p = (struct office_place){strdup(maildrop), uid, gid};
	if (!p->path)
		return office_say(EX_OSERR, "out of memory");
	f->places_n++;
	/* Its directory is better: the Maildir may be removed and made again meanwhile.
	 */
	(void)lift(p);
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct office_place *x = a, *y = b;
	int paths = strcmp(x->path, y->path);

	if (paths != 0)
		return paths;
	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return (x->gid > y->gid) - (x->gid < y->gid);
}

/* Each place once; the number of different paths and the octets of their list. */
static size_t
tidy(struct office *f, size_t *ret_octets)
{
	size_t n = 0, paths = 0;

	*ret_octets = 0;
	qsort(f->places, f->places_n, sizeof(f->places[0]), compare);
	for (size_t i = 0; i < f->places_n; i++) {
		if (n > 0 && compare(&f->places[n - 1], &f->places[i]) == 0) {
			free(f->places[i].path);
			continue;
		}
		if (n == 0 || strcmp(f->places[n - 1].path, f->places[i].path) != 0) {
			paths++;
			*ret_octets += strlen(f->places[i].path) + 1;
		}
		f->places[n++] = f->places[i];
	}
	f->places_n = n;
	return paths;
}

static size_t
depth(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/*
 * Lifts the deepest of those that can be lifted; false if none can. A place that could
 * not be lifted is left alone by `*max`, which only goes down.
 */
static bool
lift_deepest(struct office *f, size_t *max)
{
	bool lifted = false;

	for (; !lifted && *max > 1; (*max)--)
		for (size_t i = 0; i < f->places_n; i++)
			if (depth(f->places[i].path) == *max && lift(&f->places[i]))
				lifted = true;
	return lifted;
}

static bool
lift_unlistable(struct office *f)
{
	for (size_t i = 0; i < f->places_n; i++)
		while (!can_be_listed(f->places[i].path))
			if (!lift(&f->places[i])) {
				(void)office_say(0,
					"%.500s: a directory with a blank, a comma or a "
					"quote "
					"in its name cannot be reached; use another name",
					f->places[i].path);
				return false;
			}
	return true;
}

int
office_roots(struct office *f, char **ret)
{
	size_t n = 0, octets, max = 0;
	FILE *out;

	if (!lift_unlistable(f))
		return EX_NOPERM;
	for (size_t i = 0; i < f->places_n; i++)
		if (depth(f->places[i].path) > max)
			max = depth(f->places[i].path);
	for (size_t paths = tidy(f, &octets);
		paths > CONF_LIST_MAX || octets > OFFICE_ROOTS_TEXT;
		paths = tidy(f, &octets))
		if (!lift_deepest(f, &max))
			return office_say(EX_NOPERM,
				"the Maildirs lie in more than %d directories that "
				"have no common one which their owners may search; move "
				"them, or give "
				"--set mail_roots=DIRECTORY",
				CONF_LIST_MAX);
	out = open_memstream(ret, &n);
	if (!out)
		return office_say(EX_OSERR, "out of memory");
	for (size_t i = 0; i < f->places_n; i++)
		if (i == 0 || strcmp(f->places[i - 1].path, f->places[i].path) != 0)
			fprintf(out, "%s%s", i > 0 ? " " : "", f->places[i].path);
	return fclose(out) == 0 ? 0 : office_say(EX_OSERR, "out of memory");
}
