/* store_mbox_help.h: an mbox in a temporary directory, and a store over it. */
#ifndef STORE_MBOX_HELP_H
#define STORE_MBOX_HELP_H

#include "scratch.h"
#include "unit.h"

#include "os/fd.h"
#include "store/mbox.h"
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

#define FROM_LINE "From a@b Sat Jan  3 01:05:34 1996\n"

struct spool {
	char dir[64];
	int root;
	struct store_options o;
	struct store *store;
	const struct store_table *table; /* retained */
};

static const struct store_ops *const ops = &store_mbox;

[[maybe_unused]] static void
put_file(int dir, const char *name, const void *p, size_t n)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, p, n), 0);
	assert_int_equal(close(fd), 0);
}

[[maybe_unused]] static void
put_mbox(const struct spool *o, const char *octets)
{
	put_file(o->root, "anna", octets, strlen(octets));
}

/* The file as text; the caller frees. */
[[maybe_unused]] static char *
get_file(int dir, const char *name)
{
	uint8_t *p = NULL;
	size_t n;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	assert_int_equal(fd_read_file(fd, 100000000, &p, &n), 0);
	assert_int_equal(strlen((char *)p), n);
	(void)close(fd);
	return (char *)p;
}

[[maybe_unused]] static void
mbox_is(const struct spool *o, const char *octets)
{
	char *now = get_file(o->root, "anna");

	assert_non_null(now);
	assert_string_equal(now, octets);
	free(now);
}

[[maybe_unused]] static bool
is_there(const struct spool *o, const char *name)
{
	struct stat st;

	return fstatat(o->root, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

[[maybe_unused]] static struct spool *
spool_open(void)
{
	struct spool *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	(void)snprintf(o->dir, sizeof(o->dir), "%s/restante-unit-XXXXXX", scratch());
	assert_non_null(mkdtemp(o->dir));
	o->root = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(o->root >= 0);
	o->o = (struct store_options){.hostname = "test.example"};
	assert_int_equal(ops->open(o->root, "anna", &o->o, &o->store), 0);
	return o;
}

[[maybe_unused]] static void
remove_all(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d) {
		(void)fchmod(fd, 0700);
		while ((e = readdir(d)))
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				remove_all(fd, e->d_name);
		(void)closedir(d);
		(void)unlinkat(at, name, AT_REMOVEDIR);
	} else {
		(void)unlinkat(at, name, 0);
	}
}

[[maybe_unused]] static void
forget_table(struct spool *o)
{
	if (o->table)
		ops->release(&o->table);
}

[[maybe_unused]] static void
spool_close(struct spool *o)
{
	forget_table(o);
	ops->close(&o->store);
	(void)close(o->root);
	remove_all(AT_FDCWD, o->dir);
	free(o);
}

/* Waits until the mbox is old enough for a scan that is not racy. */
[[maybe_unused]] static void
grow_old(const struct spool *o)
{
	struct stat st;
	struct timespec now;

	while (fstatat(o->root, "anna", &st, 0) == 0) {
		assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
		int64_t ms = (now.tv_sec - st.st_ctim.tv_sec) * 1000 +
			(now.tv_nsec - st.st_ctim.tv_nsec) / 1000000;
		if (ms > 25)
			break;
		(void)poll(NULL, 0, 1);
	}
}

[[maybe_unused]] static void
look(struct spool *o)
{
	const struct store_table *t;

	assert_int_equal(ops->refresh(o->store, &t), 0);
	t = ops->retain(t);
	forget_table(o);
	o->table = t;
}

/* One session's start. */
[[maybe_unused]] static void
enter(struct spool *o)
{
	struct lock_holder me = {.since = 1}, other;

	assert_int_equal(ops->lock(o->store, &me, &other), 0);
	look(o);
}

[[maybe_unused]] static void
leave(struct spool *o)
{
	ops->unlock(o->store);
	forget_table(o);
}

/* A keeper that starts anew, with nothing in memory. */
[[maybe_unused]] static void
forget(struct spool *o)
{
	ops->flush(o->store);
	ops->close(&o->store);
	assert_int_equal(ops->open(o->root, "anna", &o->o, &o->store), 0);
}

/* The message as a client's RETR reads it; the caller frees. NULL: it is gone. */
[[maybe_unused]] static char *
message(struct spool *o, uint32_t idx)
{
	struct store_slice s;
	int r = ops->slice(o->store, o->table, idx, &s);

	if (r == -ENOENT)
		return NULL;
	assert_int_equal(r, 0);
	char *p = calloc(1, s.length + 1);
	assert_non_null(p);
	assert_int_equal(fd_pread_all(s.fd, p, s.length, s.offset), 0);
	if (s.shared)
		assert_int_equal(ops->slice_is_current(o->store, o->table, idx, &s), 0);
	(void)close(s.fd);
	return p;
}

[[maybe_unused]] static void
message_is(struct spool *o, uint32_t idx, const char *expected)
{
	char *p = message(o, idx);

	assert_non_null(p);
	assert_string_equal(p, expected);
	free(p);
}

[[maybe_unused]] static void
uidl_is(const struct spool *o, uint32_t idx, const char *expected)
{
	struct view v = o->table->messages[idx].uidl;

	assert_int_equal(v.n, strlen(expected));
	assert_memory_equal(v.p, expected, v.n);
}

/* A NUL behind it. */
[[maybe_unused]] static void
uidl_copy(const struct spool *o, uint32_t idx, char to[256])
{
	struct view v = o->table->messages[idx].uidl;

	memcpy(to, v.p, v.n);
	to[v.n] = '\0';
}

[[maybe_unused]] static struct store_removed
drop(struct spool *o, uint64_t marks)
{
	uint8_t octets[8];
	struct store_removed got = {0};

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(marks >> (8 * i));
	assert_int_equal(
		ops->remove(o->store, o->table, (struct view){octets, 8}, &got), 0);
	return got;
}

/* Delivers one message; what became of it. */
[[maybe_unused]] static int
deliver(struct spool *o, const char *octets)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct store_deposit d = {.fd = fd,
		.length = strlen(octets),
		.sender = VIEW("s@example"),
		.recipient = VIEW("anna@example"),
		.now_s = 1700000000};

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, octets, strlen(octets)), 0);
	ops->deposit(o->store, &d, 1);
	(void)close(fd);
	return d.result;
}
#define DELIVERED_FROM "From s@example Tue Nov 14 22:13:20 2023\n"
#define DELIVERED_HEAD "Return-Path: <s@example>\nDelivered-To: anna@example\n"

#endif
