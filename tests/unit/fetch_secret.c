/*
 * Secrets: every source, and what can be wrong with each. No secret may show in a reason.
 */
#include "unit.h"

#include "base/check.h"
#include "fetch/secret_ask.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char dir[] = "/tmp/fetch-secret.XXXXXX";
static char why[600];
static const struct fetch_secret_source nothing = {.fd = -1};

static void
put_file(
	const char *name, const void *p, size_t n, mode_t mode, char *path, size_t path_n)
{
	AUTO_FD fd = -1;

	(void)snprintf(path, path_n, "%s/%s", dir, name);
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, p, n), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static void
is(struct secret *s, int rc, const char *want)
{
	if (rc != 0)
		fail_msg("%d: %s", rc, why);
	assert_int_equal(s->n, strlen(want));
	assert_memory_equal(s->octets, want, s->n + 1);
	secret_wipe(s);
	assert_null(s->octets);
	assert_int_equal(s->n, 0);
}

static void
is_not(int rc, int want, const char *part)
{
	assert_int_equal(rc, want);
	if (!strstr(why, part))
		fail_msg("\"%s\" lacks \"%s\"", why, part);
	assert_null(strstr(why, "hunter2"));
}

static int
of_file(const void *p, size_t n, struct secret *ret)
{
	struct fetch_secret_source from = nothing;
	char path[200];

	put_file("password", p, n, 0600, path, sizeof(path));
	from.file = path;
	return secret_read(&from, NULL, ret, why, sizeof(why));
}

static void
files(void **state)
{
	static char big[SECRET_OCTETS_MAX + 10];
	struct secret s = {0, NULL};

	(void)state;
	is(&s, of_file("hunter2", 7, &s), "hunter2");
	is(&s, of_file("hunter2\n", 8, &s), "hunter2");
	is(&s, of_file("hunter2\r\n", 9, &s), "hunter2");
	is(&s, of_file(" hun ter2 \nmore\n", 16, &s), " hun ter2 ");
	is(&s, of_file("hunter2\r", 8, &s), "hunter2\r");
	is(&s, of_file("\xC3\xA9\n\0", 4, &s), "\xC3\xA9");
	is_not(of_file("", 0, &s), -EINVAL, "is empty");
	is_not(of_file("\nhunter2", 8, &s), -EINVAL, "is empty");
	is_not(of_file("\r\n", 2, &s), -EINVAL, "is empty");
	is_not(of_file("hunter2\0x\n", 10, &s), -EINVAL, "a NUL");

	memset(big, 'x', sizeof(big));
	big[SECRET_OCTETS_MAX] = '\0';
	is(&s, of_file(big, SECRET_OCTETS_MAX, &s), big);
	big[SECRET_OCTETS_MAX] = '\n';
	assert_int_equal(of_file(big, SECRET_OCTETS_MAX + 1, &s), 0);
	assert_int_equal(s.n, SECRET_OCTETS_MAX);
	secret_wipe(&s);
	memcpy(big + SECRET_OCTETS_MAX, "\r\n", 2);
	assert_int_equal(of_file(big, SECRET_OCTETS_MAX + 2, &s), 0);
	assert_int_equal(s.n, SECRET_OCTETS_MAX);
	secret_wipe(&s);
	big[SECRET_OCTETS_MAX] = 'x';
	is_not(of_file(big, SECRET_OCTETS_MAX + 2, &s), -EFBIG, "longer than 16384");
	is_not(of_file(big, SECRET_OCTETS_MAX + 1, &s), -EFBIG, "longer than 16384");
	memset(big, 'x', sizeof(big));
	is_not(of_file(big, sizeof(big), &s), -EFBIG, "longer than 16384");
	assert_null(s.octets);
}

static void
files_that_are_none(void **state)
{
	struct fetch_secret_source from = nothing;
	struct secret s = {0, NULL};

	(void)state;
	from.file = "/nowhere/at/all";
	is_not(secret_read(&from, NULL, &s, why, sizeof(why)), -ENOENT,
		"/nowhere/at/all: No such file");
	from.file = dir;
	is_not(secret_read(&from, NULL, &s, why, sizeof(why)), -EISDIR, "cannot be read");
}

static void
files_that_others_read(void **state)
{
	static const struct {
		mode_t mode;
		bool open;
	} rows[] = {{0600, false}, {0400, false}, {0640, true}, {0604, true},
		{0620, true}, {0644, true}};
	char path[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		put_file("modes", "x", 1, rows[i].mode, path, sizeof(path));
		why[0] = '\0';
		assert_int_equal(
			secret_file_is_open(path, why, sizeof(why)), rows[i].open);
		assert_int_equal(strstr(why, "chmod 600") != NULL, rows[i].open);
	}
	assert_false(secret_file_is_open("/dev/null", why, sizeof(why)));
	assert_false(secret_file_is_open("/nowhere", why, sizeof(why)));
}

/* Only the first line is taken from a pipe, in whatever pieces it comes. */
static void
descriptors(void **state)
{
	struct fetch_secret_source from = nothing;
	struct secret s = {0, NULL}, kept = {0, NULL};
	char rest[8];
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fd_write_all(ends[1], "hunter2\nrest", 12), 0);
	from.fd = ends[0];
	is(&s, secret_read(&from, NULL, &s, why, sizeof(why)), "hunter2");
	assert_int_equal(read(ends[0], rest, sizeof(rest)), 4);
	assert_int_not_equal(fcntl(ends[0], F_GETFD) & FD_CLOEXEC, 0);
	/* What it gave once is given again and again. */
	assert_int_equal(fd_write_all(ends[1], "hunter2\nhunter3\n", 16), 0);
	is(&s, secret_read_once(&from, &kept, &s, why, sizeof(why)), "hunter2");
	is(&s, secret_read_once(&from, &kept, &s, why, sizeof(why)), "hunter2");
	secret_wipe(&kept);
	is(&s, secret_read(&from, NULL, &s, why, sizeof(why)), "hunter3");
	fd_close(&ends[1]);
	is_not(secret_read_once(&from, &kept, &s, why, sizeof(why)), -EINVAL,
		"--password-fd is empty");
	fd_close(&ends[0]);
	is_not(secret_read(&from, NULL, &s, why, sizeof(why)), -EBADF, "is not open");
}

static void
commands(void **state)
{
	struct secret s = {0, NULL};
	char path[200], line[300];

	(void)state;
	is(&s, secret_token("echo hunter2", &s, why, sizeof(why)), "hunter2");
	is(&s, secret_token("printf hunter2", &s, why, sizeof(why)), "hunter2");
	is(&s, secret_token("echo hunter2; seq 100000", &s, why, sizeof(why)), "hunter2");
	is(&s, secret_token("cat; echo hunter2", &s, why, sizeof(why)), "hunter2");
	is(&s, secret_token("echo hunter2; exec >&-; true", &s, why, sizeof(why)),
		"hunter2");
	is_not(secret_token("echo hunter2; exit 3", &s, why, sizeof(why)), -EIO,
		"token_command failed with status 3");
	is_not(secret_token("echo hunter2; kill -9 $$", &s, why, sizeof(why)), -EIO,
		"ended by signal 9");
	is_not(secret_token("true", &s, why, sizeof(why)), -EINVAL, "is empty");
	is_not(secret_token("/nowhere/hunter2 2>/dev/null", &s, why, sizeof(why)), -EIO,
		"status 127");
	is_not(secret_token("head -c 20000 /dev/zero | tr '\\0' x", &s, why, sizeof(why)),
		-EFBIG, "longer than");
	is_not(secret_token("printf 'hunter2\\0x\\n'", &s, why, sizeof(why)), -EINVAL,
		"NUL");
	/* Nothing of ours is open in it; signals are as they were. */
	put_file("others", "x", 1, 0600, path, sizeof(path));
	AUTO_FD fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	(void)snprintf(line, sizeof(line),
		"test -e /proc/self/fd/%d && echo open || echo shut", fd);
	is(&s, secret_token(line, &s, why, sizeof(why)), "shut");
	is(&s,
		secret_token("sed -n 's/^SigBlk:.//p' /proc/self/status", &s, why,
			sizeof(why)),
		"0000000000000000");
}

/* A background process that holds the pipe is not waited for; one that never ends is
 * killed together with its children. */
static void
commands_that_do_not_end(void **state)
{
	struct secret s = {0, NULL};
	char path[200], line[400];
	uint8_t *pids = NULL;
	uint64_t start = clock_ms();
	size_t n = 0;
	int one = 0, rc;

	(void)state;
	put_file("pids", "", 0, 0600, path, sizeof(path));
	(void)snprintf(line, sizeof(line), "sleep 100 & echo $! >%s; echo hunter2", path);
	is(&s, secret_token(line, &s, why, sizeof(why)), "hunter2");
	assert_true(clock_ms() - start < 20000);
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_read_file(fd, 100, &pids, &n), 0);
	for (size_t i = 0; i < n && pids[i] >= '0' && pids[i] <= '9'; i++)
		one = one * 10 + (pids[i] - '0');
	free(pids);
	assert_true(one > 1);
	assert_int_equal(kill(one, SIGKILL), 0);

	start = clock_ms();
	rc = secret_ask_command_within("echo hunter2; sleep 100 | sleep 100",
		"password_command", 1500, &s, why, sizeof(why));
	is_not(rc, -ETIMEDOUT, "password_command did not end within 1 s");
	assert_true(clock_ms() - start < 20000);
	/* One that closes its output and goes on. */
	rc = secret_ask_command_within(
		"exec >&-; sleep 100", "password_command", 300, &s, why, sizeof(why));
	is_not(rc, -ETIMEDOUT, "did not end");
}

static void
credentials(void **state)
{
	struct fetch_secret_source from = nothing;
	struct secret s = {0, NULL};
	char path[200];

	(void)state;
	put_file("pop3", "hunter2\n", 8, 0400, path, sizeof(path));
	from.credential = "pop3";
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	is_not(secret_read(&from, NULL, &s, why, sizeof(why)), -ENOENT,
		"LoadCredential=pop3:/PATH");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
	is(&s, secret_read(&from, NULL, &s, why, sizeof(why)), "hunter2");
	from.credential = "smtp";
	is_not(secret_read(&from, NULL, &s, why, sizeof(why)), -ENOENT, "No such file");
	for (size_t i = 0; i < 4; i++) {
		from.credential = (const char *[]){"", ".", "..", "../pop3"}[i];
		is_not(secret_read(&from, NULL, &s, why, sizeof(why)), -EINVAL,
			"without slashes");
	}
	assert_int_equal(
		symlink("pop3", (snprintf(path, sizeof(path), "%s/link", dir), path)), 0);
	from.credential = "link";
	assert_int_equal(secret_read(&from, NULL, &s, why, sizeof(why)), -ELOOP);
}

static void
texts_and_nothing(void **state)
{
	struct fetch_secret_source from = nothing;
	struct secret s = {0, NULL};

	(void)state;
	from.text = "hunter2";
	is(&s, secret_read(&from, NULL, &s, why, sizeof(why)), "hunter2");
	from.text = "";
	is_not(secret_read(&from, NULL, &s, why, sizeof(why)), -EINVAL, "is empty");
	is_not(secret_read(&nothing, NULL, &s, why, sizeof(why)), -ENOENT,
		"password_command");
	secret_wipe(&s);
}

/* The pages of a secret are not in core dumps. */
static void
kept_out_of_dumps(void **state)
{
	struct secret s = {0, NULL};
	char line[512], at[40];
	bool found = false, in = false;
	FILE *maps;

	(void)state;
	assert_int_equal(of_file("hunter2", 7, &s), 0);
	maps = fopen("/proc/self/smaps", "re");
	assert_non_null(maps);
	(void)snprintf(at, sizeof(at), "%lx-", (unsigned long)(uintptr_t)s.octets);
	while (fgets(line, sizeof(line), maps)) {
		if (strncmp(line, at, strlen(at)) == 0)
			in = true;
		if (in && strncmp(line, "VmFlags:", 8) == 0) {
			found = strstr(line, " dd") != NULL;
			break;
		}
	}
	assert_int_equal(fclose(maps), 0);
	assert_true(found);
	secret_wipe(&s);
}

/* ---- a terminal of one's own ---- */

/* In a session on that terminal: asks and says through its exit status what came. */
[[gnu::noreturn]] static void
ask_there(const char *slave, const char *want)
{
	struct secret s = {0, NULL};
	int tty, rc;

	(void)setsid();
	tty = open(slave, O_RDWR);
	if (tty < 0 || ioctl(tty, TIOCSCTTY, 0) < 0)
		_exit(90);
	rc = secret_read(&nothing, "Password of anna: ", &s, why, sizeof(why));
	if (rc < 0)
		_exit(91);
	rc = strcmp((const char *)s.octets, want) == 0 ? 0 : 92;
	secret_wipe(&s);
	_exit(rc);
}

struct terminal {
	int fd;
	pid_t pid;
	char seen[2000];
	size_t n;
};

static struct terminal
terminal_open(const char *want)
{
	struct terminal t = {.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
	char slave[100];

	assert_true(t.fd >= 0);
	assert_int_equal(grantpt(t.fd), 0);
	assert_int_equal(unlockpt(t.fd), 0);
	assert_int_equal(ptsname_r(t.fd, slave, sizeof(slave)), 0);
	t.pid = fork();
	assert_true(t.pid >= 0);
	if (t.pid == 0)
		ask_there(slave, want);
	return t;
}

static void
terminal_expect(struct terminal *t, const char *part)
{
	while (!strstr(t->seen, part)) {
		struct pollfd p = {t->fd, POLLIN, 0};
		ssize_t n;

		assert_int_equal(poll(&p, 1, 20000), 1);
		n = read(t->fd, t->seen + t->n, sizeof(t->seen) - 1 - t->n);
		assert_true(n > 0);
		t->n += (size_t)n;
	}
}

static bool
echoes(const struct terminal *t)
{
	struct termios now;

	assert_int_equal(tcgetattr(t->fd, &now), 0);
	return now.c_lflag & ECHO;
}

static void
asked_on_a_terminal(void **state)
{
	struct terminal t = terminal_open("hunter2");
	int status;

	(void)state;
	terminal_expect(&t, "Password of anna: ");
	assert_false(echoes(&t));
	assert_int_equal(fd_write_all(t.fd,
				 "hunter3\x7F"
				 "2\n",
				 10),
		0);
	terminal_expect(&t, "\n");
	assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
	assert_int_equal(status, 0);
	assert_true(echoes(&t));
	assert_null(strstr(t.seen, "hunter"));
	fd_close(&t.fd);
}

static void
interrupted_on_a_terminal(void **state)
{
	struct terminal t = terminal_open("hunter2");
	int status;

	(void)state;
	terminal_expect(&t, "Password of anna: ");
	assert_false(echoes(&t));
	assert_int_equal(fd_write_all(t.fd, "hun\x03", 4), 0);
	assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
	assert_true(echoes(&t));
	fd_close(&t.fd);
}

/* Nobody to ask: a session without a terminal. */
static void
no_terminal(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		struct secret s = {0, NULL};

		(void)setsid();
		if (secret_read(&nothing, "Password: ", &s, why, sizeof(why)) != -ENOENT)
			_exit(1);
		_exit(strstr(why, "no terminal to ask on") ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int
make_dir(void **state)
{
	(void)state;
	/* Commands have a limit of time only where there is no terminal. */
	(void)setsid();
	return mkdtemp(dir) ? 0 : -1;
}

static int
remove_dir(void **state)
{
	static const char *const names[] = {
		"password", "modes", "others", "pids", "pop3", "link"};
	char path[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
		cmocka_unit_test(files_that_are_none),
		cmocka_unit_test(files_that_others_read),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(commands),
		cmocka_unit_test(commands_that_do_not_end),
		cmocka_unit_test(credentials),
		cmocka_unit_test(texts_and_nothing),
		cmocka_unit_test(kept_out_of_dumps),
		cmocka_unit_test(asked_on_a_terminal),
		cmocka_unit_test(interrupted_on_a_terminal),
		cmocka_unit_test(no_terminal),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
