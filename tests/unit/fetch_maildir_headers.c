/* The digests under which a file of a Maildir may be known to a server, and the sections
 * that --configure writes. */
#include "unit.h"

#include "fetch/configure_file.h"
#include "fetch/maildir_headers.h"
#include "fetch/reconcile_rows.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAIN "Message-ID: <1@h>\nFrom: a\nSubject: x\n\n"

static struct message_header
digests_of(const void *text, size_t n)
{
	struct message_header h;
	AUTO_FD fd = memfd_create("message", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, n), 0);
	assert_int_equal(message_header_read(fd, &h), 0);
	return h;
}
#define DIGESTS_OF(text) digests_of(text, sizeof(text) - 1)

static void
assert_same(const uint8_t *a, const uint8_t *b)
{
	assert_memory_equal(a, b, HEADER_DIGEST);
}

static void
test_added_fields(void **state)
{
	struct message_header server =
		DIGESTS_OF("Message-ID: <1@h>\r\nFrom: a\r\nSubject: x\r\nX-UIDL: "
			   "7\r\n\r\nbody\r\n");
	struct message_header file = DIGESTS_OF(PLAIN "other body");
	struct message_header more =
		DIGESTS_OF("Return-Path: <a>\nDelivered-To: b\nReceived: from c\n\tby "
			   "d;\n e\n" PLAIN);

	(void)state;
	assert_int_equal(server.n, 1);
	assert_int_equal(file.n, 1);
	assert_same(server.digests[0], file.digests[0]);
	assert_int_equal(more.n, 4);
	assert_same(more.digests[3], file.digests[0]);
	assert_memory_not_equal(more.digests[2], file.digests[0], HEADER_DIGEST);
	assert_int_equal(more.size, UINT64_MAX);
}

static void
test_what_is_too_weak(void **state)
{
	char *many = malloc(HEADER_OCTETS_MAX + 200000);
	struct message_header h;

	(void)state;
	assert_int_equal(DIGESTS_OF("").n, 0);
	assert_int_equal(DIGESTS_OF("\nbody\n").n, 0);
	/* Without a Message-ID only the whole header with the size counts. */
	h = DIGESTS_OF("Received: from a\nSubject: x\n\na\nb\r\n");
	assert_int_equal(h.n, 1);
	assert_int_equal(h.size, 38);
	/* Nothing is left but a Message-ID, or the Message-ID is not its own. */
	assert_int_equal(DIGESTS_OF("Received: a\nMessage-ID: <1@h>\n\n").n, 1);
	h = DIGESTS_OF("Received: a\nX: b\n" PLAIN);
	assert_int_equal(h.n, 2);
	/* A header without an end is none that can be compared. */
	assert_non_null(many);
	memset(many, 'a', HEADER_OCTETS_MAX + 200000);
	memcpy(many, PLAIN, sizeof(PLAIN) - 2);
	assert_int_equal(digests_of(many, HEADER_OCTETS_MAX + 200000).n, 0);
	free(many);
}

static void
test_no_more_than_six_fields(void **state)
{
	char text[1024] = "";
	struct message_header h, plain = DIGESTS_OF(PLAIN);

	(void)state;
	for (int i = 0; i < 6; i++)
		memcpy(text + 12 * i, "Received: a\n", 13);
	memcpy(text + 72, PLAIN, sizeof(PLAIN));
	h = digests_of(text, strlen(text));
	assert_int_equal(h.n, HEADER_ADDED_MAX + 1);
	assert_same(h.digests[6], plain.digests[0]);
	memmove(text + 12, text, strlen(text) + 1);
	h = digests_of(text, strlen(text));
	assert_int_equal(h.n, HEADER_ADDED_MAX + 1);
	assert_memory_not_equal(h.digests[6], plain.digests[0], HEADER_DIGEST);
}

static void
test_reconcile_uids(void **state)
{
	uint8_t digest[HEADER_DIGEST] = {0xAB, 0x01}, uid[RECONCILE_UID_MAX];
	size_t n = reconcile_uid(digest, 0, uid);

	(void)state;
	assert_int_equal(n, 10 + 2 * HEADER_DIGEST);
	assert_memory_equal(uid, "\0reconcileab01", 14);
	assert_true(reconcile_is_uid((struct view){uid, n}));
	n = reconcile_uid(digest, UINT32_MAX, uid);
	assert_memory_equal(uid + n - 11, ".4294967295", 11);
	assert_false(reconcile_is_uid(VIEW("reconcileab")));
	assert_false(reconcile_is_uid(VIEW("\0reconcile")));
}

static void
test_sections(void **state)
{
	char name[CONFIGURE_NAME_MAX], long_name[200], text[400];
	struct buf b = buf_over(text, sizeof(text));

	(void)state;
	configure_name("o'neil+x@ex.org", name);
	assert_string_equal(name, "o_neil+x@ex.org");
	memset(long_name, 'a', sizeof(long_name));
	long_name[199] = '\0';
	configure_name(long_name, name);
	assert_int_equal(strlen(name), 64);
	assert_true(configure_has(VIEW("x = 1\r\n [ account  a@b ]\r\n"), "a@b"));
	assert_false(configure_has(
		VIEW("# [account a@b]\n[account a@bc]\n[accounta@b]"), "a@b"));
	assert_true(configure_put(&b, "user", "a b"));
	assert_true(configure_put(&b, "user", " a"));
	assert_true(configure_put(&b, "user", ""));
	assert_false(configure_put(&b, "user", "a\nb"));
	assert_false(configure_put(&b, "user", "\"a"));
	assert_false(configure_put(&b, "user", "a\x7F"));
	assert_int_equal(b.n, 33);
	assert_memory_equal(text, "user = a b\nuser = \" a\"\nuser = \"\"\n", b.n);
}

static void
test_append(void **state)
{
	char dir[] = "/tmp/restante-unit-XXXXXX", path[100], text[100] = "", why[400];
	struct view section = VIEW("[account a]\nx\n");
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/one/two/f", dir);
	assert_int_equal(configure_append(path, "a", section, why, sizeof(why)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(configure_append(path, "a", section, why, sizeof(why)), -EEXIST);
	assert_non_null(strstr(why, "[account a] already"));
	assert_int_equal(
		configure_append(path, "b", VIEW("[account b]\n"), why, sizeof(why)), 0);
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 27);
	assert_string_equal(text, "[account a]\nx\n\n[account b]\n");
	assert_int_equal(unlink(path), 0);
	/* A link to nothing is not followed into the dark; a directory is no file. */
	assert_int_equal(symlink("nowhere", path), 0);
	assert_int_equal(configure_append(path, "a", section, why, sizeof(why)), -ENOENT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(configure_append(path, "a", section, why, sizeof(why)), -EINVAL);
	assert_int_equal(rmdir(path), 0);
	(void)snprintf(path, sizeof(path), "%s/one/two", dir);
	assert_int_equal(rmdir(path), 0);
	(void)snprintf(path, sizeof(path), "%s/one", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_added_fields),
		cmocka_unit_test(test_what_is_too_weak),
		cmocka_unit_test(test_no_more_than_six_fields),
		cmocka_unit_test(test_reconcile_uids),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_append),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
