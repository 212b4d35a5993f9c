#include "unit.h"

#include "fetch/settings.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGS_MAX 24

static char home[] = "/tmp/restante-settings-XXXXXX";
static char told[64 * 1024]; /* what the last run wrote to stderr */

/* A copy, because a secret is wiped where it stands. */
struct args {
	int n;
	char *at[ARGS_MAX + 1];
	char text[4096];
};

/* Words between blanks; one word of _ is an empty one. */
static void
args_of(struct args *a, const char *line)
{
	a->n = 0;
	a->at[a->n++] = (char *)(uintptr_t) "restante-fetch";
	snprintf(a->text, sizeof(a->text), "%s", line);
	char *p = a->text;
	while (*p) {
		assert_true(a->n < ARGS_MAX);
		a->at[a->n++] = p;
		p += strcspn(p, " ");
		if (*p)
			*p++ = '\0';
	}
	a->at[a->n] = NULL;
}

static int
read_args(struct args *a, struct fetch_command *c)
{
	char path[] = "/tmp/restante-told-XXXXXX";
	int saved = dup(STDERR_FILENO), fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	int rc = settings_read(a->n, a->at, c);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	ssize_t n = pread(fd, told, sizeof(told) - 1, 0);
	told[n > 0 ? n : 0] = '\0';
	close(saved);
	close(fd);
	return rc;
}

static int
run(struct fetch_command *c, const char *line)
{
	struct args a;

	args_of(&a, line);
	return read_args(&a, c);
}

/* A file in the home directory, of that mode. */
static void
write_file(const char *text, mode_t mode)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/f", home);
	unlink(path);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int
run_file(struct fetch_command *c, const char *text, const char *more)
{
	char line[256];

	write_file(text, 0600);
	snprintf(line, sizeof(line), "-c %s/f%s%s", home, more[0] ? " " : "", more);
	return run(c, line);
}

#define PIN "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void
the_one_account_form(void **state)
{
	(void)state;
	struct fetch_command c;

	assert_int_equal(
		run(&c,
			"--server [::1]:1110 --user anna --password-file /p "
			"--tls none --pin sha256:" PIN " --maildir /m/ --state /s "
			"--keep --apop --timeout 5 --json"),
		64);
	assert_non_null(strstr(told, "--tls and --pin contradict each other"));
	assert_int_equal(run(&c,
				 "--server [::1]:1110 --user anna --password-file /p "
				 "--tls stls --ca /c --maildir /m/./ --state /s --keep "
				 "--apop --timeout 5 --json"),
		0);
	assert_string_equal(told, "");
	assert_int_equal(c.task, FETCH_COLLECT);
	assert_null(c.config);
	assert_string_equal(c.settings.state, "/s");
	assert_true(c.settings.json);
	assert_int_equal(c.settings.accounts_n, 1);
	const struct fetch_account *a = &c.settings.accounts[0];
	assert_string_equal(a->name, "anna@::1");
	assert_string_equal(a->host, "::1");
	assert_int_equal(a->port, 1110);
	assert_string_equal(a->user, "anna");
	assert_string_equal(a->password.file, "/p");
	assert_int_equal(a->password.fd, -1);
	assert_null(a->password.text);
	assert_int_equal(a->tls, FETCH_TLS_STLS);
	assert_false(a->plaintext);
	assert_string_equal(a->tls_options.ca_file, "/c");
	assert_int_equal(a->targets_n, 1);
	assert_string_equal(a->targets[0].text, "maildir:/m");
	assert_string_equal(a->targets[0].where, "/m");
	assert_true(a->keep && a->apop);
	assert_int_equal(a->timeout_ms, 5000);
	assert_true(a->delete_after_ms == FETCH_NEVER);
	settings_free(&c);

	assert_int_equal(run(&c,
				 "--server=h --user=u --password-fd=7 --tls=none "
				 "--maildir=m --keep=no"),
		0);
	a = &c.settings.accounts[0];
	assert_int_equal(a->port, 110);
	assert_true(a->plaintext);
	assert_int_equal(a->password.fd, 7);
	assert_false(a->keep);
	assert_true(a->targets[0].where[0] == '/');
	settings_free(&c);
}

#define ONE "--server h --user u --maildir /m "

static const struct {
	const char *line, *error;
} line_errors[] = {
	{ONE "--kepe", "--kepe: no such option, did you mean --keep?"},
	{ONE "--zzzzzzzz", "--zzzzzzzz: no such option, see restante fetch --help"},
	{ONE "-x", "-x: no such option"},
	{ONE "-kv", "-k: no such option"},
	{ONE "--keep --keep", "--keep is given twice"},
	{ONE "--timeout", "--timeout needs TIME behind it"},
	{ONE "--timeout --keep", "--timeout needs TIME behind it"},
	{ONE "--timeout 5y", "--timeout 5y: must be a duration from 1s to 1h"},
	{ONE "--timeout 0", "--timeout 0: must be a duration"},
	{ONE "--window 1001", "--window 1001: must be a number from 1 to 1000"},
	{ONE "--skip-larger 10X", "--skip-larger 10X: must be a size from 1 to"},
	{ONE "--keep=maybe", "--keep maybe: must be yes or no"},
	{ONE "--tls maybe", "--tls maybe: must be one of tls/yes/implicit, stls"},
	{ONE "--pin 00ff", "--pin 00ff: must be a SHA-256 as 64 hex digits"},
	{ONE "--auth PLAN",
		"--auth: PLAN: no mechanism of that name, for instance PLAIN"},
	{ONE "--auth CRAM-MD5 --apop", "--apop and --auth contradict each other"},
	{ONE "--delete-after 30d", "--delete-after needs keep"},
	{ONE "--delete-larger 1M", "--delete-larger needs keep"},
	{ONE "--keep-newest 10", "--keep-newest needs keep"},
	{ONE "--keep --delete-after 0", "--keep and --delete-after contradict"},
	{ONE "--keep --skip-larger 1M --delete-larger 2M", "is never fetched"},
	{ONE "--adopt --dry-run", "--adopt and --dry-run contradict each other"},
	{ONE "--adopt --retry-aside", "--adopt and --retry-aside contradict each other"},
	{ONE "--daemon --retry-aside", "--daemon goes with none of"},
	{ONE "--daemon --dry-run", "--daemon goes with none of"},
	{ONE "--daemon --list", "--daemon collects mail"},
	{ONE "--list --status", "only one of --list, --status"},
	{ONE "--quiet --verbose", "--quiet and --verbose contradict"},
	{ONE "--password-file a --password-fd 3",
		"--password-file and --password-fd exclude each other"},
	{ONE "--password-command a --token-command b", "a token and a password"},
	{ONE "--certificate /c", "certificate and key belong together"},
	{ONE "--socks5 a:b@h:1080", "put a proxy with a password into the file"},
	{ONE "--socks5 h:x", "socks5: must be HOST:PORT"},
	{ONE "--deliver maildr:/x", "did you mean maildir:DIR"},
	{ONE "--deliver /x", "must be maildir:DIR, mbox:FILE"},
	{ONE "--deliver maildir:/m", "maildir:/m is there twice"},
	{ONE "--lmtp host", "deliver: lmtp:host: must be lmtp:/SOCKET or lmtp:HOST:PORT"},
	{ONE "--mbox /", "deliver: mbox:/: must be mbox:FILE"},
	{ONE "--mbox a --mbox b --mbox c --mbox d --mbox e --mbox f --mbox g --mbox h",
		"more than 8 targets"},
	{ONE "work", "work: --server stands for one account without a file"},
	{ONE "-c /f", "--server stands for one account without a file, leave --config"},
	{ONE "--dns 127.0.0.1:53", "--dns belongs to --configure"},
	{ONE "--import foo:/x", "--import foo:/x: must be fetchids:FILE"},
	{"--server h:0 --user u --maildir /m", "--server h:0: must be HOST"},
	{"--server h:65536 --user u --maildir /m", "must be HOST, HOST:PORT"},
	{"--server h --maildir /m", "--user is missing"},
	{"--server h --user u", "no target: say --maildir DIR"},
	{"--user u --maildir /m", "--user needs --server"},
	{ONE "--sender a\x1b[2J", "--sender: its value holds a control character"},
	{"--configure anna", "--configure anna: must be USER@DOMAIN"},
	{"--server h --user recent:u --recent --maildir /m", "begins with recent:"},
};

static void
mistakes_of_the_command_line(void **state)
{
	(void)state;
	struct fetch_command c;

	for (size_t i = 0; i < sizeof(line_errors) / sizeof(line_errors[0]); i++) {
		int rc = run(&c, line_errors[i].line);
		if (rc != 64 || !strstr(told, line_errors[i].error))
			fail_msg("%s: %d, %s", line_errors[i].line, rc, told);
		assert_int_equal(strncmp(told, "restante fetch: ", 16), 0);
	}
}

static void
a_password_on_the_command_line_is_refused_and_wiped(void **state)
{
	(void)state;
	static const char *const lines[] = {"--server h --password s3cret --keep",
		"--password=s3cret", "--smtp-password s3cret", "--pass s3cret",
		"--passwd=s3cret", "--token s3cret"};
	struct fetch_command c;
	struct args a;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		args_of(&a, lines[i]);
		assert_int_equal(read_args(&a, &c), 64);
		assert_non_null(strstr(told, "can read a command line (ps)"));
		assert_non_null(strstr(told, "--password-command"));
		assert_null(strstr(told, "s3cret"));
		assert_null(memmem(a.text, sizeof(a.text), "s3cret", 6));
	}
}

#define GOOD                                                                             \
	"[defaults]\nserver = h\ndeliver = maildir:~/M\n[account a]\nuser = "            \
	"u\n"

static const struct {
	const char *text, *error;
} file_errors[] = {
	{"", "f: there is no [account NAME] in it"},
	{"sate = /x\n" GOOD, "f:1: sate: no such option, did you mean state?"},
	{"user = x\n" GOOD, "f:1: user is an option of an account, put it below"},
	{GOOD "parallel = 3\n", "f:6: parallel is an option of the whole run"},
	{GOOD "maildir = /x\n",
		"f:6: maildir is for the command line, write deliver = "
		"maildir:WHERE"},
	{GOOD "dry_run = yes\n", "f:6: dry_run is for the command line only"},
	{GOOD "usr = x\n", "f:6: usr: no such option, did you mean user?"},
	{GOOD "qqqqqqqqq = x\n", "f:6: qqqqqqqqq: no such option, see"},
	{GOOD "user = x\n", "f:6: user was set in line 5 already"},
	{GOOD "tls = x\n", "f:6: tls = x: must be one of"},
	{GOOD "ca = x\n", "f:6: ca = x: must be a path from / or ~/ on"},
	{GOOD "deliver = mbox:x\n", "with a path from / or ~/ on"},
	{GOOD "deliver = mbox:x\ndeliver = mbox:/x\n",
		"f:6: account a: deliver: mbox:x:"},
	{GOOD "deliver = mbox:/x\ndeliver = mbox:/y\ndeliver = mbox:/x\ndeliver = "
	      "mbox:/z\n",
		"f:8: account a: deliver: mbox:/x is there twice"},
	{GOOD "password = \n", "f:6: account a: "},
	{GOOD "delete_after = 30d\n", "f:6: account a: delete_after needs keep"},
	{GOOD "poll_min = 2h\n", "poll_min and poll_max contradict each other"},
	{GOOD "smtp_password_file = /x\n", "smtp_password needs smtp_user"},
	{GOOD "smtp_user = x\ntoken_command = y\n",
		"f:6: account a: smtp_user needs a password of its own"},
	{GOOD "password_file = /x\npassword_command = y\n",
		"f:7: account a: password_file and password_command exclude"},
	{GOOD "[account a]\n", "f:6: account a is there since line 4 already"},
	{GOOD "[account a b]\n", "f:6: an account's name has 1 to 64 letters"},
	{GOOD "[acount b]\n", "f:6: [acount b]: there is no such section"},
	{GOOD "[defaults]\n", "f:6: [defaults] stands before the first account"},
	{GOOD "[account b\n", "f:6: [account b: a section ends with `]`"},
	{GOOD "what\n", "f:6: what: neither `name = value`"},
	{GOOD "sender = \x1b[2J\n", "f:6: column 10 holds a control character"},
	{GOOD "sender = \"x\n", "f:6: a value that begins with `\"`"},
	{GOOD "server = \n", "f:6: account a: server is missing"},
	{"[account b]\nuser = u\n", "f:1: account b: server is missing"},
	{"[account b]\nserver = h\n", "f:1: account b: user is missing"},
	{"[account b]\nserver = h\nuser = u\n", "f:1: account b: no target"},
};

static void
mistakes_of_the_file(void **state)
{
	(void)state;
	struct fetch_command c;

	for (size_t i = 0; i < sizeof(file_errors) / sizeof(file_errors[0]); i++) {
		int rc = run_file(&c, file_errors[i].text, "");
		bool is_empty_password =
			strstr(file_errors[i].text, "password = ") != NULL;
		if (is_empty_password) {
			/* Takes back what [defaults] said: no error. */
			assert_int_equal(rc, 0);
			settings_free(&c);
			continue;
		}
		if (rc != 78 || !strstr(told, file_errors[i].error))
			fail_msg("%s: %d, %s", file_errors[i].text, rc, told);
	}
}

/* Errors go to journals and mails. */
static void
a_password_is_not_told(void **state)
{
	static const char *const lines[] = {
		GOOD "password s3cret-hunter2\n",
		GOOD "password\ts3cret-hunter2\n",
		GOOD "password s3cret-hunter2==\n",
		GOOD "password: s3cret-hunter2\n",
		GOOD "password:s3cret-hunter2=\n",
	};
	struct fetch_command c;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(run_file(&c, lines[i], ""), 78);
		assert_non_null(strstr(told, "f:6: password: "));
		if (strstr(told, "s3cret"))
			fail_msg("%s: %s", lines[i], told);
	}
}

static void
all_mistakes_are_told_in_one_run(void **state)
{
	(void)state;
	struct fetch_command c;

	assert_int_equal(
		run_file(&c, GOOD "tls = x\nwindow = 0\n[account b]\nusr = x\n", ""), 78);
	assert_non_null(strstr(told, "f:6: "));
	assert_non_null(strstr(told, "f:7: "));
	assert_non_null(strstr(told, "f:9: usr"));
	assert_non_null(strstr(told, "f:8: account b: user is missing"));
}

/* Case tells no hosts apart, but zones. */
static void
hosts_are_in_small_letters(void **state)
{
	struct fetch_command c;

	(void)state;
	assert_int_equal(
		run_file(&c,
			GOOD "[account b]\nserver = POP.Example.ORG:1110\nuser = U\n",
			""),
		0);
	assert_string_equal(c.settings.accounts[1].host, "pop.example.org");
	assert_int_equal(c.settings.accounts[1].port, 1110);
	assert_string_equal(c.settings.accounts[1].user, "U");
	settings_free(&c);
	assert_int_equal(
		run_file(&c, GOOD "[account b]\nserver = [FE80::1%eN0]:1110\nuser = u\n",
			""),
		0);
	assert_string_equal(c.settings.accounts[1].host, "fe80::1%eN0");
	settings_free(&c);
}

static void
the_nearer_value_counts(void **state)
{
	(void)state;
	struct fetch_command c;
	char want[128];

	assert_int_equal(
		run_file(&c,
			"state = ~/s\nparallel = 3\n[defaults]\nserver = h\nkeep = yes\n"
			"delete_after = 30d\npassword_command = c\n"
			"deliver = maildir:~/M//x/\ndeliver = mbox:/b\n"
			"[account a]\nuser = a\nauth = scram-sha-256, plain\n"
			"pin = sha256:"
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
			"\n"
			"[account b]\nuser = b\ndeliver = program:x y\npassword = p\n"
			"delete_after = never\ntls = stls\n"
			"[account c]\nuser = c\nserver = i:7\ntls = none\n",
			"a b --window 7 --parallel 5"),
		0);
	snprintf(want, sizeof(want), "%s/s", home);
	assert_string_equal(c.settings.state, want);
	assert_int_equal(c.settings.parallel, 5);
	assert_int_equal(c.settings.accounts_n, 2);
	const struct fetch_account *a = &c.settings.accounts[0], *b = a + 1;
	assert_string_equal(a->name, "a");
	assert_true(a->delete_after_ms == UINT64_C(30) * 86400000);
	assert_int_equal(a->targets_n, 2);
	snprintf(want, sizeof(want), "maildir:%s/M/x", home);
	assert_string_equal(a->targets[0].text, want);
	assert_string_equal(a->password.command, "c");
	assert_string_equal(a->auth, "SCRAM-SHA-256 PLAIN");
	assert_int_equal(a->window, 7);
	assert_int_equal(a->tls_options.pins_n, 1);
	assert_int_equal(a->tls_options.pins[0][31], 31);
	assert_int_equal(a->port, 995);
	assert_true(b->delete_after_ms == FETCH_NEVER);
	assert_int_equal(b->targets_n, 1);
	assert_string_equal(b->targets[0].where, "x y");
	assert_int_equal(b->targets[0].kind, FETCH_PROGRAM);
	assert_null(b->password.command);
	assert_string_equal(b->password.text, "p");
	assert_int_equal(b->port, 110);
	settings_free(&c);

	/* tls = none of a file does not allow passwords in the clear; here it is said. */
	assert_int_equal(run_file(&c, GOOD "tls = none\n", ""), 0);
	assert_false(c.settings.accounts[0].plaintext);
	settings_free(&c);
	assert_int_equal(run_file(&c, GOOD, "--tls none --mbox x"), 0);
	assert_true(c.settings.accounts[0].plaintext);
	assert_int_equal(c.settings.accounts[0].targets_n, 1);
	assert_int_equal(c.settings.accounts[0].targets[0].kind, FETCH_MBOX);
	settings_free(&c);
}

static void
a_password_in_a_file_that_others_can_read(void **state)
{
	(void)state;
	struct fetch_command c;
	char line[128];

	snprintf(line, sizeof(line), "-c %s/f", home);
	write_file(GOOD "password = s3cret\n", 0640);
	assert_int_equal(run(&c, line), 78);
	assert_non_null(strstr(told, "f:6: password: the file can be read by others"));
	assert_null(strstr(told, "s3cret"));
	write_file(GOOD "socks5 = a:b@h:1\n", 0604);
	assert_int_equal(run(&c, line), 78);
	assert_non_null(strstr(told, "socks5: the file can be read by others"));
	write_file(GOOD, 0644);
	assert_int_equal(run(&c, line), 0);
	settings_free(&c);
	write_file(GOOD "password = s3cret\n", 0600);
	assert_int_equal(run(&c, line), 0);
	assert_string_equal(c.settings.accounts[0].password.text, "s3cret");
	settings_free(&c);
}

static void
names_and_tasks(void **state)
{
	(void)state;
	struct fetch_command c;

	assert_int_equal(run_file(&c, GOOD "[account work]\nuser = w\n", "wrok"), 64);
	assert_non_null(strstr(told, "wrok: there is no such account in "));
	assert_non_null(strstr(told, "did you mean work?"));
	assert_int_equal(run_file(&c, GOOD, "--status a"), 0);
	assert_int_equal(c.task, FETCH_STATUS);
	assert_true(c.named);
	settings_free(&c);
	assert_int_equal(run_file(&c, GOOD, "--configure x@y.org --dns 127.0.0.1:53"), 0);
	assert_int_equal(c.task, FETCH_CONFIGURE);
	assert_string_equal(c.argument, "x@y.org");
	assert_string_equal(c.dns, "127.0.0.1:53");
	assert_int_equal(c.settings.accounts_n, 1);
	assert_string_equal(c.settings.accounts[0].name, "x@y.org");
	assert_string_equal(c.settings.accounts[0].host, "");
	assert_int_equal(c.settings.accounts[0].targets_n, 1);
	settings_free(&c);
	assert_int_equal(run_file(&c, GOOD, "--import fetchids:~/.fetchids"), 0);
	assert_non_null(strstr(c.argument, home));
	settings_free(&c);
	assert_int_equal(run(&c, "--status --state /nowhere"), 0);
	assert_null(c.config);
	settings_free(&c);
	assert_int_equal(run(&c, ""), 78);
	assert_non_null(strstr(told, ".config/restante/fetch.conf: cannot be read"));
	assert_int_equal(run(&c, "--server -h --nonsense"), 64);
	assert_int_equal(run(&c, "-h --server h"), 0);
	assert_int_equal(c.task, FETCH_HELP);
	settings_free(&c);
}

static void
limits(void **state)
{
	(void)state;
	struct fetch_command c;
	static char text[200 * 1024];
	int n = snprintf(text, sizeof(text),
		"[defaults]\nserver=h\nuser=u\n"
		"deliver=maildir:/m\n");
	for (int i = 0; i < FETCH_ACCOUNTS_MAX; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "[account a%d]\n", i);
	assert_int_equal(run_file(&c, text, ""), 0);
	assert_int_equal(c.settings.accounts_n, FETCH_ACCOUNTS_MAX);
	assert_string_equal(c.settings.accounts[4095].name, "a4095");
	settings_free(&c);
	snprintf(text + n, sizeof(text) - (size_t)n, "[account more]\n");
	assert_int_equal(run_file(&c, text, ""), 78);
	assert_non_null(strstr(told, "more than 4096 accounts"));
	memset(text, 'x', 5000);
	text[5000] = '\0';
	assert_int_equal(run_file(&c, text, ""), 78);
	assert_non_null(strstr(told, "f:1: the line is longer than 4096 octets"));
}

static int
setup(void **state)
{
	(void)state;
	if (!mkdtemp(home) || chdir(home) != 0)
		return -1;
	setenv("HOME", home, 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_STATE_HOME");
	return 0;
}

static int
teardown(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/f", home);
	unlink(path);
	return chdir("/") != 0 || rmdir(home) != 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_one_account_form),
		cmocka_unit_test(mistakes_of_the_command_line),
		cmocka_unit_test(a_password_on_the_command_line_is_refused_and_wiped),
		cmocka_unit_test(mistakes_of_the_file),
		cmocka_unit_test(a_password_is_not_told),
		cmocka_unit_test(hosts_are_in_small_letters),
		cmocka_unit_test(all_mistakes_are_told_in_one_run),
		cmocka_unit_test(the_nearer_value_counts),
		cmocka_unit_test(a_password_in_a_file_that_others_can_read),
		cmocka_unit_test(names_and_tasks),
		cmocka_unit_test(limits),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
