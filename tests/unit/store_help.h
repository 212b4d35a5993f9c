/* store_help.h: a Maildir in a temporary directory, and a store over it. */
#ifndef STORE_HELP_H
#define STORE_HELP_H

#include "scratch.h"
#include "unit.h"

#include "os/fd.h"
#include "store/maildir.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct office {
	char dir[64];
	int root; /* the directory above the maildrop */
	int top;  /* the maildrop */
	struct store *store;
	const struct store_table *table;
};

static const struct store_ops *const ops = &store_maildir;
static const struct store_options store_plain = {.hostname = "test.example"};

[[maybe_unused]] static void
put(const struct office *o, const char *path, const char *content)
{
	int fd = openat(o->top, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, content, strlen(content)), 0);
	assert_int_equal(close(fd), 0);
}

[[maybe_unused]] static bool
there(const struct office *o, const char *path)
{
	struct stat st;

	return fstatat(o->top, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

[[maybe_unused]] static void
move(const struct office *o, const char *from, const char *to)
{
	assert_int_equal(renameat(o->top, from, o->top, to), 0);
}

/* Waits until the directories' times are old enough for a scan that is not racy. */
[[maybe_unused]] static void
age(const struct office *o)
{
	static const char *const names[] = {"new", "cur"};

	for (size_t i = 0; i < 2; i++) {
		struct stat st;
		struct timespec now;
		/* ctime cannot be set, so let it grow old. */
		for (;;) {
			if (fstatat(o->top, names[i], &st, 0) < 0)
				break;
			assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
			int64_t ms = (now.tv_sec - st.st_ctim.tv_sec) * 1000 +
				(now.tv_nsec - st.st_ctim.tv_nsec) / 1000000;
			if (ms > 25)
				break;
			(void)poll(NULL, 0, 1);
		}
	}
}

[[maybe_unused]] static struct office *
office_open_under(const char *above)
{
	struct office *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	(void)snprintf(o->dir, sizeof(o->dir), "%s/restante-unit-XXXXXX", above);
	assert_non_null(mkdtemp(o->dir));
	o->root = open(o->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(o->root >= 0);
	assert_int_equal(mkdirat(o->root, "Maildir", 0700), 0);
	o->top = openat(o->root, "Maildir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(o->top >= 0);
	assert_int_equal(mkdirat(o->top, "new", 0700), 0);
	assert_int_equal(mkdirat(o->top, "cur", 0700), 0);
	assert_int_equal(mkdirat(o->top, "tmp", 0700), 0);
	assert_int_equal(ops->open(o->root, "Maildir", &store_plain, &o->store), 0);
	return o;
}

[[maybe_unused]] static struct office *
office_open(void)
{
	return office_open_under(scratch());
}

[[maybe_unused]] static void
remove_tree(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d) {
		(void)fchmod(fd, 0700);
		while ((e = readdir(d)))
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				remove_tree(fd, e->d_name);
		(void)closedir(d);
		(void)unlinkat(at, name, AT_REMOVEDIR);
	} else {
		(void)unlinkat(at, name, 0);
	}
}

[[maybe_unused]] static void
office_close(struct office *o)
{
	ops->close(&o->store);
	(void)close(o->top);
	(void)close(o->root);
	remove_tree(AT_FDCWD, o->dir);
	free(o);
}

/* One session's start. */
[[maybe_unused]] static void
enter(struct office *o)
{
	struct lock_holder me = {.since = 1}, other;

	assert_int_equal(ops->lock(o->store, &me, &other), 0);
	assert_int_equal(ops->refresh(o->store, &o->table), 0);
}

[[maybe_unused]] static void
leave(struct office *o)
{
	ops->unlock(o->store);
	o->table = NULL;
}

/* A keeper that starts anew, with nothing in memory. */
[[maybe_unused]] static void
forget(struct office *o)
{
	ops->flush(o->store);
	ops->close(&o->store);
	assert_int_equal(ops->open(o->root, "Maildir", &store_plain, &o->store), 0);
}

[[maybe_unused]] static bool
uidl_is(const struct office *o, uint32_t idx, const char *text)
{
	struct view v = o->table->messages[idx].uidl;

	return v.n == strlen(text) && memcmp(v.p, text, v.n) == 0;
}

[[maybe_unused]] static struct store_removed
drop(struct office *o, uint64_t marks)
{
	uint8_t octets[8];
	struct store_removed got = {0};

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(marks >> (8 * i));
	assert_int_equal(
		ops->remove(o->store, o->table, (struct view){octets, 8}, &got), 0);
	return got;
}

#endif
