/*
 * restante-ctl: restante stat, reload, drain and conf.
 */
#include "ctl/ctl_ask.h"
#include "ctl/ctl_conf.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct choice {
	const char *file;	 /* -c */
	const char *socket_path; /* --socket */
	const char *command;	 /* for restante-control */
	char **words;		 /* what is not an option */
	int words_n;
};

static int run_ask(const struct choice *c);
static int run_conf(const struct choice *c);

static const struct verb {
	const char *name;
	const char *command;
	bool prints; /* takes --prometheus, --json, --processes */
	int (*run)(const struct choice *c);
	const char *usage;
} verbs[] = {
	{"stat", "stat", true, run_ask,
		"usage: restante stat [--prometheus | --json | --processes] [--socket "
		"PATH] [-c FILE]\n\n"
		"Prints the counters of the running server: the sums, or as Prometheus "
		"reads them,\n"
		"or as JSON; --processes lists the processes (pid, program, index) "
		"instead.\n"},
	{"reload", "reload", false, run_ask,
		"usage: restante reload [--socket PATH] [-c FILE]\n\n"
		"Asks the running server to read its configuration again, as SIGHUP "
		"does. Its log\n"
		"says whether the new one was put in force.\n"},
	{"drain", "drain", false, run_ask,
		"usage: restante drain [--socket PATH] [-c FILE]\n\n"
		"Asks the running server to take no new connections, to finish those "
		"that it has,\n"
		"and to end, as SIGTERM does.\n"},
	{"conf", NULL, false, run_conf,
		"usage: restante conf get NAME [-c FILE]\n"
		"       restante conf get LISTENER.NAME [-c FILE]\n"
		"       restante conf list [-c FILE]\n\n"
		"Prints the value of an option that is in force with this configuration "
		"(default\n"
		"" CTL_CONF_FILE "), or all of them.\n"},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int
run_ask(const struct choice *c)
{
	struct conf *conf = NULL;

	if (c->words_n > 0) {
		fprintf(stderr, "restante: '%s' is one argument too many\n", c->words[0]);
		return EX_USAGE;
	}
	if (c->socket_path)
		return ctl_ask(c->socket_path, c->command);
	int r = ctl_conf_load(c->file, &conf);
	if (r != EX_OK)
		return r;
	r = ctl_ask(conf->control_socket, c->command);
	conf_free(&conf);
	return r;
}

static int
run_conf(const struct choice *c)
{
	struct conf *conf = NULL;
	bool get = c->words_n == 2 && strcmp(c->words[0], "get") == 0;
	bool list = c->words_n == 1 && strcmp(c->words[0], "list") == 0;

	if (!get && !list) {
		fprintf(stderr, "restante: say 'conf get NAME' or 'conf list'\n");
		return EX_USAGE;
	}
	int r = ctl_conf_load(c->file, &conf);
	if (r != EX_OK)
		return r;
	r = get ? ctl_conf_get(conf, c->words[1]) : ctl_conf_list(conf);
	conf_free(&conf);
	return r;
}

enum { OPT_SOCKET = 256, OPT_PROMETHEUS, OPT_JSON, OPT_PROCESSES, OPT_HELP };

static const struct option options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"prometheus", no_argument, NULL, OPT_PROMETHEUS},
	{"json", no_argument, NULL, OPT_JSON},
	{"processes", no_argument, NULL, OPT_PROCESSES},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

/* One form of output at most. */
static int
choose_form(const struct verb *v, struct choice *c, const char *command)
{
	if (!v->prints || strcmp(c->command, v->command) != 0) {
		fprintf(stderr, "restante: %s\n%s",
			v->prints ? "choose one form of output"
				  : "there is nothing to print here",
			v->usage);
		return EX_USAGE;
	}
	c->command = command;
	return EX_OK;
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
	case OPT_PROMETHEUS: return choose_form(v, c, "stat prometheus");
	case OPT_JSON: return choose_form(v, c, "stat json");
	case OPT_PROCESSES: return choose_form(v, c, "processes");
	default: break;
	}
	fprintf(stderr, "%s", v->usage);
	return EX_USAGE;
}

static int
run_verb(const struct verb *v, int argc, char **argv)
{
	struct choice c = {.command = v->command};
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
	c.words = argv + optind;
	c.words_n = argc - optind;
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
	fprintf(stderr, "restante-ctl: run me as restante stat, reload, drain or conf\n");
	return EX_USAGE;
}
