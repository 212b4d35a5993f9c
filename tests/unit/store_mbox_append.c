/* What a crash left of mail on its way into an mbox, as mbox_append.h has it. */
#include "store_mbox_help.h"

#include "store/mbox_append.h"
#include "store/mbox_intent.h"

#define OURS	"From ours@example.org Sat Jan  3 01:05:34 1996\n"
#define FIRST	FROM_LINE "Subject: 1\n\none\n\n"
#define SECOND	OURS "Subject: 2\n\n>From here Sat Jan  3 01:05:34 1996\n\n"
#define THIRD	OURS "Subject: 3\n\nthree\n\n"
#define FOREIGN "From other@example.com Sun Jan  4 02:05:34 1996\nSubject: 4\n\nfour\n\n"

/* The note for SECOND and THIRD behind that message, as a deposit writes it. */
static void
put_note_behind(struct spool *o, const char *message)
{
	static const char *const texts[] = {SECOND, THIRD};
	struct mbox *m = mbox_of(o->store);
	struct mbox_append a = {.old_size = strlen(message), .n = 2};
	uint64_t at = a.old_size;
	char all[2048];

	(void)snprintf(all, sizeof(all), "%s" SECOND THIRD, message);
	put_mbox(o, all);
	assert_int_equal(mbox_open_dir(m), 0);
	int fd = openat(o->root, "anna", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t i = 0; i < 2; i++) {
		struct mbox_appended *p = &a.list[i];
		p->from = at;
		p->end = at + strlen(texts[i]);
		p->first_n = sizeof(p->first);
		memcpy(p->first, texts[i], sizeof(p->first));
		assert_int_equal(mbox_digest_of(fd, at, p->end - at, p->digest), 0);
		at = p->end;
	}
	assert_int_equal(mbox_append_begin(m, fd, &a), 0);
	(void)close(fd);
	assert_true(mbox_append_is_there(m));
}

static void
put_note(struct spool *o)
{
	put_note_behind(o, FIRST);
}

/* A crash with that in the file; then a session. */
static void
crash_with(struct spool *o, const char *octets, size_t n)
{
	put_note(o);
	put_file(o->root, "anna", octets, n);
	forget(o);
	enter(o);
	leave(o);
	assert_int_equal(mbox_open_dir(mbox_of(o->store)), 0);
	assert_false(mbox_append_is_there(mbox_of(o->store)));
}

static void
what_is_whole_stays_and_half_of_it_goes([[maybe_unused]] void **state)
{
	static const char all[] = FIRST SECOND THIRD;
	const size_t one = strlen(FIRST), two = one + strlen(SECOND);

	for (size_t n = one; n <= strlen(all); n++) {
		struct spool *o = spool_open();
		crash_with(o, all, n);
		mbox_is(o, n == strlen(all) ? all : n >= two ? FIRST SECOND : FIRST);
		spool_close(o);
	}
}

static void
zeros_go([[maybe_unused]] void **state)
{
	static const char all[] = FIRST SECOND THIRD;
	const size_t one = strlen(FIRST);

	for (size_t from = one; from < strlen(all); from++) {
		struct spool *o = spool_open();
		char octets[sizeof(all)];
		memcpy(octets, all, sizeof(all));
		memset(octets + from, 0, strlen(all) - from);
		crash_with(o, octets, strlen(all));
		mbox_is(o, from >= one + strlen(SECOND) ? FIRST SECOND : FIRST);
		spool_close(o);
	}
}

static void
mail_of_others_behind_it_stays([[maybe_unused]] void **state)
{
	static const char all[] = FIRST SECOND THIRD;
	const size_t one = strlen(FIRST);

	for (size_t n = one; n <= strlen(all); n++) {
		struct spool *o = spool_open();
		char octets[sizeof(all) + sizeof(FOREIGN)];
		memcpy(octets, all, n);
		memcpy(octets + n, FOREIGN, strlen(FOREIGN));
		/* In the middle of a quote no sector ends here. */
		if (all[n - 1] == '>') {
			spool_close(o);
			continue;
		}
		crash_with(o, octets, n + strlen(FOREIGN));
		char *now = get_file(o->root, "anna");
		assert_non_null(now);
		assert_non_null(strstr(now, FOREIGN));
		assert_memory_equal(now, FIRST, one);
		free(now);
		spool_close(o);
	}
}

/* One sector of ours, whose border lies among the octets that tell whose mail it is, and
 * others' mail right behind it. */
static void
the_border_of_a_sector([[maybe_unused]] void **state)
{
	for (size_t n = 1; n <= strlen(SECOND); n++) {
		struct spool *o = spool_open();
		char first[512] = FROM_LINE "Subject: 1\n\n", octets[1024], want[1024];
		size_t used = strlen(first);

		memset(first + used, 'x', 512 - n - used);
		memcpy(first + 512 - n - 2, "\n\n", 3);
		put_note_behind(o, first);
		(void)snprintf(
			octets, sizeof(octets), "%s%.*s" FOREIGN, first, (int)n, SECOND);
		(void)snprintf(want, sizeof(want), "%s" FOREIGN, first);
		put_mbox(o, octets);
		forget(o);
		enter(o);
		leave(o);
		mbox_is(o, n == strlen(SECOND) ? octets : want);
		spool_close(o);
	}
}

static void
another_mbox_is_left_alone([[maybe_unused]] void **state)
{
	static const char *const others[] = {
		FROM_LINE "Subject: 0\n\nnil\n\n" FOREIGN, /* another before */
		FIRST FOREIGN,				   /* another behind */
		FROM_LINE "Subject: short\n\n",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct spool *o = spool_open();
		crash_with(o, others[i], strlen(others[i]));
		mbox_is(o, others[i]);
		spool_close(o);
	}
}

/* Torn before it was synced: then nothing was appended yet. */
static void
a_damaged_note_says_nothing([[maybe_unused]] void **state)
{
	static const char half[] = FIRST "From x Sat Jan  3 01:05:34 1996\nSub";
	const char *name = ".anna.restante-append";

	for (size_t at = 0; at < 264; at += 7) {
		struct spool *o = spool_open();
		uint8_t octets[264], other;
		put_note(o);
		int fd = openat(o->root, name, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(fd_pread_all(fd, octets, sizeof(octets), 0), 0);
		other = octets[at] ^ 16;
		assert_int_equal(fd_pwrite_all(fd, &other, 1, at), 0);
		if (at % 2)
			assert_int_equal(ftruncate(fd, (off_t)at), 0);
		(void)close(fd);
		put_mbox(o, half);
		enter(o);
		leave(o);
		mbox_is(o, half);
		spool_close(o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_whole_stays_and_half_of_it_goes),
		cmocka_unit_test(zeros_go),
		cmocka_unit_test(mail_of_others_behind_it_stays),
		cmocka_unit_test(the_border_of_a_sector),
		cmocka_unit_test(another_mbox_is_left_alone),
		cmocka_unit_test(a_damaged_note_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
