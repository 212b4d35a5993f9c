#include "unit.h"

#include "fetch/program_input.h"
#include "fetch/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ID "0123456789012345678901234567890123456789"

static struct letter letter;
static char directory[] = "/tmp/restante-program-XXXXXX";
static struct fetch_account account;

static void
put(const void *octets, size_t n)
{
	memset(&letter, 0, sizeof(letter));
	letter.fd = memfd_create("letter", MFD_CLOEXEC);
	assert_true(letter.fd >= 0);
	for (size_t at = 0; at < n;) {
		ssize_t w =
			pwrite(letter.fd, (const char *)octets + at, n - at, (off_t)at);
		assert_true(w > 0);
		at += (size_t)w;
	}
	letter.stored = n;
}

static int
entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* Runs the command over the letter, which goes away. */
static void
run(const char *command, const char *id)
{
	char text[600], why[240], names[1][LETTER_NAME_MAX] = {""}, ids[1][TRACE_ID_MAX];
	struct fetch_target_spec spec = {FETCH_PROGRAM, command, text};
	struct target_context c = {.account = &account,
		.spec = &spec,
		.state_dir = directory,
		.mark = "mark."};
	struct letter *letters[] = {&letter};
	struct target *t = NULL;

	(void)snprintf(text, sizeof(text), "program:%s", command);
	memcpy(ids[0], id, strlen(id) + 1);
	assert_int_equal(target_program.open(&c, &t, why, sizeof(why)), 0);
	assert_int_equal(target_program.prepare(t, &letter, id, names[0]), 0);
	assert_string_equal(names[0], "");
	target_program.hand_over(t, letters, names, ids, 1);
	assert_int_equal(entries("spool"), 0);
	target_program.close(&t);
	assert_null(t);
	close(letter.fd);
	letter.fd = -1;
}

static void
assert_fate(enum letter_fate fate, const char *why)
{
	if (letter.fate != fate || !strstr(letter.why, why))
		fail_msg("fate %d, not %d: %s", (int)letter.fate, (int)fate, letter.why);
}

static void
assert_got(const void *octets, size_t n)
{
	char *got = malloc(n + 2);
	int fd = open("got", O_RDONLY | O_CLOEXEC);
	size_t at = 0;
	ssize_t r;

	assert_non_null(got);
	assert_true(fd >= 0);
	while (at < n + 1 && (r = read(fd, got + at, n + 1 - at)) > 0)
		at += (size_t)r;
	close(fd);
	assert_int_equal(at, n);
	assert_memory_equal(got, octets, n);
	free(got);
	assert_int_equal(unlink("got"), 0);
}

static int
set_up(void **state)
{
	(void)state;
	account = (struct fetch_account){.name = "wo\nrk",
		.user = "anna",
		.sender = "",
		.recipient = "$(touch no)`touch no`\033@x",
		.program_timeout_ms = 20000};
	return 0;
}

static void
the_message_comes_whole(void **state)
{
	static const char in[] = "Subject: x\r\n\r\n.\r\nbare \r cr\0nul\nlf\r\nend\r";
	static const char lf[] = "Subject: x\n\n.\nbare \r cr\0nul\nlf\nend\r";
	static const char traced[] = "X-Restante-Trace: " ID "\r\na\r\n";

	(void)state;
	put(in, sizeof(in) - 1);
	run("cat >got", "");
	assert_fate(LETTER_DELIVERED, "");
	assert_got(lf, sizeof(lf) - 1);
	account.line_ends = FETCH_LINE_ENDS_CRLF;
	put("a\r\n", 3);
	run("cat >got", ID);
	assert_got(traced, sizeof(traced) - 1);
	put("", 0);
	run("cat >got; exec >&-; exec 2>&-", "");
	assert_fate(LETTER_DELIVERED, "");
	assert_got("", 0);
}

/* Every place of a block's edge, with CR and LF on its two sides. */
static void
large_messages(void **state)
{
	size_t n = 3 * 1024 * 1024, k = 0;
	char *in = malloc(n), *lf = malloc(n);

	(void)state;
	assert_non_null(in);
	assert_non_null(lf);
	for (size_t i = 0; i < n; i++)
		in[i] = i % 3 == 1 ? '\r' : i % 3 == 2 ? '\n' : 'a';
	in[n - 1] = 'z';
	for (size_t i = 0; i < n; i++)
		if (in[i] != '\r' || i + 1 == n || in[i + 1] != '\n')
			lf[k++] = in[i];
	put(in, n);
	run("cat >got", "");
	assert_fate(LETTER_DELIVERED, "");
	assert_got(lf, k);
	/* It need not read all of it. */
	put(in, n);
	run("head -c 1 >/dev/null", "");
	assert_fate(LETTER_DELIVERED, "");
	put(in, n);
	run("exec <&-; echo 'will not read' >&2; exit 75", "");
	assert_fate(LETTER_TEMPORARY, "exit status 75: will not read");
	free(in);
	free(lf);
}

static void
the_environment_is_clean(void **state)
{
	static const char expected[] = ID "|work||$(touch no)`touch no`@x|\n";

	(void)state;
	assert_int_equal(setenv("RESTANTE_SENDER", "forged", 1), 0);
	put("x\n", 2);
	run("printf '%s|%s|%s|%s|%s\\n' \"$RESTANTE_TRACE\" \"$RESTANTE_ACCOUNT\" "
	    "\"$RESTANTE_SENDER\" \"$RESTANTE_RECIPIENT\" \"$RESTANTE_UID\" >got",
		ID);
	assert_fate(LETTER_DELIVERED, "");
	assert_got(expected, sizeof(expected) - 1);
	assert_int_not_equal(access("no", F_OK), 0);
}

static void
exit_statuses(void **state)
{
	static const struct {
		const char *command;
		enum letter_fate fate;
		const char *why;
	} rows[] = {{"cat >/dev/null; exit 0", LETTER_DELIVERED, ""},
		{"echo bad data; exit 65", LETTER_REFUSED, "exit status 65: bad data"},
		{"exit 67", LETTER_REFUSED, "exit status 67"},
		{"exit 69", LETTER_TEMPORARY, "69"}, {"exit 73", LETTER_TEMPORARY, "73"},
		{"exit 75", LETTER_TEMPORARY, "75"}, {"exit 77", LETTER_TEMPORARY, "77"},
		{"exit 1", LETTER_TEMPORARY, "exit status 1"},
		{"/nowhere/mda", LETTER_TEMPORARY, "127"},
		{"kill -9 $$", LETTER_TEMPORARY, "signal 9"},
		{"printf 'a\\033[2Jb'; exit 65", LETTER_REFUSED, "a?[2Jb"},
		{"yes x | head -c 100000; printf end; exit 65", LETTER_REFUSED, "65: "}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put("x\n", 2);
		run(rows[i].command, "");
		assert_fate(rows[i].fate, rows[i].why);
	}
}

/* Its children too are ended, and what becomes of the message nobody knows. */
static void
it_must_end_in_time(void **state)
{
	static char big[1024 * 1024];

	(void)state;
	/* Far more than a busy machine needs to start a few programs. */
	account.program_timeout_ms = 2000;
	put("x\n", 2);
	run("cat >/dev/null; sleep 1000 & echo $! >got; wait", "");
	assert_fate(LETTER_UNKNOWN, "does not end in time (program_timeout)");
	FILE *f = fopen("got", "re");
	char line[32];
	char *end;
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	(void)fclose(f);
	assert_int_equal(unlink("got"), 0);
	end = strchr(line, '\n');
	assert_non_null(end);
	*end = '\0';
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%s/cmdline", line);
	/* A zombie that nobody waited for yet has no command line; one that is still
	 * being killed has it for a moment. */
	int left = EOF;
	for (int i = 0; i < 500; i++) {
		f = fopen(path, "re");
		left = f ? fgetc(f) : EOF;
		if (f)
			(void)fclose(f);
		if (left == EOF)
			break;
		(void)poll(NULL, 0, 10);
	}
	assert_int_equal(left, EOF);
	memset(big, 'x', sizeof(big));
	put(big, sizeof(big));
	account.program_timeout_ms = 500;
	run("exec sleep 1000", "");
	assert_fate(LETTER_UNKNOWN, "does not end in time (program_timeout)");
	/* It reads on, slower than the timeout. */
	account.program_timeout_ms = 2000;
	put(big, sizeof(big));
	run("for i in 1 2 3 4 5 6; do sleep 0.5; dd bs=1000 count=1; done >got", "");
	assert_fate(LETTER_DELIVERED, "");
	assert_got(big, 6000);
	/* A child that holds the output does not keep us. */
	account.program_timeout_ms = 20000;
	put("x\n", 2);
	run("cat >/dev/null; sleep 3 & exit 0", "");
	assert_fate(LETTER_DELIVERED, "");
}

/* A part of a message is never handed over. */
static void
an_unreadable_spool(void **state)
{
	(void)state;
	put("x\n", 2);
	letter.stored = 100;
	run("touch got", "");
	assert_fate(LETTER_TEMPORARY, "it was not started: Input/output error");
	assert_int_equal(access("got", F_OK), -1);
	account.line_ends = FETCH_LINE_ENDS_CRLF;
	put("x\n", 2);
	letter.stored = 100;
	run("touch got", "");
	assert_fate(LETTER_TEMPORARY, "it was not started: Input/output error");
	assert_int_equal(access("got", F_OK), -1);
}

/* Where there are no files without a name. */
static void
a_name_lives_no_longer_than_a_moment(void **state)
{
	int dir = open("spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct fetch_target_spec spec = {FETCH_PROGRAM, "true", "program:true"};
	struct target_context c = {.account = &account,
		.spec = &spec,
		.state_dir = directory,
		.mark = "mark."};
	struct target *t = NULL;
	char why[240];

	(void)state;
	assert_true(dir >= 0);
	assert_int_equal(program_input_named(dir, "mark.", &fd), 0);
	assert_int_equal(entries("spool"), 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	/* What was killed in that moment is swept; what is not ours stays. */
	for (int i = 0; i < 2; i++) {
		fd = openat(dir, i ? "mark.1" : "other.1", O_CREAT | O_WRONLY | O_CLOEXEC,
			0600);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(target_program.open(&c, &t, why, sizeof(why)), 0);
	assert_int_equal(target_program.sweep(t), 0);
	target_program.close(&t);
	assert_int_equal(entries("spool"), 1);
	assert_int_equal(unlinkat(dir, "other.1", 0), 0);
	close(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_message_comes_whole, set_up),
		cmocka_unit_test_setup(large_messages, set_up),
		cmocka_unit_test_setup(the_environment_is_clean, set_up),
		cmocka_unit_test_setup(exit_statuses, set_up),
		cmocka_unit_test_setup(it_must_end_in_time, set_up),
		cmocka_unit_test_setup(an_unreadable_spool, set_up),
		cmocka_unit_test_setup(a_name_lives_no_longer_than_a_moment, set_up),
	};
	int r;

	if (!mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	if (rmdir("spool") < 0 || chdir("/") < 0 || rmdir(directory) < 0)
		return 1;
	return r;
}
