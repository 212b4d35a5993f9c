/* restante import: options. */
#include "base/check.h"
#include "move/import_run.h"
#include "move/move.h"
#include "move/show.h"
#include "move/tool_options.h"
#include "os/fd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

/* What a process has left to say why, when a server was silent. */
#define SERVER_EXTRA_MS 10000

struct command {
	struct import_wishes w;
	struct who who;
	const char *sources[IMPORT_SOURCES_MAX];
	const char *password_file, *passwords_file;
	bool help;
	char password[LIVE_PASSWORD_MAX + 1];
	char why[512];
};

static const char help[] =
	"usage: restante import [OPTIONS] --maildrop MAILDROP [SOURCE...]\n"
	"       restante import [OPTIONS] --user NAME | --all [SOURCE...]\n"
	"       restante import [OPTIONS] --from pop3s://[USER@]HOST[:PORT] ...\n\n"
	"Takes over the UIDLs and the order of another server, so that no client "
	"downloads\n"
	"a message again. SOURCE is a dovecot-uidlist, a courierpop3dsizelist, a "
	"mailbox\n"
	"directory of Cyrus or its cyrus.index, or an mbox; without one, the list of "
	"Dovecot\n"
	"or Courier that lies in the maildrop.\n\n"
	"  --maildrop MAILDROP  maildir:PATH or mbox:PATH\n"
	"  --user NAME          the maildrop of this user\n"
	"  --all                those of all users\n"
	"  --config FILE        the configuration, for --user and --all\n"
	"  --list WHOSE         dovecot or courier, where both are in a Maildir\n"
	"  --uidl-format TEXT   Dovecot's pop3_uidl_format (default %08Xu%08Xv)\n"
	"  --uidl-duplicates rename   Dovecot's pop3_uidl_duplicates = rename\n"
	"  --reuse-xuidl        Dovecot's pop3_reuse_xuidl = yes\n"
	"  --cyrus-uidl FORM    cyrus (default), uidonly, courier or dovecot\n"
	"  --mbox-uidl FORM     x-uidl (default), x-uid or popa3d\n"
	"  --dry-run            write nothing\n"
	"  --json               one object a maildrop\n"
	"  --timeout SECONDS    of a maildrop without progress (default 60)\n"
	"  --help               this text\n\n"
	"With --from:\n"
	"  --password-file FILE of the user or the master; - is standard input\n"
	"  --passwords FILE     lines NAME:PASSWORD, for --all\n";

static const char endnote[] = "\nExit status: 0 all was taken over; 64 usage; 65 "
			      "something was not, see what is\n"
			      "said; 66 no input; 67 no such user; 69, 76 the old "
			      "server; 75 try again later; 77\n"
			      "no permission; 78 configuration.\n";

/* ---- options
 * -------------------------------------------------------------------------------- */

#define SET(name, assignment)                                                            \
	static const char *set_##name(void *into, const char *value)                     \
	{                                                                                \
		struct command *c = into;                                                \
		(void)value;                                                             \
		assignment;                                                              \
		return NULL;                                                             \
	}

SET(maildrop, c->who.maildrop = value)
SET(user, c->who.user = value)
SET(all, c->who.all = true)
SET(config, c->who.config = value)
SET(reuse, c->w.reuse_xuidl = true)
SET(dry_run, c->w.dry_run = true)
SET(json, c->w.json = true)
SET(help, c->help = true)
SET(password, c->password_file = value)
SET(passwords, c->passwords_file = value)
#undef SET

static const char *
set_format(void *into, const char *value)
{
	struct command *c = into;

	c->w.format = show_view(value);
	return foreign_format_fault(c->w.format);
}

static const char *
set_duplicates(void *into, const char *value)
{
	struct command *c = into;

	c->w.rename = strcmp(value, "rename") == 0;
	return c->w.rename || strcmp(value, "allow") == 0 ? NULL : "allow or rename";
}

static const char *
set_list(void *into, const char *value)
{
	struct command *c = into;

	c->w.list = strcmp(value, "dovecot") == 0 ? IMPORT_DOVECOT
		: strcmp(value, "courier") == 0	  ? IMPORT_COURIER
						  : IMPORT_NONE;
	return c->w.list != IMPORT_NONE ? NULL : "dovecot or courier";
}

static const char *
set_cyrus(void *into, const char *value)
{
	static const char *const forms[FOREIGN_CYRUS_FORMS] = {
		"cyrus", "uidonly", "courier", "dovecot"};
	struct command *c = into;

	for (int i = 0; i < FOREIGN_CYRUS_FORMS; i++) {
		if (strcmp(value, forms[i]) != 0)
			continue;
		c->w.cyrus = (enum foreign_cyrus)i;
		return NULL;
	}
	return "cyrus, uidonly, courier or dovecot";
}

static const char *
set_mbox(void *into, const char *value)
{
	static const char *const forms[FOREIGN_MBOX_FORMS] = {
		"x-uidl", "x-uid", "popa3d"};
	struct command *c = into;

	for (int i = 0; i < FOREIGN_MBOX_FORMS; i++) {
		if (strcmp(value, forms[i]) != 0)
			continue;
		c->w.mbox = (enum foreign_mbox)i;
		return NULL;
	}
	return "x-uidl, x-uid or popa3d";
}

static const char *
set_from(void *into, const char *value)
{
	struct command *c = into;
	const char *why = NULL;

	c->w.from = value;
	return live_url_read(value, &c->w.live.url, &why) ? NULL : why;
}

static const struct tool_option options[] = {
	{"--maildrop", true, set_maildrop},
	{"--user", true, set_user},
	{"--all", false, set_all},
	{"--config", true, set_config},
	{"--list", true, set_list},
	{"--uidl-format", true, set_format},
	{"--uidl-duplicates", true, set_duplicates},
	{"--reuse-xuidl", false, set_reuse},
	{"--cyrus-uidl", true, set_cyrus},
	{"--mbox-uidl", true, set_mbox},
	{"--from", true, set_from},
	{"--password-file", true, set_password},
	{"--passwords", true, set_passwords},
	{"--dry-run", false, set_dry_run},
	{"--json", false, set_json},
	{"--help", false, set_help},
	{"-h", false, set_help},
};

static int
usage(const char *why)
{
	(void)fprintf(stderr, "restante import: %s\ntry: restante import --help\n", why);
	return EX_USAGE;
}

static int
take_argument(struct command *c, int argc, char **argv, int *i)
{
	int r = tool_option_take(
		options, ARRAY_SIZE(options), c, argc, argv, i, c->why, sizeof(c->why));

	if (r == 0)
		r = live_option(&c->w.live, argc, argv, i, c->why, sizeof(c->why));
	if (r != 0)
		return r < 0 ? usage(c->why) : EX_OK;
	if (argv[*i][0] == '-')
		return usage("there is no such option; see --help");
	if (c->w.sources_n == IMPORT_SOURCES_MAX)
		return usage("more than 64 sources");
	c->sources[c->w.sources_n++] = argv[(*i)++];
	return EX_OK;
}

static const char *
check_wishes(const struct command *c)
{
	const struct import_wishes *w = &c->w;

	if (w->from && w->sources_n > 0)
		return "SOURCE and --from do not go together";
	if (w->list != IMPORT_NONE && (w->from || w->sources_n > 0))
		return "--list is for the list in the maildrop";
	if (w->from && !c->password_file == !c->passwords_file)
		return "--from needs one of --password-file and --passwords";
	if (!w->from && (c->password_file || c->passwords_file))
		return "passwords are for --from only";
	if (w->sources_n > 0 && c->who.all)
		return "SOURCE is of one maildrop; --all finds the lists in the "
		       "maildrops";
	if (w->from && c->who.all && w->live.url.user[0])
		return "--all asks as each user; leave USER@ out of the URL";
	return NULL;
}

/* ---- each maildrop
 * ----------------------------------------------------------------------------- */

struct runs {
	struct who_sink sink; /* first */
	const struct command *c;
	struct compare_users users;
};

static int
each(struct who_sink *s, struct import_drop *d)
{
	struct runs *x = (struct runs *)(void *)s;
	static struct import_run r;

	import_run_init(&r);
	r.w = &x->c->w;
	r.users = &x->users;
	r.many = x->c->who.all;
	r.work.silence_ms = x->c->w.live.timeout_ms;
	/* The process itself says that the server is silent. */
	if (x->c->w.from)
		r.work.silence_ms += SERVER_EXTRA_MS;
	return drop_run(d, &r.work);
}

static int
run(struct command *c)
{
	struct runs x = {.sink = {each}, .c = c};

	if (c->password_file) {
		if (tool_read_secret(c->password_file, c->password, sizeof(c->password),
			    c->why, sizeof(c->why)) < 0)
			return usage(c->why);
		c->w.password = c->password;
	}
	if (c->passwords_file &&
		compare_users_read(c->passwords_file, true, &x.users) < 0)
		return EX_NOINPUT;
	int code = who_each(&c->who, &x.sink);
	compare_users_free(&x.users);
	explicit_bzero(c->password, sizeof(c->password));
	return code;
}

int
move_import_main(int argc, char **argv)
{
	static struct command c;
	struct rlimit none = {0, 0};

	c.who.program = "import";
	c.w.format = VIEW("%08Xu%08Xv");
	c.w.sources = c.sources;
	live_options_init(&c.w.live);
	for (int i = 1; i < argc;) {
		int code = take_argument(&c, argc, argv, &i);
		if (code != EX_OK)
			return code;
	}
	if (c.help) {
		(void)fputs(help, stdout);
		(void)fputs(live_options_help(), stdout);
		(void)fputs(endnote, stdout);
		return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
	}
	const char *why = check_wishes(&c);
	if (why)
		return usage(why);
	/* Passwords may pass through: no dump, no debugger of the same user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return EX_OSERR;
	return run(&c);
}
