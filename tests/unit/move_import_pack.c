/* Rows between processes: what was written is read; what was cut or changed is refused,
 * or at least within bounds. */
#include "unit.h"

#include "base/ascii.h"
#include "move/import_open.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int
memory(void)
{
	int fd = memfd_create("pack", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Two rows, one with marks. */
static int
packed(void)
{
	struct import im = {.counts[IMPORT_UNREADABLE] = 3};
	struct header_marks marks = {.n = MARKS_RECEIVED_MAX + 1, .has_id = true};
	int fd = memory();

	memset(marks.digests, 7, sizeof(marks.digests));
	struct import_row *r = import_row_add(&im);
	*r = (struct import_row){.uidl = VIEW("one"),
		.name = VIEW("1.M1.x"),
		.size = UINT64_MAX,
		.line = 2,
		.order = 9,
		.saved = true,
		.marks = &marks};
	r = import_row_add(&im);
	*r = (struct import_row){.uidl = VIEW("two"), .line = 5};
	assert_int_equal(import_pack(&im, VIEW("line 7: bad\n"), fd), 0);
	import_done(&im);
	return fd;
}

static int
unpack(int fd, struct import *im, char **ret_bad)
{
	size_t n;
	FILE *bad = open_memstream(ret_bad, &n);

	assert_non_null(bad);
	*im = (struct import){.rows_n = 0};
	int r = import_unpack(im, bad, fd);
	assert_int_equal(fclose(bad), 0);
	return r;
}

static void
whole(void **state)
{
	AUTO_FD fd = packed();
	AUTO_FREE char *bad = NULL;
	struct import im;

	(void)state;
	assert_int_equal(unpack(fd, &im, &bad), 0);
	assert_string_equal(bad, "line 7: bad\n");
	assert_int_equal(im.rows_n, 2);
	assert_int_equal(im.counts[IMPORT_UNREADABLE], 3);
	const struct import_row *a = &im.rows[0], *b = &im.rows[1];
	assert_true(view_equal(a->uidl, VIEW("one")));
	assert_true(view_equal(a->name, VIEW("1.M1.x")));
	assert_string_equal((const char *)a->name.p, "1.M1.x"); /* for openat */
	assert_true(a->size == UINT64_MAX && a->line == 2 && a->order == 9 && a->saved);
	assert_non_null(a->marks);
	assert_true(a->marks->has_id && a->marks->n == MARKS_RECEIVED_MAX + 1);
	assert_int_equal(a->marks->digests[MARKS_RECEIVED_MAX][15], 7);
	assert_true(view_equal(b->uidl, VIEW("two")) && b->name.n == 0);
	assert_true(!b->saved && !b->marks && b->line == 5);
	import_done(&im);
}

static void
cut_off(void **state)
{
	AUTO_FD fd = packed();
	off_t n = lseek(fd, 0, SEEK_END);

	(void)state;
	assert_true(n > 0);
	while (n-- > 0) {
		AUTO_FREE char *bad = NULL;
		struct import im;
		assert_int_equal(ftruncate(fd, n), 0);
		assert_int_equal(unpack(fd, &im, &bad), -EBADMSG);
		import_done(&im);
	}
}

static void
changed(void **state)
{
	AUTO_FD fd = packed();
	off_t n = lseek(fd, 0, SEEK_END);
	int refused = 0;

	(void)state;
	for (off_t i = 0; i < n; i++) {
		AUTO_FREE char *bad = NULL;
		struct import im;
		uint8_t was, all = 0xff;
		assert_int_equal(pread(fd, &was, 1, i), 1);
		assert_int_equal(pwrite(fd, &all, 1, i), 1);
		refused += unpack(fd, &im, &bad) == -EBADMSG;
		for (uint32_t k = 0; k < im.rows_n; k++)
			assert_true(!im.rows[k].marks ||
				im.rows[k].marks->n <= MARKS_RECEIVED_MAX + 1);
		import_done(&im);
		assert_int_equal(pwrite(fd, &was, 1, i), 1);
	}
	/* The count of rows, the length of the text, four of names, has_marks of the row
	 * that has none, and n and has_id of the marks. */
	assert_int_equal(refused, 4 + 8 + 4 * 4 + 1 + 2);
	assert_int_equal(pwrite(fd, "", 1, n), 1);
	AUTO_FREE char *bad = NULL;
	struct import im;
	assert_int_equal(unpack(fd, &im, &bad), -EBADMSG);
	import_done(&im);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
