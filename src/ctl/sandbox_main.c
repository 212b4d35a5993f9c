#include "base/check.h"
#include "base/num.h"
#include "ctl/sandbox_office.h"
#include "os/fd.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
	"usage: restante sandbox [--dir DIR] [--pop3 ADDR:PORT] [--pop3s ADDR:PORT]\n"
	"           [--kpop ADDR:PORT] [--lmtp ADDR:PORT]\n"
	"           [--user NAME:PASSWORD[:MAILDROP]]... [--users FILE]\n"
	"           [--set OPTION=VALUE]... [--for SECONDS] [--json]\n"
	"\n"
	"A throwaway POP3 server on loopback, made of the real programs. When it serves "
	"it\n"
	"prints one line: ready pop3=ADDR:PORT pop3s=ADDR:PORT ca=DIR/ca.pem pid=PID\n"
	"It ends at SIGINT or SIGTERM and removes what it made.\n"
	"\n"
	"  --dir DIR       keep certificate, users and configuration there; a DIR that "
	"exists\n"
	"                  is used again (default: a temporary directory)\n"
	"  --pop3 ADDR:PORT, --pop3s ADDR:PORT\n"
	"                  where to listen (default: a free port of 127.0.0.1, or the "
	"ports of\n"
	"                  the last run in DIR)\n"
	"  --kpop ADDR:PORT\n"
	"                  Kerberos POP there; needs --set krb5_keytab=FILE\n"
	"  --lmtp ADDR:PORT\n"
	"                  take mail in there, for NAME and NAME@any domain; also "
	"unix:/PATH;\n"
	"                  the ready line then ends with lmtp=ADDR:PORT\n"
	"  --user NAME:PASSWORD[:MAILDROP]\n"
	"                  a user with a Maildir, or with an mbox (mbox:FILE); a missing "
	"one is\n"
	"                  made, one that is given is never removed (default: the users "
	"of DIR,\n"
	"                  or demo:demo with sample mail)\n"
	"  --users FILE    users in the format of Dovecot's passwd-file\n"
	"  --set OPTION=VALUE\n"
	"                  any option of restante.conf(5); pop3:OPTION=VALUE (or pop3s:, "
	"kpop:,\n"
	"                  lmtp:) of that listener, NAME:key=FILE of a certificate NAME\n"
	"  --for SECONDS   end after this time\n"
	"  --json          print the ready line as JSON\n";

enum option_id { DIR_ = 256, POP3, POP3S, LMTP, KPOP, USER, USERS, SET, FOR, JSON, HELP };

static const struct option options[] = {
	{"dir", required_argument, NULL, DIR_},
	{"pop3", required_argument, NULL, POP3},
	{"pop3s", required_argument, NULL, POP3S},
	{"lmtp", required_argument, NULL, LMTP},
	{"kpop", required_argument, NULL, KPOP},
	{"user", required_argument, NULL, USER},
	{"users", required_argument, NULL, USERS},
	{"set", required_argument, NULL, SET},
	{"for", required_argument, NULL, FOR},
	{"json", no_argument, NULL, JSON},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0},
};

static int
add_argument(const char **list, size_t *n, const char *what)
{
	if (*n == OFFICE_ARGS_MAX)
		return office_say(EX_USAGE, "more than %d times %s; use --users FILE",
			OFFICE_ARGS_MAX, what);
	list[(*n)++] = optarg;
	return 0;
}

static int
read_seconds(struct office_options *o)
{
	struct view v = {(const uint8_t *)optarg, strlen(optarg)};

	if (!num_decimal(v, 365 * 86400, &o->for_s) || o->for_s == 0)
		return office_say(EX_USAGE,
			"--for %.40s: must be a number of seconds from 1 to "
			"31536000",
			optarg);
	return 0;
}

/* One option; -1 for --help. */
static int
read_option(int id, struct office_options *o)
{
	switch (id) {
	case DIR_: o->dir = optarg; return 0;
	case POP3: o->pop3 = optarg; return 0;
	case POP3S: o->pop3s = optarg; return 0;
	case LMTP: o->lmtp = optarg; return 0;
	case KPOP: o->kpop = optarg; return 0;
	case USER: return add_argument(o->users, &o->users_n, "--user");
	case USERS: o->users_file = optarg; return 0;
	case SET: return add_argument(o->sets, &o->sets_n, "--set");
	case FOR: return read_seconds(o);
	case JSON: o->json = true; return 0;
	case HELP: return -1;
	default: fputs("try: restante sandbox --help\n", stderr); return EX_USAGE;
	}
}

static int
read_options(int argc, char **argv, struct office_options *o)
{
	static char name[] = "restante sandbox";
	int id, rc = 0;

	/* getopt's own messages begin with it. */
	argv[0] = name;
	while (rc == 0 && (id = getopt_long(argc, argv, "h", options, NULL)) != -1)
		rc = read_option(id == 'h' ? HELP : id, o);
	if (rc == 0 && optind < argc)
		return office_say(
			EX_USAGE, "%.80s: what is this? See --help", argv[optind]);
	return rc;
}

static int
open_office(struct office *f)
{
	int rc = office_sets_check(f);

	if (rc == 0)
		rc = office_dir_open(f);
	if (rc == 0)
		rc = office_certificate(f);
	if (rc == 0)
		rc = office_users(f);
	if (rc == 0)
		rc = office_bind(f);
	if (rc == 0)
		rc = office_conf(f);
	if (rc == 0)
		rc = office_run(f);
	return rc;
}

static void
close_office(struct office *f)
{
	for (size_t i = 0; i < f->listeners_n; i++)
		fd_close(&f->listeners[i].fd);
	office_dir_close(f);
	for (size_t i = 0; i < f->places_n; i++)
		free(f->places[i].path);
	free(f->places);
	free(f->kept);
	free(f->users_text);
}

int
main(int argc, char **argv)
{
	struct office *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return office_say(EX_OSERR, "out of memory");
	umask(077);
	f->dir_fd = f->lock_fd = -1;
	f->root = geteuid() == 0;
	f->id_min = UINT32_MAX;
	rc = read_options(argc, argv, &f->o);
	if (rc == -1) {
		fputs(usage, stdout);
		rc = fflush(stdout) == 0 ? 0 : EX_IOERR;
	} else if (rc == 0) {
		rc = open_office(f);
		close_office(f);
	}
	free(f);
	return rc;
}
