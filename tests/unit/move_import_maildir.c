/* Messages of a Maildir as an import sees them: keys, order, header and size. */
#include "unit.h"

#include "move/import_source.h"
#include "os/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/move-import-XXXXXX";
static int top_fd;

static int
set_up(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top_fd < 0 || mkdirat(top_fd, "new", 0700) || mkdirat(top_fd, "cur", 0700);
}

static void
put(const char *name, const char *octets, size_t n)
{
	AUTO_FD fd = openat(top_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, octets, n), 0);
}

static void
take_out(const char *dir)
{
	static const char *const names[] = {"5.M1.a", "9.M1.b,S=9,W=7:2,S", "5.M0.a",
		"10.x", "7.link", "8.fifo", "6.S,S=13,W=16", "6.T,S=12,W=15"};
	char path[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlinkat(top_fd, path, 0);
	}
	assert_int_equal(unlinkat(top_fd, dir, AT_REMOVEDIR), 0);
}

static int
tear_down(void **state)
{
	(void)state;
	take_out("new");
	take_out("cur");
	(void)close(top_fd);
	return rmdir(top);
}

static const struct import_message *
find(const struct import *im, const char *key)
{
	for (uint32_t i = 0; i < im->messages_n; i++)
		if (im->messages[i].key.n == strlen(key) &&
			memcmp(im->messages[i].key.p, key, strlen(key)) == 0)
			return &im->messages[i];
	fail_msg("no message %s", key);
	return NULL;
}

static void
reads(void **state)
{
	static const char *const order[] = {
		"5.M0.a", "5.M1.a", "6.S", "6.T", "7.link", "8.fifo", "9.M1.b", "10.x"};
	static char big[3 << 20];
	struct import im = {.rows_n = 0};

	(void)state;
	memset(big, 'x', sizeof(big));
	put("new/5.M1.a", "A: b\r\n\r\none\r\ntwo", 16);
	put("cur/9.M1.b,S=9,W=7:2,S", "A: b\n\n1\n\n", 9);
	put("cur/5.M0.a", "X-UIDL:\t old \nA: b", 18);
	put("new/10.x", big, sizeof(big));
	put("cur/6.S,S=13,W=16", "A: b\n\nbody\n\n\n", 13);
	put("cur/6.T,S=12,W=15", "A: b\n\nbody\nx", 12);
	assert_int_equal(symlinkat("10.x", top_fd, "new/7.link"), 0);
	assert_int_equal(mkfifoat(top_fd, "new/8.fifo", 0600), 0);
	assert_int_equal(mkdirat(top_fd, "new/dir", 0700), 0);

	assert_int_equal(import_maildir_read(&im, top_fd), 0);
	assert_int_equal(im.messages_n, 8);
	for (uint32_t i = 0; i < 8; i++)
		assert_ptr_equal(find(&im, order[i]), &im.messages[i]);
	assert_int_equal(import_maildir_marks(&im, top_fd, true), 0);
	const struct import_message *m = find(&im, "5.M1.a");
	assert_int_equal(m->marks->n, 1);
	assert_int_equal(m->body_stored, 8);
	assert_int_equal(m->body_wire, 10);
	assert_true(m->unfinished);
	m = find(&im, "9.M1.b");
	assert_int_equal(m->body_stored, 3);
	assert_int_equal(m->body_wire, 5); /* its W cannot be: counted */
	m = find(&im, "6.S");
	assert_int_equal(m->body_wire, 16 - 8); /* as the name says */
	m = find(&im, "6.T");
	assert_int_equal(m->body_wire, 9); /* no line end: counted */
	assert_true(m->unfinished);
	m = find(&im, "5.M0.a");
	assert_int_equal(m->body_stored, 0);
	assert_int_equal(m->xuidl.n, 4);
	assert_memory_equal(m->xuidl.p, "old ", 4);
	assert_int_equal(find(&im, "10.x")->marks->n, 0); /* too long a header */
	assert_null(find(&im, "7.link")->marks);
	assert_null(find(&im, "8.fifo")->marks);
	import_done(&im);
	assert_int_equal(unlinkat(top_fd, "new/dir", AT_REMOVEDIR), 0);
}

static void
kinds(void **state)
{
	static const struct {
		const char *octets;
		enum import_kind kind;
	} files[] = {{"3 V5 N9 G1\n", IMPORT_DOVECOT},
		{"1 1700000000 9\n", IMPORT_DOVECOT}, {"/3 7 5\n", IMPORT_COURIER},
		{"From a b\n", IMPORT_MBOX}, {"\0\0\0\1\0\0\0\0\0\0\0\x11", IMPORT_CYRUS},
		{"1 hello\n", IMPORT_NONE}, {"Subject: x\n", IMPORT_NONE},
		{"", IMPORT_NONE}};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		size_t n = files[i].kind == IMPORT_CYRUS ? 12 : strlen(files[i].octets);
		put("list", files[i].octets, n);
		AUTO_FD fd = openat(top_fd, "list", O_RDONLY | O_CLOEXEC);
		assert_int_equal(import_kind_of(fd), files[i].kind);
		assert_int_equal(unlinkat(top_fd, "list", 0), 0);
	}
	assert_int_equal(import_kind_of(top_fd), IMPORT_NONE);
	put("cyrus.index", "x", 1);
	assert_int_equal(import_kind_of(top_fd), IMPORT_CYRUS);
	assert_int_equal(unlinkat(top_fd, "cyrus.index", 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(kinds),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
