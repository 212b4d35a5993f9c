#include "unit.h"

#include "auth/mac.h"
#include "auth/users.h"
#include "ipc/permit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const uint8_t key[32] = {1, 2, 3};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static const struct users_options standard = {
	.maildrop = {(const uint8_t *)"maildir:/srv/%u", 15}, .uid = 5000, .gid = 6000};

static struct users *
load(const char *text, size_t n)
{
	uint8_t *octets = malloc(n + 1);
	memcpy(octets, text, n);
	struct users *u = users_new(octets, n, &standard, key);
	assert_non_null(u);
	return u;
}

static enum users_fault
read_line(const char *line, struct user *user, struct view *about)
{
	return users_line_read(view_of(line), &standard, user, about);
}

static const struct {
	const char *line;
	enum users_fault fault;
	const char *about;
} faults[] = {
	{"bob:{PLAIN}x", USERS_OK, ""},
	{"bob:{PLAIN}x:1:2:G:/home/bob:/bin/sh:", USERS_OK, NULL},
	{":{PLAIN}x", USERS_NO_NAME, ""},
	{"bob", USERS_NO_PASSWORD, ""},
	{"bob:", USERS_NO_PASSWORD, ""},
	{"bob:{PLAIN}", USERS_NO_PASSWORD, NULL},
	{"bob:*", USERS_LOCKED, NULL},
	{"bob:{PLAIN}x\r", USERS_CRLF, ""},
	{"bob:{PLAIN}x\x01y", USERS_CONTROL, ""},
	{"bob\x7f:{PLAIN}x", USERS_CONTROL, ""},
	{"bob:{ROT13}x", USERS_SCHEME_UNKNOWN, "ROT13"},
	{"bob:{SHA}x", USERS_HASH_BAD, "SHA"},
	{"bob:$2y$31$abcdefghijklmnopqrstuu", USERS_HASH_COSTLY, "CRYPT"},
	{"bob:{PLAIN}x:mail:2", USERS_UID_BAD, ""},
	{"bob:{PLAIN}x:0:2", USERS_UID_BAD, ""},
	{"bob:{PLAIN}x:4294967295:2", USERS_UID_BAD, ""},
	{"bob:{PLAIN}x:-1:2", USERS_UID_BAD, ""},
	{"bob:{PLAIN}x:1:mail", USERS_GID_BAD, ""},
	{"bob:{PLAIN}x:1:0", USERS_GID_BAD, ""},
	{"bob:{PLAIN}x::::::userdb_uid=no", USERS_UID_BAD, ""},
	{"bob:{PLAIN}x:1:2::::userdb_uid=", USERS_UID_BAD, "userdb_uid"},
	{"bob:{PLAIN}x:1:2::::userdb_gid=", USERS_GID_BAD, "userdb_gid"},
	{"bob:{PLAIN}x::::::nopassword", USERS_EXTRA_UNKNOWN, "nopassword"},
	{"bob:{PLAIN}x::::::userdb_mail", USERS_EXTRA_UNKNOWN, "userdb_mail"},
	{"bob:{PLAIN}x::::::allow_nets=10.0.0.0/8,2001:db8::/32,192.0.2.1", USERS_OK,
		NULL},
	{"bob:{PLAIN}x::::::allow_nets=10.0.0.0/33", USERS_NETS_BAD,
		"allow_nets=10.0.0.0/33"},
	{"bob:{PLAIN}x::::::allow_nets=", USERS_NETS_BAD, NULL},
	{"bob:{PLAIN}x::::::allow_nets=10.0.0.0/8,", USERS_NETS_BAD, NULL},
	{"bob:{PLAIN}x::::::allow_nets=host", USERS_NETS_BAD, NULL},
	{"bob:{PLAIN}x::::::allow_nets", USERS_EXTRA_UNKNOWN, "allow_nets"},
	{"bob:{PLAIN}x::::::nologin", USERS_OK, NULL},
	{"bob:{PLAIN}x::::::nologin=no pop3=yes tls=yes apop=no", USERS_OK, NULL},
	{"bob:{PLAIN}x::::::pop3=maybe", USERS_YES_NO_BAD, "pop3=maybe"},
	{"bob:{PLAIN}x::::::tls=", USERS_YES_NO_BAD, "tls="},
	{"bob:{PLAIN}x::::::nologin=", USERS_YES_NO_BAD, "nologin="},
	{"bob:{PLAIN}x::::::pop3=", USERS_YES_NO_BAD, "pop3="},
	{"bob:{PLAIN}x::::::apop=", USERS_YES_NO_BAD, "apop="},
	{"bob:{PLAIN}x::::::mechanisms=plain,SCRAM-SHA-256", USERS_OK, NULL},
	{"bob:{PLAIN}x::::::mechanisms=NTLM", USERS_MECHANISMS_BAD, "mechanisms=NTLM"},
	{"bob:{PLAIN}x::::::mechanisms=", USERS_MECHANISMS_BAD, NULL},
	{"bob:{PLAIN}x::::::certificate=00", USERS_CERTIFICATE_BAD, "certificate=00"},
	{"bob:{PLAIN}x::::::certificate=", USERS_CERTIFICATE_BAD, "certificate="},
	{"bob:{PLAIN}x::::::expire=30 login_delay=0 connections=1 logins_per_minute=0",
		USERS_OK, NULL},
	{"bob:{PLAIN}x::::::expire=Never", USERS_EXPIRE_BAD, NULL},
	{"bob:{PLAIN}x::::::expire=", USERS_EXPIRE_BAD, "expire="},
	{"bob:{PLAIN}x::::::connections=0", USERS_NUMBER_BAD, "connections=0"},
	{"bob:{PLAIN}x::::::connections=", USERS_NUMBER_BAD, "connections="},
	{"bob:{PLAIN}x::::::login_delay=", USERS_NUMBER_BAD, "login_delay="},
	{"bob:{PLAIN}x::::::logins_per_minute=", USERS_NUMBER_BAD, "logins_per_minute="},
	{"bob:{PLAIN}x::::::login_delay=86401", USERS_NUMBER_BAD, NULL},
	{"bob:{PLAIN}x::::::logins_per_minute=-1", USERS_NUMBER_BAD, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/a  proxy=y", USERS_EXTRA_UNKNOWN,
		"proxy"},
	{"bob:{PLAIN}x::::::0:secret", USERS_EXTRA_UNKNOWN, ""},
	{"bob:{PLAIN}x::::::userdb_read_only=yes", USERS_OK, NULL},
	{"bob:{PLAIN}x::::::userdb_read_only=no", USERS_OK, NULL},
	{"bob:{PLAIN}x::::::userdb_read_only=", USERS_READ_ONLY_BAD, ""},
	{"bob:{PLAIN}x::::::userdb_read_only=yes userdb_read_only=", USERS_READ_ONLY_BAD,
		""},
	{"bob:{PLAIN}x::::::userdb_read_only=y", USERS_READ_ONLY_BAD, "y"},
	{"bob:{PLAIN}x::::::userdb_read_only=YES", USERS_READ_ONLY_BAD, "YES"},
	{"bob:{PLAIN}x::::::userdb_read_only", USERS_EXTRA_UNKNOWN, "userdb_read_only"},
	{"bob:{PLAIN}x::::::userdb_mail=mh:/a", USERS_MAIL_FORM, "mh:/a"},
	{"bob:{PLAIN}x::::::userdb_mail=mbox:/a", USERS_OK, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=mbox:", USERS_MAIL_FORM, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=mbox:~/m:INBOX=/a", USERS_OK, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=mbox:~/m:INBOX=", USERS_MAIL_FORM, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=mbox:~/m:INBOX=a", USERS_MAIL_RELATIVE, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=mbox:/m:INBOX=/a:UTF-8", USERS_MAIL_FORM, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=mbox:/m:INDEX=/a", USERS_MAIL_FORM, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/m:INBOX=/a", USERS_MAIL_FORM, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/a:LAYOUT=fs", USERS_MAIL_FORM, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:", USERS_MAIL_FORM, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/%x", USERS_MAIL_VARIABLE, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/a%", USERS_MAIL_VARIABLE, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/a/%d", USERS_MAIL_EMPTY, NULL},
	{"@d:{PLAIN}x::::::userdb_mail=maildir:/a/%n", USERS_MAIL_EMPTY, NULL},
	{"a/b:{PLAIN}x", USERS_MAIL_NAME, NULL},
	{"..:{PLAIN}x", USERS_MAIL_NAME, NULL},
	{"a..b:{PLAIN}x", USERS_MAIL_NAME, NULL},
	{"a..b:{PLAIN}x::::::userdb_mail=maildir:/a/b", USERS_OK, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:~/Maildir", USERS_MAIL_HOME, NULL},
	{"bob:{PLAIN}x::::home/bob::userdb_mail=maildir:~/Maildir", USERS_MAIL_HOME,
		NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:Maildir", USERS_MAIL_RELATIVE, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:~bob/M", USERS_MAIL_RELATIVE, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/", USERS_MAIL_RELATIVE, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/a/../b", USERS_MAIL_DOTS, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/a/./b", USERS_MAIL_DOTS, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/a/..", USERS_MAIL_DOTS, NULL},
	{"bob:{PLAIN}x::::/h/..::userdb_mail=maildir:~/m", USERS_MAIL_DOTS, NULL},
	{".:{PLAIN}x", USERS_MAIL_DOTS, NULL},
	{"bob:{PLAIN}x::::::userdb_mail=maildir:/a...b/.c", USERS_OK, NULL},
};

static void
every_fault_has_a_line(void **state)
{
	(void)state;
	struct user *user = malloc(sizeof(*user));
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct view about;
		enum users_fault fault = read_line(faults[i].line, user, &about);
		if (fault != faults[i].fault)
			print_message("# %s\n", faults[i].line);
		assert_int_equal(fault, faults[i].fault);
		assert_true(users_fault_text(fault)[0] != 0);
		if (!faults[i].about || fault == USERS_OK)
			continue;
		assert_int_equal(about.n, strlen(faults[i].about));
		assert_memory_equal(about.p, faults[i].about, about.n);
	}
	free(user);
}

static void
nothing_but_yes_makes_a_user_read_only(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		bool read_only;
	} rows[] = {
		{"bob:{PLAIN}x", false},
		{"bob:{PLAIN}x::::::userdb_read_only=yes", true},
		{"bob:{PLAIN}x::::::userdb_mail=maildir:/a userdb_read_only=yes", true},
		{"bob:{PLAIN}x::::::userdb_read_only=no", false},
		{"bob:{PLAIN}x::::::userdb_read_only=yes userdb_read_only=no", false},
	};
	struct user *user = malloc(sizeof(*user));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view about;
		assert_int_equal(read_line(rows[i].line, user, &about), USERS_OK);
		assert_int_equal(user->read_only, rows[i].read_only);
	}
	free(user);
}

static void
mail_can_be_delivered_where_nobody_can_log_in(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		bool has_maildrop;
		uint8_t store;
		const char *maildrop;
	} rows[] = {
		{"bob:{PLAIN}x", true, STORE_MAILDIR, "/srv/bob"},
		{"bob:*", true, STORE_MAILDIR, "/srv/bob"},
		{"bob", true, STORE_MAILDIR, "/srv/bob"},
		{"bob:{NOPE}x", true, STORE_MAILDIR, "/srv/bob"},
		{"bob:*::::::userdb_read_only=y", true, STORE_MAILDIR, "/srv/bob"},
		{"bob:{PLAIN}x::::::userdb_read_only=", true, STORE_MAILDIR, "/srv/bob"},
		{"bob:*:::::/s:userdb_mail=mbox:/m/%u", true, STORE_MBOX, "/m/bob"},
		{"bob:*::::/h::userdb_mail=mbox:~/m:INBOX=~/in", true, STORE_MBOX,
			"/h/in"},
		{"bob:{PLAIN}x:0", false, 0, NULL},
		{"bob:{PLAIN}x::::::userdb_mail=mh:/x", false, 0, NULL},
		{"bob:{PLAIN}x::::::nonsense", false, 0, NULL},
		{"bob:{PLAIN}x\r", false, 0, NULL},
		{"a/b:{PLAIN}x", false, 0, NULL},
	};
	struct user *user = malloc(sizeof(*user));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view about;
		(void)!read_line(rows[i].line, user, &about);
		assert_int_equal(user->has_maildrop, rows[i].has_maildrop);
		if (!rows[i].maildrop)
			continue;
		assert_int_equal(user->store, rows[i].store);
		assert_int_equal(user->maildrop_n, strlen(rows[i].maildrop));
		assert_memory_equal(
			user->maildrop_octets, rows[i].maildrop, user->maildrop_n);
	}
	free(user);
}

static void
limits_of_a_line(void **state)
{
	(void)state;
	struct user *user = malloc(sizeof(*user));
	char *line = malloc(2 * USERS_LINE_MAX);
	struct view about;
	int n = snprintf(line, USERS_LINE_MAX, "bob:{PLAIN}x:1:2:");
	memset(line + n, 'g', USERS_LINE_MAX);
	struct view v = {(uint8_t *)line, USERS_LINE_MAX};
	assert_int_equal(users_line_read(v, &standard, user, &about), USERS_OK);
	v.n++;
	assert_int_equal(users_line_read(v, &standard, user, &about), USERS_LONG);
	assert_int_equal(user->name.n, 3);
	memset(line, 'n', 256);
	memcpy(line + 255, ":{PLAIN}x", 10);
	assert_int_equal(read_line(line, user, &about), USERS_OK);
	memcpy(line + 255, "n:{PLAIN}x", 11);
	assert_int_equal(read_line(line, user, &about), USERS_NAME_LONG);
	assert_int_equal(user->name.n, 0);
	/* maildir:/hh... with the 1024th and the 1025th octet */
	n = snprintf(line, USERS_LINE_MAX, "bob:{PLAIN}x::::::userdb_mail=maildir:/");
	memset(line + n, 'h', 1024);
	line[n + 1023] = 0;
	assert_int_equal(read_line(line, user, &about), USERS_OK);
	assert_int_equal(user->maildrop_n, 1024);
	line[n + 1023] = 'h';
	line[n + 1024] = 0;
	assert_int_equal(read_line(line, user, &about), USERS_MAIL_LONG);
	free(line);
	free(user);
}

static void
ids_and_maildrops_come_from_the_right_place(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		uint32_t uid, gid;
		const char *maildrop;
	} rows[] = {
		{"bob@example.org:{PLAIN}x", 5000, 6000, "/srv/bob@example.org"},
		{"bob:{PLAIN}x:1:2::/h", 1, 2, "/srv/bob"},
		{"bob:{PLAIN}x:1", 1, 6000, "/srv/bob"},
		{"bob:{PLAIN}x:1:2::/h::userdb_mail=maildir:~/M", 1, 2, "/h/M"},
		{"bob:{PLAIN}x:1:2::/h::userdb_mail=maildir:~", 1, 2, "/h"},
		{"bob:{PLAIN}x:1:2::/h::userdb_mail=maildir:%h/M%%", 1, 2, "/h/M%"},
		{"bob:{PLAIN}x:1:2::/h::userdb_home=/i \tuserdb_mail=maildir:~/M "
		 "userdb_gid=9 "
		 "userdb_uid=8 ",
			8, 9, "/i/M"},
		{"b@d@e:{PLAIN}x::::::userdb_mail=maildir:/v/%d/%n", 5000, 6000,
			"/v/d@e/b"},
		{"4294967294:{PLAIN}x:4294967294:4294967294", 4294967294, 4294967294,
			"/srv/4294967294"},
	};
	struct user *user = malloc(sizeof(*user));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view about;
		assert_int_equal(read_line(rows[i].line, user, &about), USERS_OK);
		assert_int_equal(user->uid, rows[i].uid);
		assert_int_equal(user->gid, rows[i].gid);
		assert_int_equal(user->maildrop_n, strlen(rows[i].maildrop));
		assert_memory_equal(
			user->maildrop_octets, rows[i].maildrop, user->maildrop_n);
	}
	struct users_options none = standard;
	struct view about;
	none.uid = 0;
	struct view line = VIEW("bob:{PLAIN}x");
	assert_int_equal(users_line_read(line, &none, user, &about), USERS_UID_MISSING);
	none.uid = 1;
	none.gid = 0;
	assert_int_equal(users_line_read(line, &none, user, &about), USERS_GID_MISSING);
	free(user);
}

static void
a_file_is_found_again(void **state)
{
	(void)state;
	static const char text[] =
		"# users\n\n  \t\nbob:{PLAIN}one\nBob:{PLAIN}two\n"
		"eve:{NOPE}x\nbob:{PLAIN}later\neve:{PLAIN}later\n:x\n\nlast:{PLAIN}z";
	struct users *u = load(text, sizeof(text) - 1);
	struct user *user = malloc(sizeof(*user));
	enum users_fault fault;
	size_t n;
	size_t all;

	assert_int_equal(users_count(u), 4);
	assert_true(users_find(u, VIEW("bob"), user, &fault));
	assert_int_equal(fault, USERS_OK);
	assert_memory_equal(user->stored.octets, "one", 4);
	assert_true(users_find(u, VIEW("Bob"), user, &fault));
	assert_memory_equal(user->stored.octets, "two", 4);
	assert_true(users_find(u, VIEW("last"), user, &fault));
	assert_int_equal(fault, USERS_OK);
	/* A wrong line does not make way for a later one. */
	assert_true(users_find(u, VIEW("eve"), user, &fault));
	assert_int_equal(fault, USERS_SCHEME_UNKNOWN);
	assert_false(users_find(u, VIEW("bo"), user, &fault));
	assert_false(users_find(u, VIEW("bob\0"), user, &fault));
	assert_false(users_find(u, VIEW("# users"), user, &fault));
	assert_false(users_find(u, VIEW("bob:{PLAIN}one"), user, &fault));
	assert_false(users_find(u, VIEW(""), user, &fault));
	const struct users_report *r = users_reports(u, &n, &all);
	assert_int_equal(n, 4);
	assert_int_equal(all, 4);
	assert_int_equal(r[0].line, 6);
	assert_int_equal(r[0].fault, USERS_SCHEME_UNKNOWN);
	assert_int_equal(r[1].line, 7);
	assert_int_equal(r[1].fault, USERS_DUPLICATE);
	assert_int_equal(r[2].fault, USERS_DUPLICATE);
	assert_int_equal(r[3].line, 9);
	assert_int_equal(r[3].fault, USERS_NO_NAME);
	free(user);
	users_free(&u);
	assert_null(u);
}

static void
reports_have_a_limit(void **state)
{
	(void)state;
	char *text = malloc(3 * (USERS_REPORTS_MAX + 50));
	size_t n = 0;
	for (int i = 0; i < USERS_REPORTS_MAX + 50; i++, n += 3)
		memcpy(text + n, ":x\n", 3);
	struct users *u = load(text, n);
	size_t shown;
	size_t all;
	(void)users_reports(u, &shown, &all);
	assert_int_equal(shown, USERS_REPORTS_MAX);
	assert_int_equal(all, USERS_REPORTS_MAX + 50);
	users_free(&u);
	free(text);
}

static const struct stored *
dummy_of(const struct users *u, struct view name)
{
	const struct census *census = users_census(u);

	return census_pick(&census, 1, mac_number(key, name)).stored;
}

/* Dummies are as frequent as the schemes of the file, and each name keeps its own. */
static void
dummies_follow_the_file(void **state)
{
	(void)state;
	char text[8192];
	size_t n = 0;
	for (int i = 0; i < 30; i++)
		n += (size_t)snprintf(
			text + n, sizeof(text) - n, "s%d:$6$salt%d$x\n", i, i);
	for (int i = 0; i < 10; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "p%d:{PLAIN}x\n", i);
	struct users *u = load(text, n);
	int slow = 0;
	for (int i = 0; i < 4000; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "unknown%d", i);
		const struct stored *d = dummy_of(u, view_of(name));
		assert_ptr_equal(d, dummy_of(u, view_of(name)));
		slow += scheme_is_slow(d) ? 1 : 0;
	}
	/* 3000 are expected; the standard deviation is 27. */
	assert_in_range(slow, 2800, 3200);
	users_free(&u);
	/* With nobody who can log in, unknown names still cost something. */
	u = load("", 0);
	assert_true(scheme_is_slow(dummy_of(u, VIEW("x"))));
	users_free(&u);
}

/*
 * Each login through a helper counts. Who asks for a name again and again, by SCRAM, is
 * told the rounds of its dummy: were they others each time, nobody would be there.
 */
static void
dummies_stay_while_others_log_in(void **state)
{
	(void)state;
	struct census_class classes[CENSUS_CLASSES_MAX];
	struct census c;
	const struct census *all = &c;
	struct stored stored[2];
	struct view name;
	unsigned changes = 0;

	census_init(&c, classes);
	assert_int_equal(scheme_read(VIEW("$6$salt$x"), &stored[0], &name), SCHEME_OK);
	assert_int_equal(scheme_read(VIEW("{PLAIN}x"), &stored[1], &name), SCHEME_OK);
	for (unsigned i = 0; i < 1000; i++)
		census_add_recent(&c, &stored[i % 2]);
	for (unsigned k = 0; k < 100; k++) {
		uint8_t octet = (uint8_t)k;
		uint64_t number = mac_number(key, (struct view){&octet, 1});
		const struct stored *before = census_pick(&all, 1, number).stored;
		for (unsigned i = 0; i < 100; i++) {
			census_add_recent(&c, &stored[i % 2]);
			const struct stored *now = census_pick(&all, 1, number).stored;
			changes += now != before;
			before = now;
		}
	}
	/* Of 10000; a name beside the border may go over it now and then. */
	assert_in_range(changes, 0, 100);
}

static void
many_users_load_fast(void **state)
{
	(void)state;
	size_t lines = 100000;
	char *text = malloc(lines * 220);
	size_t n = 0;
	for (size_t i = 0; i < lines; i++)
		n += (size_t)snprintf(text + n, 220,
			"user%zu@example.org:{SHA512-CRYPT}$6$saltsalt$"
			"JcVDtuB6d1BHhCd5RPBh8g8xX/"
			"1CbY8EU2PN0MTaj2/Mypw4P./"
			"C6dN4j0HALhzBDTocyW1Jm.gYaTPjFGCV40:5000:5000::"
			"/srv/mail/user%zu::userdb_mail=maildir:~/Maildir\n",
			i, i);
	struct timespec a;
	struct timespec b;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	struct users *u = load(text, n);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 +
		(double)(b.tv_nsec - a.tv_nsec) / 1e6;
	print_message("# 100000 users in %.0f ms\n", ms);
	assert_int_equal(users_count(u), lines);
	struct user *user = malloc(sizeof(*user));
	for (size_t i = 0; i < lines; i += 997) {
		char name[40];
		enum users_fault fault;
		(void)snprintf(name, sizeof(name), "user%zu@example.org", i);
		assert_true(users_find(u, view_of(name), user, &fault));
		assert_int_equal(fault, USERS_OK);
	}
#ifndef RESTANTE_SANITIZED
	/* 200 ms are wanted; a loaded machine gets four times that. */
	assert_true(ms < 800);
#endif
	free(user);
	users_free(&u);
	free(text);
}

static void
what_cannot_be_loaded(void **state)
{
	(void)state;
	struct users *u = NULL;
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(users_load(pipes[0], &standard, key, &u), -EINVAL);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	int fd = memfd_create("users", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)USERS_OCTETS_MAX + 1), 0);
	assert_int_equal(users_load(fd, &standard, key, &u), -EFBIG);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(users_load(fd, &standard, key, &u), 0);
	assert_int_equal(users_count(u), 0);
	users_free(&u);
	(void)close(fd);
	assert_int_equal(users_load(-1, &standard, key, &u), -EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fault_has_a_line),
		cmocka_unit_test(nothing_but_yes_makes_a_user_read_only),
		cmocka_unit_test(mail_can_be_delivered_where_nobody_can_log_in),
		cmocka_unit_test(limits_of_a_line),
		cmocka_unit_test(ids_and_maildrops_come_from_the_right_place),
		cmocka_unit_test(a_file_is_found_again),
		cmocka_unit_test(reports_have_a_limit),
		cmocka_unit_test(dummies_follow_the_file),
		cmocka_unit_test(dummies_stay_while_others_log_in),
		cmocka_unit_test(many_users_load_fast),
		cmocka_unit_test(what_cannot_be_loaded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
