/* restante passwd: sets a user's password in a users file. */
#include "base/check.h"
#include "base/num.h"
#include "ctl/passwd_file.h"
#include "ctl/passwd_secret.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

#define USERS_FILE "/etc/restante/users"

struct wishes {
	const char *users, *scheme;
	const char *rounds_text; /* NULL: not given */
	uint32_t rounds;
	struct passwd_change change;
	bool from_stdin, hash_only, help;
};

static const char help[] =
	"usage: restante passwd [OPTION]... USER\n"
	"       restante passwd --hash [--scheme NAME] [--stdin]\n"
	"Sets the password of USER in a users file; adds USER where it is not there "
	"yet.\n"
	"The password is asked for twice on the terminal.\n"
	"\n"
	"  --users FILE   the users file (" USERS_FILE ")\n"
	"  --stdin        take the password from one line of standard input\n"
	"  --scheme NAME  yescrypt (default), gost-yescrypt, scrypt, bcrypt, "
	"sha512-crypt,\n"
	"                 sha256-crypt, scram-sha-256, scram-sha-1\n"
	"  --scram        the same as --scheme scram-sha-256: keys with which the "
	"server\n"
	"                 can do SCRAM and needs no plain password\n"
	"  --rounds N     of SCRAM, 4096 to 10000000 (10000)\n"
	"  --uid N        owner of the mail, a number\n"
	"  --gid N        group of the mail, a number\n"
	"  --home DIR     home directory\n"
	"  --mail MAILDROP  maildir:PATH, in place of option maildrop\n"
	"  --delete       take USER out of the file\n"
	"  --hash         only print the hash\n"
	"  --help         this text\n"
	"\n"
	"What is not given stays as it is. Exit status: 0; 64 usage; 65 a password that "
	"cannot\n"
	"be taken; 67 USER is not there (--delete); 73 the file cannot be changed; 75 "
	"another\n"
	"one is changing it, or interrupted; 77 no permission.\n";

enum {
	USERS = 256,
	STDIN,
	SCHEME,
	SCRAM,
	ROUNDS,
	UID,
	GID,
	HOME,
	MAIL,
	DELETE,
	HASH,
	HELP
};

static const struct option options[] = {
	{"users", required_argument, NULL, USERS},
	{"stdin", no_argument, NULL, STDIN},
	{"scheme", required_argument, NULL, SCHEME},
	{"scram", no_argument, NULL, SCRAM},
	{"rounds", required_argument, NULL, ROUNDS},
	{"uid", required_argument, NULL, UID},
	{"gid", required_argument, NULL, GID},
	{"home", required_argument, NULL, HOME},
	{"mail", required_argument, NULL, MAIL},
	{"delete", no_argument, NULL, DELETE},
	{"hash", no_argument, NULL, HASH},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0},
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static int
usage(const char *why)
{
	(void)fprintf(stderr, "restante passwd: %s\ntry: restante passwd --help\n", why);
	return EX_USAGE;
}

static bool
take_option(int which, const char *value, struct wishes *w)
{
	switch (which) {
	case USERS: w->users = value; return true;
	case STDIN: w->from_stdin = true; return true;
	case SCHEME: w->scheme = value; return true;
	case SCRAM: w->scheme = "scram-sha-256"; return true;
	case ROUNDS: w->rounds_text = value; return true;
	case UID: w->change.uid = view_of(value); return true;
	case GID: w->change.gid = view_of(value); return true;
	case HOME: w->change.home = view_of(value); return true;
	case MAIL: w->change.mail = view_of(value); return true;
	case DELETE: w->change.remove = true; return true;
	case HASH: w->hash_only = true; return true;
	case HELP: w->help = true; return true;
	default: return false;
	}
}

/* Text for what is wrong, or NULL. */
static const char *
take_rounds(struct wishes *w)
{
	uint64_t n;

	if (!w->rounds_text)
		return NULL;
	if (!secret_scheme_is_scram(w->scheme))
		return "--rounds are for --scram alone";
	if (!num_decimal(view_of(w->rounds_text), SCRAM_ROUNDS_MAX, &n) ||
		n < SECRET_ROUNDS_MIN)
		return "--rounds takes a number from 4096 to 10000000";
	w->rounds = (uint32_t)n;
	return NULL;
}

static const char *
check_wishes(struct wishes *w)
{
	const struct passwd_change *c = &w->change;
	bool fields = c->uid.p || c->gid.p || c->home.p || c->mail.p;

	if (!secret_scheme_known(w->scheme))
		return "unknown scheme; --help names those that can be made";
	const char *wrong = take_rounds(w);
	if (wrong)
		return wrong;
	if (w->hash_only)
		return fields || c->remove || c->name.p
			? "--hash takes only --scheme, --scram, --rounds and --stdin"
			: NULL;
	if (!c->name.p)
		return "which USER?";
	if (c->remove && (fields || w->from_stdin))
		return "--delete takes only --users and USER";
	const char *fault = passwd_name_fault(c->name);
	return fault ? fault : passwd_change_fault(c);
}

static int
read_wishes(int argc, char **argv, struct wishes *w)
{
	int which;

	while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(which, optarg, w))
			return usage("see above");
	if (w->help)
		return EX_OK;
	/* What stands behind the name might be a password: it is not repeated. */
	if (argc - optind > 1)
		return usage("one USER, and never a password among the arguments");
	if (optind < argc)
		w->change.name = view_of(argv[optind]);
	const char *why = check_wishes(w);
	return why ? usage(why) : EX_OK;
}

static int
file_error(const struct wishes *w, const char *step, int error)
{
	if (error == -EAGAIN) {
		(void)fprintf(stderr,
			"restante passwd: %s: another program holds its lock\n",
			w->users);
		return EX_TEMPFAIL;
	}
	(void)fprintf(stderr, "restante passwd: %s: %s: %s\n", w->users, step,
		error == -EINVAL ? "not a plain file" : strerrordesc_np(-error));
	return error == -EACCES || error == -EPERM ? EX_NOPERM : EX_CANTCREAT;
}

static int
change_file(const struct wishes *w)
{
	const char *step = "";
	enum passwd_edit done;
	int r = passwd_file_change(w->users, &w->change, &done, &step);

	if (r == -ENOENT && w->change.remove) {
		(void)fprintf(
			stderr, "restante passwd: %s: there is no such file\n", w->users);
		return EX_NOUSER;
	}
	if (r < 0)
		return file_error(w, step, r);
	switch (done) {
	case PASSWD_CHANGED:
	case PASSWD_ADDED:
	case PASSWD_REMOVED: return EX_OK;
	case PASSWD_ABSENT:
		(void)fprintf(
			stderr, "restante passwd: %s: there is no such user\n", w->users);
		return EX_NOUSER;
	case PASSWD_LONG:
		(void)fprintf(stderr,
			"restante passwd: %s: the line would be longer than %d octets\n",
			w->users, PASSWD_LINE_MAX);
		return EX_DATAERR;
	}
	UNREACHABLE();
}

static int
set_password(struct wishes *w)
{
	uint8_t octets[SECRET_HASH_MAX];
	struct buf hash = buf_over(octets, sizeof(octets));
	struct secret secret = {.n = 0};

	int code = secret_read(w->from_stdin, &secret);
	bool made = code == EX_OK && secret_hash(&secret, w->scheme, w->rounds, &hash);
	explicit_bzero(&secret, sizeof(secret));
	if (code != EX_OK)
		return code;
	if (!made) {
		(void)fprintf(
			stderr, "restante passwd: %s cannot be made here\n", w->scheme);
		return EX_SOFTWARE;
	}
	w->change.password = buf_view(&hash);
	if (w->hash_only)
		return printf("%.*s\n", (int)hash.n, (const char *)hash.p) < 0 ||
				fflush(stdout) != 0
			? EX_IOERR
			: EX_OK;
	return change_file(w);
}

int
main(int argc, char **argv)
{
	struct wishes w = {
		.users = USERS_FILE, .scheme = "yescrypt", .rounds = SECRET_ROUNDS};
	struct rlimit none = {0, 0};

	/* A password passes through: no dump, no debugger of the same user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return EX_OSERR;
	int code = read_wishes(argc, argv, &w);
	if (code != EX_OK)
		return code;
	if (w.help)
		return fputs(help, stdout) < 0 || fflush(stdout) != 0 ? EX_IOERR : EX_OK;
	return w.change.remove ? change_file(&w) : set_password(&w);
}
