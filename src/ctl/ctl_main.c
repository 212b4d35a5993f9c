/*
 * restante-ctl: restante stat, who, kick, why, last, reload, drain and conf.
 */
#include "ctl/ctl_ask.h"
#include "ctl/ctl_conf.h"
#include "ctl/ctl_last.h"
#include "ctl/ctl_people.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct choice {
	const char *file;	 /* -c */
	const char *socket_path; /* --socket */
	const char *command;	 /* for restante-control */
	struct people people;	 /* and what is not an option */
};

static int run_ask(const struct choice *c);
static int run_conf(const struct choice *c);
static int run_kick(const struct choice *c);
static int run_why(const struct choice *c);
static int run_last(const struct choice *c);

static const struct verb {
	const char *name;
	const char *command;
	const char *json, *prometheus, *processes; /* with that option; NULL: none */
	int (*run)(const struct choice *c);
	const char *usage;
} verbs[] = {
	{"stat", "stat", "stat json", "stat prometheus", "processes", run_ask,
		"usage: restante stat [--prometheus | --json | --processes] [--socket "
		"PATH] [-c FILE]\n\n"
		"Prints the counters of the running server: the sums, or as Prometheus "
		"reads them,\n"
		"or as JSON; --processes lists the processes (pid, program, index) "
		"instead.\n"},
	{"reload", "reload", NULL, NULL, NULL, run_ask,
		"usage: restante reload [--socket PATH] [-c FILE]\n\n"
		"Asks the running server to read its configuration again, as SIGHUP "
		"does. Its log\n"
		"says whether the new one was put in force.\n"},
	{"drain", "drain", NULL, NULL, NULL, run_ask,
		"usage: restante drain [--socket PATH] [-c FILE]\n\n"
		"Asks the running server to take no new connections, to finish those "
		"that it has,\n"
		"and to end, as SIGTERM does.\n"},
	{"who", "who", "who json", NULL, NULL, run_ask,
		"usage: restante who [--json] [--socket PATH] [-c FILE]\n\n"
		"Prints the sessions of the running server, a line each.\n"},
	{"kick", "kick", NULL, NULL, NULL, run_kick,
		"usage: restante kick USER [--socket PATH] [-c FILE]\n"
		"       restante kick --session FRONT/SESSION\n"
		"       restante kick --address NETWORK\n\n"
		"Ends sessions; nothing is deleted in them. Prints how many.\n"},
	{"why", "why", NULL, NULL, NULL, run_why,
		"usage: restante why USER from ADDRESS [--tls | --no-tls] [--mechanism "
		"NAME]\n"
		"           [--socket PATH] [-c FILE]\n"
		"       restante why ID\n\n"
		"Says whether a login would be refused, and why; or why the one with "
		"that id was.\n"
		"The exit status is 0 if the user would be let in, 1 if not.\n"},
	{"last", "last", "last json", NULL, NULL, run_last,
		"usage: restante last [--json] USER... [--socket PATH] [-c FILE]\n\n"
		"Prints when these users' maildrops were last opened by a login, and "
		"from where.\n"},
	{"conf", NULL, NULL, NULL, NULL, run_conf,
		"usage: restante conf get NAME [-c FILE]\n"
		"       restante conf get LISTENER.NAME [-c FILE]\n"
		"       restante conf list [-c FILE]\n\n"
		"Prints the value of an option that is in force with this configuration "
		"(default\n"
		"" CTL_CONF_FILE "), or all of them.\n"},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int
ask(const struct choice *c, const char *command, int (*judge)(const char *, size_t))
{
	struct conf *conf = NULL;

	if (c->socket_path)
		return ctl_ask_judged(c->socket_path, command, judge);
	int r = ctl_conf_load(c->file, &conf);
	if (r != EX_OK)
		return r;
	r = ctl_ask_judged(conf->control_socket, command, judge);
	conf_free(&conf);
	return r;
}

static int
run_ask(const struct choice *c)
{
	if (c->people.words_n > 0) {
		fprintf(stderr, "restante: '%s' is one argument too many\n",
			c->people.words[0]);
		return EX_USAGE;
	}
	return ask(c, c->command, NULL);
}

static int
run_kick(const struct choice *c)
{
	char command[PEOPLE_COMMAND_MAX];
	int r = people_kick(&c->people, command);

	return r == EX_OK ? ask(c, command, NULL) : r;
}

static int
run_why(const struct choice *c)
{
	char command[PEOPLE_COMMAND_MAX];
	int r = people_why(&c->people, command);

	return r == EX_OK ? ask(c, command, people_why_status) : r;
}

static int
run_last(const struct choice *c)
{
	struct last l = {.users = c->people.words,
		.users_n = c->people.words_n,
		.json = strcmp(c->command, "last") != 0,
		.socket_path = c->socket_path};
	struct conf *conf = NULL;

	if (l.users_n == 0) {
		fprintf(stderr, "restante: say whose: last USER...\n");
		return EX_USAGE;
	}
	if (c->socket_path)
		return last_run(&l);
	int r = ctl_conf_load(c->file, &conf);
	if (r != EX_OK)
		return r;
	l.socket_path = conf->control_socket;
	r = last_run(&l);
	conf_free(&conf);
	return r;
}

static int
run_conf(const struct choice *c)
{
	struct conf *conf = NULL;
	char **words = c->people.words;
	int n = c->people.words_n;
	bool get = n == 2 && strcmp(words[0], "get") == 0;
	bool list = n == 1 && strcmp(words[0], "list") == 0;

	if (!get && !list) {
		fprintf(stderr, "restante: say 'conf get NAME' or 'conf list'\n");
		return EX_USAGE;
	}
	int r = ctl_conf_load(c->file, &conf);
	if (r != EX_OK)
		return r;
	r = get ? ctl_conf_get(conf, words[1]) : ctl_conf_list(conf);
	conf_free(&conf);
	return r;
}

enum {
	OPT_SOCKET = 256,
	OPT_PROMETHEUS,
	OPT_JSON,
	OPT_PROCESSES,
	OPT_SESSION,
	OPT_ADDRESS,
	OPT_MECHANISM,
	OPT_TLS,
	OPT_NO_TLS,
	OPT_HELP
};

static const struct option options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"prometheus", no_argument, NULL, OPT_PROMETHEUS},
	{"json", no_argument, NULL, OPT_JSON},
	{"processes", no_argument, NULL, OPT_PROCESSES},
	{"session", required_argument, NULL, OPT_SESSION},
	{"address", required_argument, NULL, OPT_ADDRESS},
	{"mechanism", required_argument, NULL, OPT_MECHANISM},
	{"tls", no_argument, NULL, OPT_TLS},
	{"no-tls", no_argument, NULL, OPT_NO_TLS},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

/* One form of output at most. */
static int
choose_form(const struct verb *v, struct choice *c, const char *command)
{
	if (!command || strcmp(c->command, v->command) != 0) {
		fprintf(stderr, "restante: %s\n%s",
			command ? "choose one form of output"
				: "there is nothing to print in that form here",
			v->usage);
		return EX_USAGE;
	}
	c->command = command;
	return EX_OK;
}

/* Options of kick and why. False: not of this one. */
static bool
take_people(const struct verb *v, struct people *p, int option)
{
	bool kicks = v->run == run_kick, asks = v->run == run_why;

	switch (option) {
	case OPT_SESSION: p->session = optarg; return kicks;
	case OPT_ADDRESS: p->address = optarg; return kicks;
	case OPT_MECHANISM: p->mechanism = optarg; return asks;
	case OPT_TLS: p->tls = 1; return asks;
	case OPT_NO_TLS: p->tls = 0; return asks;
	default: return false;
	}
}

static int
take_option(const struct verb *v, struct choice *c, int option)
{
	bool asks = v->command != NULL;

	switch (option) {
	case 'c': c->file = optarg; return EX_OK;
	case OPT_SOCKET:
		c->socket_path = optarg;
		if (asks)
			return EX_OK;
		break;
	case OPT_PROMETHEUS: return choose_form(v, c, v->prometheus);
	case OPT_JSON: return choose_form(v, c, v->json);
	case OPT_PROCESSES: return choose_form(v, c, v->processes);
	default:
		if (take_people(v, &c->people, option))
			return EX_OK;
		break;
	}
	fprintf(stderr, "%s", v->usage);
	return EX_USAGE;
}

static int
run_verb(const struct verb *v, int argc, char **argv)
{
	struct choice c = {.command = v->command, .people.tls = -1};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (option == OPT_HELP || option == 'h') {
			printf("%s", v->usage);
			return EX_OK;
		}
		int r = take_option(v, &c, option);
		if (r != EX_OK)
			return r;
	}
	c.people.words = argv + optind;
	c.people.words_n = argc - optind;
	return v->run(&c);
}

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < VERBS && argc >= 2; i++)
		if (strcmp(argv[1], verbs[i].name) == 0) {
			argv[1] = argv[0];
			return run_verb(&verbs[i], argc - 1, argv + 1);
		}
	fprintf(stderr,
		"restante-ctl: run me as restante stat, who, kick, why, last, reload, "
		"drain or conf\n");
	return EX_USAGE;
}
