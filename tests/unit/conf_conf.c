#include "unit.h"

#include "conf_loading.h"

/* So that listeners alone give no error in the rows below. */
#define OPEN "plaintext = always\n[listener a]\naddress = 127.0.0.1:110\n"

#define LMTP   "[listener b]\nprotocol = lmtp\n"
#define DIGITS "012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *text, *error;
} errors[] = {
	{"maildrp = maildir:~/M\n" OPEN,
		"f:1: maildrp: no such option, did you mean maildrop?"},
	{"qqqqqqqqqqqq = 1\n" OPEN,
		"f:1: qqqqqqqqqqqq: no such option, see restante.conf(5)"},
	{"\n# x\nlast = perhaps\n" OPEN, "f:3: last = perhaps: must be yes or no"},
	{"fronts = 33\n" OPEN, "f:1: fronts = 33: must be a number from 1 to 32"},
	{"fronts = -1\n" OPEN, "f:1: fronts = -1: must be a number from 1 to 32"},
	{"expire = later\n" OPEN,
		"f:1: expire = later: must be a number from 0 to 36500, or "
		"never"},
	{"idle_timeout = 10\n" OPEN,
		"f:1: idle_timeout = 10: must be a duration from 1s to 1d, "
		"written as"},
	{"idle_timeout = 2d\n" OPEN, "f:1: idle_timeout = 2d: must be a duration"},
	{"idle_timeout = 99999999999999999999d\n" OPEN, ": must be a duration"},
	{"log = disk\n" OPEN, "f:1: log = disk: must be one of stderr, syslog"},
	{"tls_key = key.pem\n" OPEN, "f:1: tls_key = key.pem: must be an absolute path"},
	{"users_file =\n" OPEN, "f:1: users_file = : must be 2 to 1023 octets long"},
	{"mail_roots = ,\n" OPEN, "f:1: mail_roots = ,: must be a list of at least one"},
	{"mail_roots = /a b\n" OPEN,
		"f:1: mail_roots: b: must be an absolute path below /"},
	{"mail_roots = /a /a\n" OPEN, "f:1: mail_roots: /a is there twice, remove one"},
	{"mail_groups = 0\n" OPEN, "f:1: mail_groups: 0: must be a number from 1"},
	{"mail_groups = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n" OPEN,
		"must be a list of at most 16"},
	{"mail_uid = 12\n" OPEN,
		"f:1: mail_uid is not within mail_uid_min and mail_uid_max"},
	{"mail_gid = 12\n" OPEN, "f:1: mail_gid is not within"},
	{"mail_uid = 64810\n" OPEN,
		"f:1: mail_uid lies among the 64 numbers from service_uids"},
	{"mail_gid = 64863\n" OPEN,
		"f:1: mail_gid lies among the 64 numbers from service_uids"},
	{"sql_uid = 64800\n", "f:1: sql_uid lies among the 64 numbers from service_uids"},
	{"ldap_uid = 64863\n",
		"f:1: ldap_uid lies among the 64 numbers from service_uids"},
	{"command_uid = 64801\n",
		"f:1: command_uid lies among the 64 numbers from service_uids"},
	{"command_gid = 64802\n",
		"f:1: command_gid lies among the 64 numbers from service_uids"},
	{"[listener l]\naddress = unix:/run/l\nprotocol = lmtp\nsocket_group = 64803\n",
		"f:4: socket_group lies among the 64 numbers from service_uids"},
	{"mail_groups = 8 64800\n" OPEN,
		"f:1: one of mail_groups lies among the 64 numbers from service_uids"},
	{"mail_uid_min = 600\nmail_uid_max = 599\n" OPEN,
		"f:1: mail_uid_min is above mail_uid_max, exchange them"},
	{"maildrop = mh:~/m\n" OPEN,
		"f:1: maildrop = mh:~/m: must begin with maildir: or mbox:"},
	{"maildrop = mbox:m\n" OPEN, "f:1: maildrop = mbox:m: the path must begin with"},
	{"maildrop = mbox:~/m:INBOX=m\n" OPEN, "the path must begin with"},
	{"maildrop = mbox:~/m:LAYOUT=fs\n" OPEN, "a path without a colon"},
	{"maildrop = maildir:~/m:INBOX=/x\n" OPEN, "a path without a colon"},
	{"maildrop = maildir:m\n" OPEN,
		"f:1: maildrop = maildir:m: the path must begin with"},
	{"maildrop = maildir:/m/%x\n" OPEN, "only %u, %n, %d and %% may stand there"},
	{"maildrop = maildir:/m/%\n" OPEN, "only %u, %n, %d and %% may stand there"},
	{"metrics = 9110\n" OPEN, "f:1: metrics = 9110: must be one address and a port"},
	{"metrics = *:9110\n" OPEN,
		"f:1: metrics = *:9110: must be one address and a port"},
	{"tls_key = /k\n" OPEN, "f:1: tls_certificate and tls_key belong together"},
	{"last = no\nlast = yes\n" OPEN,
		"f:2: last was set in line 1 already, remove one"},
	{"hostname = \"a\n" OPEN, "f:1: a value that begins with `\"` ends with one"},
	{"hostname = \"a\"b\"\n" OPEN,
		"f:1: a value that begins with `\"` ends with one"},
	{"hostname = \"\n" OPEN, "f:1: a value that begins with `\"` ends with one"},
	{"what is this\n" OPEN, "f:1: what: neither `name = value` nor a section"},
	{"what is = this\n" OPEN, "f:1: what: neither `name = value` nor a section"},
	{"hostname = a\x01z\n" OPEN,
		"f:1: column 13 holds a control character, remove it"},
	{"[global]\n" OPEN,
		"f:1: [global]: there is no such section, only [listener NAME]"},
	{"[listeners]\n" OPEN, "f:1: [listeners]: there is no such section"},
	{"[listener\n" OPEN, "f:1: [listener: a section ends with `]`"},
	{"[listener]\n" OPEN, "f:1: a listener's name has 1 to 64 letters"},
	{"[listener a b]\n" OPEN, "f:1: a listener's name has 1 to 64 letters"},
	{"[\n" OPEN, "f:1: [: a section ends with `]`"},
	{"address = 127.0.0.1:110\n" OPEN,
		"f:1: address is no option of the whole server, put it below [listener "
		"NAME]"},
	{OPEN "fronts = 2\n",
		"f:4: fronts is no option of a listener, put it before the first "
		"section"},
	{OPEN "[listener a]\n", "f:4: listener a is there since line 2 already"},
	{OPEN "[listener b]\n", "f:4: listener b needs `address = ADDRESS:PORT`"},
	{OPEN "[listener b]\naddress = 1.2.3:4\n",
		"f:5: address = 1.2.3:4: must be 192.0.2.1:110"},
	{OPEN "[listener b]\naddress = *:110\n",
		"f:5: listeners a and b have the same address"},
	{OPEN "[listener b]\naddress = *:995\ntls = implicit\n",
		"f:4: listener b speaks TLS: set tls_certificate and tls_key"},
	{OPEN "[listener b]\naddress = *:111\nplaintext = never\n",
		"f:4: nobody could log in on listener b"},
	{OPEN "tsl = no\n", "f:4: tsl: no such option, did you mean tls?"},
	/* ---- delivery ---- */
	{"recipient_delimiter = a\n" OPEN,
		"f:1: recipient_delimiter = a: must be one character"},
	{"recipient_delimiter = ++\n" OPEN, "must be one character such as + or -"},
	{"recipient_delimiter = @\n" OPEN, "must be one character such as + or -"},
	{"lmtp_networks = 10.0.0.0/33\n" OPEN,
		"f:1: lmtp_networks: 10.0.0.0/33: must be an address"},
	{"lmtp_networks = 10.0.0.1/8\n" OPEN, "with zeros behind its bits"},
	{"lmtp_networks = mail.example\n" OPEN, "must be an address as 192.0.2.1"},
	{"lmtp_networks = 10.0.0.0/\n" OPEN, "must be an address as 192.0.2.1"},
	{"lmtp_networks = 2001:db8::1/64\n" OPEN, "with zeros behind its bits"},
	{"lmtp_recipients = 1025\n" OPEN,
		"f:1: lmtp_recipients = 1025: must be a number"},
	{"message_size_max = 64\n" OPEN, "f:1: message_size_max = 64: must be a size"},
	{"message_size_max = 2G\n" OPEN,
		"f:1: a message of message_size_max would not fit into spool_total"},
	{"spool_total = 1M\n" OPEN, "f:1: a message of message_size_max would not fit"},
	{"maildir_folders = Junk .Junk\n" OPEN,
		"f:1: maildir_folders: .Junk: must be the name of a folder"},
	{"maildir_folders = a/b\n" OPEN, "f:1: maildir_folders: a/b: must be"},
	{"maildir_folders = a..b\n" OPEN, "f:1: maildir_folders: a..b: must be"},
	{"maildir_folders = Junk Junk\n" OPEN, "Junk is there twice, remove one"},
	{OPEN "socket_mode = 0660\n",
		"f:4: socket_mode is for an address that begins with unix:"},
	{OPEN "[listener b]\naddress = unix:/x\n",
		"f:5: address = unix:/x: a unix socket is for `protocol = lmtp`"},
	{OPEN LMTP, "f:4: listener b needs `address = unix:/PATH`"},
	{OPEN LMTP "address = unix:x\n", "f:6: address = unix:x: behind unix: must be"},
	{OPEN LMTP "address = unix:/x/\n", "behind unix: must be an absolute path"},
	{OPEN LMTP "address = unix:/" DIGITS DIGITS "\n", "must be 3 to 112 octets"},
	{OPEN LMTP "address = unix:/x\nsocket_mode = 0688\n",
		"f:7: socket_mode = 0688: must be octal digits"},
	{OPEN LMTP "address = unix:/x\nsocket_mode = 1777\n", "must be octal digits"},
	{OPEN LMTP "address = unix:/x\nsocket_mode = 0060\n", "must be octal digits"},
	{OPEN LMTP "address = unix:/x\nsocket_group = mail\n",
		"f:7: socket_group = mail: must be a number"},
	{OPEN LMTP "address = unix:/x\ntls = implicit\n",
		"f:7: tls is for `protocol = pop3`"},
	{OPEN LMTP "address = unix:/x\nplaintext = always\n",
		"f:7: plaintext is for `protocol = pop3`"},
	{OPEN LMTP "address = 127.0.0.1:24\nsocket_group = 8\n",
		"f:7: socket_group is for an address that begins with unix:"},
	{OPEN LMTP "address = localhost\n", "must be unix:/PATH, 127.0.0.1:24"},
	{OPEN LMTP "address = *:24\n",
		"f:6: listener b takes mail from other machines: name those"},
	{OPEN LMTP "address = 192.0.2.1:24\n", "takes mail from other machines"},
	{OPEN LMTP "address = [2001:db8::1]:24\n", "takes mail from other machines"},
	{OPEN LMTP "address = 127.0.0.1:110\n",
		"listeners a and b have the same address"},
	{OPEN LMTP "address = unix:/x\n[listener c]\nprotocol = lmtp\naddress = "
		   "unix:/x\n",
		"f:9: listeners b and c have the same address"},
};

static void
every_error_says_where_and_what_to_do(void **state)
{
	(void)state;
	struct loading l;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		assert_true(loading(&l, errors[i].text) > 0);
		if (!strstr(l.text, errors[i].error))
			fail_msg("wanted: %s\ngot: %s", errors[i].error, l.text);
		conf_free(&l.conf);
	}
}

static void
all_errors_come_in_one_run(void **state)
{
	(void)state;
	struct loading l;

	assert_int_equal(
		loading(&l,
			"fronts = x\nlast = x\nnonsense\n" OPEN "[x]\nskipped = 1\n"
			"[listener b]\naddress = *:1\nwhat = 1\ntls = x\n"),
		6);
	assert_int_equal(l.lines, 6);
	assert_null(strstr(
		l.text, "skipped")); /* one error for an unknown section is enough */
	conf_free(&l.conf);
}

static void
a_flood_of_errors_is_counted_but_not_shown(void **state)
{
	(void)state;
	struct loading l;
	static char text[151 * 2 + sizeof(OPEN)];

	for (size_t i = 0; i < 150; i++)
		memcpy(text + 2 * i, "x\n", 2);
	memcpy(text + 300, OPEN, sizeof(OPEN));
	assert_int_equal(loading(&l, text), 150);
	assert_int_equal(l.lines, CONF_ERRORS_MAX + 1);
	assert_non_null(strstr(l.text, "f: more errors are not shown"));
	conf_free(&l.conf);
}

static void
limits_of_file_line_and_listeners_hold(void **state)
{
	(void)state;
	struct loading l;
	size_t n = CONF_FILE_OCTETS_MAX + 1;
	char *text = calloc(1, n);

	assert_non_null(text);
	memset(text, '\n', n);
	assert_int_equal(loading_of(&l, text, n), 1);
	assert_string_equal(
		l.text, "f: the file is larger than 1048576 octets, shorten it\n");
	conf_free(&l.conf);
	/* Of the largest size it is read, and says only that the defaults need a
	 * certificate. */
	assert_int_equal(loading_of(&l, text, n - 1), 2);
	conf_free(&l.conf);
	memset(text, '#', CONF_LINE_OCTETS_MAX + 1);
	assert_true(loading_of(&l, text, n - 1) == 3);
	assert_non_null(
		strstr(l.text, "f:1: the line is longer than 4096 octets, shorten it"));
	conf_free(&l.conf);
	text[CONF_LINE_OCTETS_MAX] = '\n';
	assert_true(loading_of(&l, text, n - 1) == 2);
	conf_free(&l.conf);
	size_t at = (size_t)snprintf(text, n, "plaintext = always\n");
	for (unsigned i = 0; i <= CONF_LISTENERS_MAX; i++)
		at += (size_t)snprintf(text + at, n - at,
			"[listener l%u]\naddress = 127.0.0.1:%u\n", i, 1000 + i);
	assert_int_equal(loading_of(&l, text, at), 1);
	assert_string_equal(l.text, "f:130: more than 64 listeners, remove some\n");
	conf_free(&l.conf);
	free(text);
}

static void
values_arrive_in_their_fields(void **state)
{
	(void)state;
	struct loading l;

	assert_int_equal(
		loading(&l,
			"\xef\xbb\xbf# comment\r\n; comment\n\n  hostname\t=  \" a b \"  "
			"\n"
			"mail_roots = /a, /b\t/c/d\nmail_groups = 7 8\nidle_timeout = "
			"90s\n"
			"login_delay=0\nexpire = 30\nplaintext = yes\nlog_level = "
			"debug\nmail_uid =\n"
			"metrics = [::1]:9110\n[ listener  x-1 ]\naddress = "
			"[::1]:0\nplaintext = no\n"
			"tls = implicit\n[listener y]\naddress = 192.0.2.7:110\n"),
		1);
	assert_string_equal(l.text,
		"f:14: listener x-1 speaks TLS: set tls_certificate and tls_key\n");
	const struct conf *c = l.conf;
	assert_string_equal(c->hostname, " a b ");
	assert_int_equal(c->mail_roots.n, 3);
	assert_string_equal(c->mail_roots.at[2], "/c/d");
	assert_int_equal(c->mail_groups_n, 2);
	assert_int_equal(c->mail_group_ids[1], 8);
	assert_int_equal(c->idle_timeout_ms, 90000);
	assert_int_equal(c->login_delay_ms, 0);
	assert_int_equal(c->expire, 30);
	assert_int_equal(c->plaintext, CONF_PLAINTEXT_ALWAYS);
	assert_int_equal(c->log_level, 3);
	assert_int_equal(c->mail_uid, 0);
	assert_true(c->has_metrics);
	assert_int_equal(c->metrics_at.port, 9110);
	assert_int_equal(c->listeners_n, 2);
	assert_string_equal(c->listeners[0].name, "x-1");
	assert_int_equal(c->listeners[0].plaintext, CONF_PLAINTEXT_NEVER);
	assert_int_equal(c->listeners[0].tls, CONF_TLS_IMPLICIT);
	assert_false(c->listeners[0].at.v4);
	/* Inherited from the global option. */
	assert_int_equal(c->listeners[1].plaintext, CONF_PLAINTEXT_ALWAYS);
	assert_true(c->listeners[1].at.v4);
	assert_int_equal(c->listeners[1].at.ip[15], 7);
	conf_free(&l.conf);
}

static void
delivery_arrives_in_its_fields(void **state)
{
	(void)state;
	struct loading l;
	static const uint8_t v4[17] = {[10] = 0xff, 0xff, 10, 0, 0, 0, 104};

	assert_int_equal(
		loading(&l,
			"plaintext = always\nmaildrop = mbox:~/m:INBOX=/var/mail/%u\n"
			"recipient_delimiter = -\n"
			"lmtp_networks = 10.0.0.0/8 2001:db8::/32 192.0.2.1\n"
			"message_size_max = 10M\nmaildir_folders = Junk, Work.Old\n"
			"[listener u]\nprotocol = lmtp\naddress = unix:/run/l\n"
			"socket_mode = 660\nsocket_group = 8\n"
			"[listener t]\nprotocol = lmtp\naddress = *:24\n"
			"[listener l]\nprotocol = lmtp\naddress = [::1]:25\n"),
		0);
	const struct conf *c = l.conf;
	assert_true(c->delivers);
	assert_int_equal(c->delimiter, '-');
	assert_int_equal(c->networks_n, 3 * 17);
	assert_memory_equal(c->networks, v4, 17);
	assert_int_equal(c->networks[17 + 16], 32);
	assert_int_equal(c->networks[34 + 16], 128);
	assert_int_equal(c->message_size_max, 10 << 20);
	assert_int_equal(c->spool_memory, 1 << 20);
	assert_int_equal(c->folders_n, 14);
	assert_memory_equal(c->folders, "Junk\0Work.Old", 14);
	assert_string_equal(c->listeners[0].path, "/run/l");
	assert_int_equal(c->listeners[0].mode, 0660);
	assert_int_equal(c->listeners[0].socket_group, 8);
	assert_null(c->listeners[1].path);
	assert_true(c->listeners[1].at.any);
	assert_int_equal(c->listeners[2].at.port, 25);
	conf_free(&l.conf);
	/* And what holds where nothing is said. */
	assert_int_equal(loading(&l, "recipient_delimiter = none\n" OPEN), 0);
	assert_int_equal(l.conf->delimiter, 0);
	assert_false(l.conf->delivers);
	conf_free(&l.conf);
	assert_int_equal(loading(&l, OPEN LMTP "address = unix:/x\n"), 0);
	assert_int_equal(l.conf->delimiter, '+');
	assert_int_equal(l.conf->listeners[1].mode, 0600);
	assert_int_equal(l.conf->lmtp_recipients, 1000);
	conf_free(&l.conf);
}

static void
defaults_are_in_force_and_shown(void **state)
{
	(void)state;
	struct loading l;

	assert_int_equal(
		loading(&l, "tls_certificate = /c\ntls_key = /k\nrun_dir = /r\n"), 0);
	const struct conf *c = l.conf;
	assert_int_equal(c->fronts, 8);
	assert_string_equal(c->hostname, "mail.example");
	assert_string_equal(c->control_socket, "/r/control");
	assert_int_equal(c->expire, CONF_NEVER);
	assert_int_equal(c->mail_roots.n, 4);
	assert_int_equal(c->listeners_n, 2);
	assert_string_equal(c->listeners[1].name, "pop3s");
	assert_int_equal(c->listeners[1].at.port, 995);
	assert_true(c->listeners[1].at.any);
	struct view v = conf_get(c, "plaintext");
	assert_int_equal(v.n, 5);
	assert_memory_equal(v.p, "never", 5);
	assert_null(conf_get(c, "nothing").p);
	v = conf_listener_get(&c->listeners[1], "tls");
	assert_memory_equal(v.p, "implicit", v.n);
	for (size_t i = 0; i < CONF_OPTIONS; i++)
		if (conf_rows[i].section == CONF_SECTION_GLOBAL)
			assert_non_null(conf_get(c, conf_rows[i].name).p);
	conf_free(&l.conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_says_where_and_what_to_do),
		cmocka_unit_test(all_errors_come_in_one_run),
		cmocka_unit_test(a_flood_of_errors_is_counted_but_not_shown),
		cmocka_unit_test(limits_of_file_line_and_listeners_hold),
		cmocka_unit_test(values_arrive_in_their_fields),
		cmocka_unit_test(delivery_arrives_in_its_fields),
		cmocka_unit_test(defaults_are_in_force_and_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
