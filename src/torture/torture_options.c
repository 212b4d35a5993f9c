#include "base/num.h"
#include "os/dial.h"
#include "torture/torture.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: restante torture HOST[:PORT] [--user NAME --password-file FILE]\n"
	"           [--tls none|stls|pop3s] [OPTION]...\n\n"
	"Tries a POP3 server with all that RFCs demand of it and all that clients and\n"
	"attackers may send, and prints a table: clause, expectation, result. Take an\n"
	"account for this that has some messages, none of which anybody misses.\n\n"
	"  --user NAME             log in as this user; without, only what needs no "
	"login\n"
	"  --password-file FILE    its first line is the password\n"
	"  --password-command CMD  the first line of what CMD prints\n"
	"  --password-fd N         the first line of that descriptor\n"
	"  --tls none|stls|pop3s   (default: pop3s at port 995, else stls)\n"
	"  --ca FILE               certificates to believe in, PEM (default: the "
	"system's)\n"
	"  --insecure              believe in any certificate\n"
	"  --destructive           also what deletes mail: all of that account is lost\n"
	"  --only PATTERN          only cases of these names, as in 'tls-*'; may be "
	"given "
	"again\n"
	"  --skip PATTERN          not these; may be given again\n"
	"  --timeout SECONDS       for each case (default 20)\n"
	"  --delay MS              between connections (default 0)\n"
	"  --octets N              of messages that are read in one case (default "
	"16777216)\n"
	"  --strict                warnings count as failures\n"
	"  --quiet                 print only failures and warnings\n"
	"  --json                  print one JSON object a line\n"
	"  --list                  print the cases and try none\n\n"
	"The exit status is 0 if nothing failed, 1 if something did, 2 if the server "
	"could\n"
	"not be tried.\n";

enum {
	OPT_FIRST = 256,
	OPT_USER,
	OPT_FILE,
	OPT_COMMAND,
	OPT_FD,
	OPT_TLS,
	OPT_CA,
	OPT_INSECURE,
	OPT_DESTRUCTIVE,
	OPT_ONLY,
	OPT_SKIP,
	OPT_TIMEOUT,
	OPT_DELAY,
	OPT_OCTETS,
	OPT_STRICT,
	OPT_QUIET,
	OPT_JSON,
	OPT_LIST,
	OPT_HELP,
};

static const struct option rows[] = {
	{"user", required_argument, NULL, OPT_USER},
	{"password-file", required_argument, NULL, OPT_FILE},
	{"password-command", required_argument, NULL, OPT_COMMAND},
	{"password-fd", required_argument, NULL, OPT_FD},
	{"tls", required_argument, NULL, OPT_TLS},
	{"ca", required_argument, NULL, OPT_CA},
	{"insecure", no_argument, NULL, OPT_INSECURE},
	{"destructive", no_argument, NULL, OPT_DESTRUCTIVE},
	{"only", required_argument, NULL, OPT_ONLY},
	{"skip", required_argument, NULL, OPT_SKIP},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"delay", required_argument, NULL, OPT_DELAY},
	{"octets", required_argument, NULL, OPT_OCTETS},
	{"strict", no_argument, NULL, OPT_STRICT},
	{"quiet", no_argument, NULL, OPT_QUIET},
	{"json", no_argument, NULL, OPT_JSON},
	{"list", no_argument, NULL, OPT_LIST},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

/* A reason, or NULL. */
static const char *
set_number(uint64_t least, uint64_t most, uint64_t *ret)
{
	struct view v = {(const uint8_t *)optarg, strlen(optarg)};

	return num_decimal(v, most, ret) && *ret >= least ? NULL
							  : "is no number in its limits";
}

static const char *
set_tls(struct torture_options *o)
{
	static const char *const words[] = {[TORTURE_PLAIN] = "none",
		[TORTURE_STLS] = "stls",
		[TORTURE_POP3S] = "pop3s"};

	for (enum torture_tls i = TORTURE_PLAIN; i <= TORTURE_POP3S; i++)
		if (strcmp(optarg, words[i]) == 0) {
			o->tls = i;
			o->tls_given = true;
			return NULL;
		}
	return "is none, stls or pop3s";
}

static const char *
add_pattern(const char **patterns, size_t *n)
{
	if (*n == TORTURE_PATTERNS_MAX)
		return "at most 32 times";
	patterns[(*n)++] = optarg;
	return NULL;
}

static const char *
set_value(struct torture_options *o, int option)
{
	uint64_t n = 0;
	const char *wrong = NULL;

	switch (option) {
	case OPT_USER:
		o->user = optarg;
		n = strlen(optarg);
		return n > 0 && n < TORTURE_NAME_MAX && !strpbrk(optarg, "\r\n")
			? NULL
			: "is one line of 1 to 255 octets";
	case OPT_FILE: o->from.file = optarg; return NULL;
	case OPT_COMMAND: o->from.command = optarg; return NULL;
	case OPT_FD:
		wrong = set_number(0, 65535, &n);
		o->from.fd = (int)n;
		return wrong;
	case OPT_TLS: return set_tls(o);
	case OPT_CA: o->ca = optarg; return NULL;
	case OPT_ONLY: return add_pattern(o->only, &o->only_n);
	case OPT_SKIP: return add_pattern(o->skip, &o->skip_n);
	case OPT_TIMEOUT:
		wrong = set_number(1, 3600, &n);
		o->timeout_ms = (uint32_t)n * 1000;
		return wrong;
	case OPT_DELAY:
		wrong = set_number(0, 3600000, &n);
		o->delay_ms = (uint32_t)n;
		return wrong;
	case OPT_OCTETS: return set_number(1, UINT64_C(1) << 40, &o->octets_max);
	default: return "is unknown";
	}
}

static bool *
flag_of(struct torture_options *o, int option)
{
	switch (option) {
	case OPT_INSECURE: return &o->insecure;
	case OPT_DESTRUCTIVE: return &o->destructive;
	case OPT_STRICT: return &o->strict;
	case OPT_QUIET: return &o->quiet;
	case OPT_JSON: return &o->json;
	case OPT_LIST: return &o->list;
	default: return NULL;
	}
}

static int
wrong_line(const char *what)
{
	fprintf(stderr, "restante torture: %s; 'restante torture --help' tells more\n",
		what);
	return 2;
}

static int
read_target(struct torture_options *o, int argc, char **argv)
{
	if (o->list && optind == argc)
		return 0;
	if (argc - optind != 1)
		return wrong_line("name one server: HOST or HOST:PORT");
	uint16_t usual = o->tls == TORTURE_POP3S && o->tls_given ? 995 : 110;
	if (!dial_split(argv[optind], usual, o->host, sizeof(o->host), &o->port))
		return wrong_line("that is no HOST:PORT");
	if (!o->tls_given)
		o->tls = o->port == 995 ? TORTURE_POP3S : TORTURE_STLS;
	if (o->destructive && !o->user)
		return wrong_line("--destructive needs --user");
	return 0;
}

int
torture_options_read(struct torture_options *o, int argc, char **argv, bool *ret_end)
{
	int option;

	*o = (struct torture_options){
		.timeout_ms = 20000, .octets_max = 16777216, .from.fd = -1};
	*ret_end = false;
	while ((option = getopt_long(argc, argv, "h", rows, NULL)) != -1) {
		bool *flag = flag_of(o, option);
		char what[128];

		if (option == OPT_HELP || option == 'h') {
			*ret_end = true;
			return printf("%s", help) < 0 ? 2 : 0;
		}
		if (option == '?')
			return wrong_line("the command line is wrong");
		const char *wrong = NULL;
		if (flag)
			*flag = true;
		else
			wrong = set_value(o, option);
		if (wrong) {
			(void)snprintf(what, sizeof(what), "--%s %s",
				rows[option - OPT_FIRST - 1].name, wrong);
			return wrong_line(what);
		}
	}
	return read_target(o, argc, argv);
}
