/* The spool: octets as they came, sizes, digests, names, and what is put aside. */
#include "fetch_help.h"
#include "scratch.h"

#include "pop3/dot.h"

#include <openssl/sha.h>
#include <signal.h>
#include <sys/resource.h>

static void
check_kept(bool lf, bool drop, struct view in, struct view expected)
{
	/* In every way to cut it into two, and octet by octet. */
	size_t cuts = in.n < 80 ? in.n + 2 : 3;

	for (size_t cut = 0; cut < cuts; cut++) {
		struct bench b;
		struct letter l;
		char path[400];
		uint8_t digest[32];
		size_t first = cut <= in.n ? cut : 0;

		bench_make(&b, scratch());
		b.a.line_ends = lf ? FETCH_LINE_ENDS_LF : FETCH_LINE_ENDS_CRLF;
		b.a.drop_from_line = drop;
		bench_target(&b, FETCH_MAILDIR, "mail");
		OK(spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)));
		letter_start(&l, "u1");
		OK(spool_begin(b.spool, &l));
		if (cut > in.n)
			for (size_t i = 0; i < in.n; i++)
				OK(spool_write(b.spool, &l, (struct view){in.p + i, 1}));
		else
			OK(spool_write(b.spool, &l, (struct view){in.p, first}));
		if (cut <= in.n)
			OK(spool_write(
				b.spool, &l, (struct view){in.p + first, in.n - first}));
		OK(spool_finish(b.spool, &l));
		only_file(b.root, "mail/tmp", path, sizeof(path));
		assert_file(path, expected);
		assert_int_equal(l.octets, in.n);
		assert_int_equal(l.stored, expected.n);
		SHA256(in.p, in.n, digest);
		assert_memory_equal(digest, l.digest, sizeof(digest));
		struct dot_state dot = {0};
		uint64_t wire = dot_best()->count(&dot, expected.p, expected.n);
		assert_int_equal(l.wire, wire + dot_finish_count(&dot));
		spool_abort(b.spool, &l);
		assert_int_equal(count_files(b.root, "mail/tmp"), 0);
		bench_end(&b);
	}
}

static void
octets_are_exact(void **state)
{
	(void)state;
	check_kept(true, false, VIEW("A: b\r\n\r\nx\r\n"), VIEW("A: b\n\nx\n"));
	check_kept(true, false, VIEW("a\rb\nc\0d\r\r\ne\r"), VIEW("a\rb\nc\0d\r\ne\r"));
	check_kept(
		false, false, VIEW("a\rb\nc\0d\r\r\ne\r"), VIEW("a\rb\nc\0d\r\r\ne\r"));
	check_kept(true, false, VIEW(""), VIEW(""));
	check_kept(true, false, VIEW("no end"), VIEW("no end"));
	check_kept(true, true, VIEW("From x y\r\nA: b\r\n"), VIEW("A: b\n"));
	check_kept(true, true, VIEW("From: x\r\n\r\n"), VIEW("From: x\n\n"));
	check_kept(true, true, VIEW("Fro"), VIEW("Fro"));
	check_kept(true, true, VIEW("From x"), VIEW(""));
	check_kept(true, false, VIEW("From x\r\nA: b\r\n"), VIEW("From x\nA: b\n"));
}

static void
a_line_of_4_mib(void **state)
{
	const size_t n = 4 << 20;
	uint8_t *line = malloc(n + 2);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', n);
	line[65535] = '\r'; /* bare, at the block's end */
	line[n] = '\r';
	line[n + 1] = '\n';
	struct view in = {line, n + 2};
	uint8_t *lf = malloc(n + 1);
	assert_non_null(lf);
	memcpy(lf, line, n);
	lf[n] = '\n';
	check_kept(true, false, in, (struct view){lf, n + 1});
	check_kept(false, false, in, in);
	free(line);
	free(lf);
}

static void
directories_and_modes(void **state)
{
	struct bench b;
	struct letter l;
	struct stat st;
	char path[400];
	int target;

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MBOX, "box");
	OK(spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)));
	(void)spool_directory(b.spool, &target);
	assert_int_equal(target, -1);
	letter_make(&b, &l, "u", VIEW("x\r\n"));
	only_file(b.root, "state/spool", path, sizeof(path));
	assert_non_null(strstr(path, spool_mark(b.spool)));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_file(path, VIEW("x\r\n"));
	(void)snprintf(path, sizeof(path), "%s/state/spool", b.root);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	spool_abort(b.spool, &l);
	spool_close(&b.spool);

	bench_target(&b, FETCH_MAILDIR, "deep/below/mail");
	OK(spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)));
	(void)spool_directory(b.spool, &target);
	assert_int_equal(target, 1);
	static const char *const parts[] = {"tmp", "new", "cur"};
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(
			path, sizeof(path), "%s/deep/below/mail/%s", b.root, parts[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
	bench_end(&b);
}

static void
marks_differ(void **state)
{
	struct bench a, b;
	char first[SPOOL_MARK_MAX], path[200];

	(void)state;
	bench_make(&a, scratch());
	bench_make(&b, scratch());
	bench_target(&a, FETCH_MAILDIR, "mail");
	OK(spool_open(&a.a, a.state_dir, &a.spool, a.why, sizeof(a.why)));
	(void)snprintf(first, sizeof(first), "%s", spool_mark(a.spool));
	spool_close(&a.spool);
	OK(spool_open(&a.a, a.state_dir, &a.spool, a.why, sizeof(a.why)));
	assert_string_equal(first, spool_mark(a.spool));
	spool_close(&a.spool);
	a.a.user = "bert";
	OK(spool_open(&a.a, a.state_dir, &a.spool, a.why, sizeof(a.why)));
	assert_string_not_equal(first, spool_mark(a.spool));
	spool_close(&a.spool);
	a.a.user = "anna";
	OK(spool_open(&a.a, b.state_dir, &a.spool, a.why, sizeof(a.why)));
	assert_string_not_equal(first, spool_mark(a.spool));
	spool_close(&a.spool);
	/* What a killed run left of making one goes. */
	(void)snprintf(path, sizeof(path), "%s/id.new", a.state_dir);
	put_file(path, VIEW("0123"));
	OK(spool_open(&a.a, a.state_dir, &a.spool, a.why, sizeof(a.why)));
	assert_string_equal(first, spool_mark(a.spool));
	assert_int_equal(access(path, F_OK), -1);
	spool_close(&a.spool);
	/* Half an id is not silently replaced: the mark would change. */
	(void)snprintf(path, sizeof(path), "%s/id", a.state_dir);
	put_file(path, VIEW("0123"));
	assert_int_equal(
		spool_open(&a.a, a.state_dir, &a.spool, a.why, sizeof(a.why)), -EBADMSG);
	assert_non_null(strstr(a.why, "id"));
	bench_end(&a);
	bench_end(&b);
}

static void
received_line(void **state)
{
	struct bench b;
	struct letter l;
	char path[400], text[1000];

	(void)state;
	bench_make(&b, scratch());
	b.a.trace = FETCH_TRACE_YES;
	bench_target(&b, FETCH_MAILDIR, "mail");
	OK(spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)));
	letter_make(&b, &l, "u", VIEW("A: b\r\n"));
	assert_int_equal(l.octets, 6);
	assert_true(l.stored > 60 && l.stored < sizeof(text));
	only_file(b.root, "mail/tmp", path, sizeof(path));
	assert_int_equal(pread(l.fd, text, l.stored, 0), (ssize_t)l.stored);
	text[l.stored] = 0;
	assert_memory_equal(text, "Received: from localhost\n\tby ", 29);
	assert_non_null(strstr(text, "with POP3S;\n\t"));
	assert_non_null(strstr(text, "+0000\nA: b\n"));
	spool_abort(b.spool, &l);
	bench_end(&b);
}

static void
quarantine(void **state)
{
	struct bench b;
	struct letter l;
	char path[300], note[320], text[1000];

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	OK(spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)));
	/* Cut off in the middle, with a CR that waits for its LF. */
	letter_start(&l, "odd/\033uid");
	OK(spool_begin(b.spool, &l));
	OK(spool_write(b.spool, &l, VIEW("half a mess\r")));
	OK(spool_quarantine(b.spool, &l, "closed in the middle", path, sizeof(path)));
	assert_file(path, VIEW("half a mess\r"));
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	(void)snprintf(note, sizeof(note), "%s.txt", path);
	int fd = open(note, O_RDONLY | O_CLOEXEC);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	assert_true(n > 0);
	text[n] = 0;
	assert_non_null(strstr(text, "uidl: odd/?uid\n"));
	assert_non_null(strstr(text, "why: closed in the middle\n"));
	assert_int_equal(l.fd, -1);
	/* Nothing came at all. */
	letter_start(&l, "u");
	OK(spool_quarantine(b.spool, &l, "-ERR", path, sizeof(path)));
	assert_file(path, VIEW(""));
	bench_end(&b);
}

static void
full_disk(void **state)
{
	struct bench b;
	struct letter l;
	struct rlimit old, small = {.rlim_cur = 100000};
	uint8_t piece[30000];
	int r = 0;

	(void)state;
	memset(piece, 'x', sizeof(piece));
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	OK(spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)));
	(void)sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	letter_start(&l, "u");
	OK(spool_begin(b.spool, &l));
	for (int i = 0; i < 10 && r == 0; i++)
		r = spool_write(b.spool, &l, (struct view){piece, sizeof(piece)});
	assert_int_equal(r, -EFBIG);
	assert_int_equal(spool_finish(b.spool, &l), -EFBIG);
	spool_abort(b.spool, &l);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	/* The next letter is as good as ever. */
	letter_make(&b, &l, "u", VIEW("x\r\n"));
	assert_int_equal(l.stored, 2);
	spool_abort(b.spool, &l);
	bench_end(&b);
}

/* Files made ahead are taken in their order, and none stays that nobody took. */
static void
files_made_ahead(void **state)
{
	struct bench b;
	struct letter letters[6];

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	OK(spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)));
	assert_int_equal(spool_stocked(b.spool), 0);
	spool_stock(b.spool, 4);
	assert_int_equal(spool_stocked(b.spool), 4);
	assert_int_equal(count_files(b.root, "mail/tmp"), 4);
	for (size_t i = 0; i < 6; i++)
		letter_make(&b, &letters[i], "u", VIEW("A: 1\r\n\r\none\r\n"));
	assert_int_equal(spool_stocked(b.spool), 0);
	assert_int_equal(count_files(b.root, "mail/tmp"), 6);
	for (size_t i = 0; i < 6; i++) {
		char end[8];

		(void)snprintf(end, sizeof(end), ".%zu", i + 1);
		assert_string_equal(strrchr(letters[i].tmp, '.'), end);
		spool_abort(b.spool, &letters[i]);
	}
	/* All round the ring. */
	for (size_t i = 0; i < 3; i++) {
		spool_stock(b.spool, SPOOL_STOCK_MAX);
		spool_stock(b.spool, SPOOL_STOCK_MAX);
		assert_int_equal(
			count_files(b.root, "mail/tmp"), (size_t)SPOOL_STOCK_MAX);
		for (size_t k = 0; k < SPOOL_STOCK_MAX / 2; k++) {
			letter_make(&b, &letters[0], "u", VIEW("x\r\n"));
			assert_int_equal(letters[0].stored, 2);
			spool_abort(b.spool, &letters[0]);
		}
	}
	spool_stock_drop(b.spool);
	assert_int_equal(spool_stocked(b.spool), 0);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	spool_stock(b.spool, 3);
	spool_close(&b.spool);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	bench_end(&b);
}

/* Nothing can be made: that is spool_begin's to tell. */
static void
no_file_ahead(void **state)
{
	struct bench b;
	struct letter l;
	struct rlimit old, low;

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	OK(spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){3, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	spool_stock(b.spool, 4);
	letter_start(&l, "u");
	int r = spool_begin(b.spool, &l);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(spool_stocked(b.spool), 0);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	bench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(octets_are_exact),
		cmocka_unit_test(a_line_of_4_mib),
		cmocka_unit_test(directories_and_modes),
		cmocka_unit_test(marks_differ),
		cmocka_unit_test(received_line),
		cmocka_unit_test(quarantine),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(files_made_ahead),
		cmocka_unit_test(no_file_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
