/* The snapshots that the real restante-keeper hands out. */
#include "keeper_desk.h"

/* Small ones go in the message, others as one and the same descriptor. */
static void
an_unchanged_maildrop_has_one_snapshot(void **state)
{
	(void)state;
	for (int messages = 1; messages <= 300; messages += 299) {
		struct desk *d = desk_open(&usual);
		struct stat st = {.st_ino = 0};
		char name[32];
		for (int i = 0; i < messages; i++) {
			(void)snprintf(name, sizeof(name), "new/%d.a", i);
			put(d->o, name, "a\n");
		}
		age(d->o);
		for (int i = 0; i < 3; i++) {
			ino_t before = st.st_ino;
			int fd = attach(d, RIGHT_READ);
			assert_int_equal(snapshot_count(fd), messages);
			assert_int_equal(in.nfds, messages == 1 ? 0 : 1);
			assert_int_equal(in.nfds ? fstat(in.fds[0], &st) : 0, 0);
			assert_true(i == 0 || st.st_ino == before);
			(void)close(fd);
		}
		assert_int_equal(counter(d, STAT_SNAPSHOTS_BUILT), 1);
		assert_int_equal(counter(d, STAT_SNAPSHOTS_REUSED), 2);
		assert_int_equal(counter(d, STAT_SCANS), 2);
		desk_close(d);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unchanged_maildrop_has_one_snapshot),
	};
	if (!desk_ready())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
