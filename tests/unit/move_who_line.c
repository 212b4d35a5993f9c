/* Where a line of the users file says that mail is, and whose. */
#include "unit.h"

#include "ipc/permit.h"
#include "move/who_line.h"

#include <stdio.h>
#include <string.h>

static void
check(const char *line, const char *want)
{
	struct who_options o = {VIEW("maildir:~/Maildir"), 5000, 5001};
	struct who_user u;
	char got[1200];
	const char *why =
		who_line_read((struct view){(const uint8_t *)line, strlen(line)}, &o, &u);

	if (why)
		(void)snprintf(got, sizeof(got), "%.*s: %.9s", (int)u.name.n,
			(const char *)u.name.p, why);
	else if (u.name.n == 0)
		(void)snprintf(got, sizeof(got), "nothing");
	else
		(void)snprintf(got, sizeof(got), "%.*s %u:%u %s %.*s", (int)u.name.n,
			(const char *)u.name.p, u.uid, u.gid,
			u.store == STORE_MBOX ? "mbox" : "maildir", (int)u.path_n,
			(const char *)u.path);
	assert_string_equal(got, want);
}

static void
reads(void **state)
{
	(void)state;
	check("anna:{PLAIN}x:1:2:Anna:/home/anna::",
		"anna 1:2 maildir /home/anna/Maildir");
	check("anna:!locked:::x:/home/anna", "anna 5000:5001 maildir /home/anna/Maildir");
	check("a@b:x::::/h::userdb_mail=maildir:/srv/%d/%n userdb_read_only=yes",
		"a@b 5000:5001 maildir /srv/b/a");
	check("anna:x::::::userdb_uid=7  userdb_gid=8\tuserdb_home=/x",
		"anna 7:8 maildir /x/Maildir");
	check("anna:x::::::userdb_mail=mbox:/var/mail/%u",
		"anna 5000:5001 mbox /var/mail/anna");
	check("", "nothing");
	check("  \t", "nothing");
	check("# anna:x", "nothing");
}

static void
refuses(void **state)
{
	static char line[9001];

	(void)state;
	check(":x:1:1::/h", ": the line ");
	check("anna:x", "anna: the maild");
	check("anna:x:root:1::/h", "anna: the uid a");
	check("anna:x:0:1::/h", "anna: the uid a");
	check("anna:x:4294967295:1::/h", "anna: the uid a");
	check("a/b:x::::::userdb_mail=maildir:/srv/%u", "a/b: a name wi");
	check("anna:x::::::userdb_mail=imap:/srv", "anna: the maild");
	memset(line, 'a', sizeof(line) - 1);
	check(line, ": the line ");
	line[300] = '\0';
	check(line, ": the user ");
	check("an\x1bna:x:1:1::/h", ": the user ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
