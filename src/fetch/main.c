/*
 * main.c: restante-fetch: what was asked for, and the loop.
 */
#include "fetch/account_run.h"
#include "fetch/notify.h"
#include "fetch/settings.h"
#include "fetch/status.h"
#include "fetch/stopping.h"
#include "fetch/tasks.h"
#include "os/fd.h"
#include "os/tls_client.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

struct program {
	struct account_runs runs; /* first */
	struct source signals;
	int argc;
	char **argv;
	bool stopped;
};

static struct program program;

static void
idle(struct account_runs *r)
{
	loop_stop(r->run.loop);
}

static struct configuration *
read_configuration(int *ret_status)
{
	struct configuration *c = calloc(1, sizeof(*c));

	*ret_status = EX_OSERR;
	if (!c) {
		fprintf(stderr, "restante fetch: no memory\n");
		return NULL;
	}
	*ret_status = settings_read(program.argc, program.argv, &c->command);
	return c;
}

/* What cannot change in a process that runs. */
static const char *
fixed(const struct fetch_settings *now, const struct fetch_settings *then)
{
	struct files_plan files;
	uint64_t needed;

	if (strcmp(now->state, then->state) != 0)
		return "another state directory needs a restart";
	if (now->delivery_threads != then->delivery_threads)
		return "another number of delivery_threads needs a restart";
	if (!files_plan(then, 0, program.runs.run.files_limit, &files, &needed))
		return "too few files may be open for these accounts";
	return NULL;
}

static void
reload(void)
{
	struct account_runs *r = &program.runs;
	struct report_facts f = REPORT_NOTHING;
	int status, e;
	struct configuration *c = read_configuration(&status);

	if (!c || status != 0)
		f.why = "the configuration has errors";
	else
		f.why = fixed(r->run.settings, &c->command.settings);
	if (!f.why && (e = account_runs_reload(r, c)) != 0)
		f.why = strerror(-e);
	if (!f.why) {
		f.why = c->command.config;
		report_tell(r->run.report, REPORT_RELOADED, &f);
		return;
	}
	report_tell(r->run.report, REPORT_NOT_RELOADED, &f);
	if (c) {
		settings_free(&c->command);
		free(c);
	}
}

/* The first signal ends in order, the second at once; but a daemon takes SIGHUP as the
 * wish to read its file again. */
static void
on_signal(struct source *s, uint32_t events)
{
	struct account_runs *r = &program.runs;
	struct signalfd_siginfo info;

	(void)events;
	while (read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP && r->run.settings->daemon &&
			r->configuration->command.config) {
			if (program.stopped)
				continue;
			notify_reloading();
			reload();
			notify("READY=1");
			continue;
		}
		if (program.stopped)
			_exit(EX_TEMPFAIL);
		program.stopped = true;
		stopping_tell();
		notify("STOPPING=1");
		account_runs_stop(r);
	}
}

static int
watch_signals(struct loop *l)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	sigaction(SIGPIPE, &ignore, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT); /* the terminal's echo may be off */
	if (stopping_prepare() != 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -errno;
	program.signals = (struct source){
		signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), 0, on_signal, false};
	return program.signals.fd < 0 ? -errno : loop_add(l, &program.signals, EPOLLIN);
}

/* What is only looked at needs no lock: it may be looked at beside a daemon. */
static int
open_state(const struct fetch_command *command, char *why, size_t why_n)
{
	const struct fetch_settings *settings = &command->settings;
	struct state **ret = &program.runs.run.state;
	bool show = command->task == FETCH_LIST ||
		(settings->accounts_n > 0 && settings->accounts[0].dry_run);
	int r = state_open(settings->state, !show, ret, why, why_n);

	if (show && r == -ENOENT)
		r = state_open(settings->state, true, ret, why, why_n);
	return r;
}

static int
go_round(const struct fetch_settings *settings, struct configuration *c)
{
	struct run *run = &program.runs.run;
	int r = work_start(run->loop, settings->delivery_threads, &run->work);

	if (r == 0)
		r = account_runs_start(&program.runs, c);
	if (r == 0 && settings->daemon)
		r = notify_watchdog(run->loop);
	if (r != 0)
		return r;
	notify("READY=1");
	return program.runs.running > 0 || settings->daemon ? loop_run(run->loop) : 0;
}

static bool
are_files_enough(const struct fetch_settings *settings)
{
	struct run *run = &program.runs.run;
	uint64_t needed;

	if (files_plan(settings, 0, run->files_limit, &run->files, &needed))
		return true;
	fprintf(stderr,
		"restante fetch: the limit of open files (ulimit -n) is %llu; raise it "
		"to %llu or more\n",
		(unsigned long long)run->files_limit, (unsigned long long)needed);
	return false;
}

static int
collect(struct configuration *c)
{
	const struct fetch_command *command = &c->command;
	struct run *run = &program.runs.run;
	char why[LETTER_WHY_MAX];
	int r;

	if (!are_files_enough(&command->settings))
		return EX_OSERR;
	run->settings = &command->settings;
	run->task = command->task == FETCH_LIST ? RUN_LIST : RUN_COLLECT;
	program.runs.idle = idle;
	r = open_state(command, why, sizeof(why));
	if (r != 0) {
		fprintf(stderr, "restante fetch: %s\n", why);
		return state_exit_status(r);
	}
	run->loop = loop_new();
	r = together_new(&run->together);
	run->report = report_new(command->settings.json, command->settings.quiet,
		command->settings.verbose);
	if (r == 0)
		r = run->loop && run->report ? watch_signals(run->loop) : -ENOMEM;
	if (r == 0)
		r = go_round(&command->settings, c);
	if (r != 0) {
		fprintf(stderr, "restante fetch: %s\n", strerror(-r));
		program.runs.status = EX_OSERR;
	}
	work_end(&run->work);
	together_free(&run->together);
	account_runs_free(&program.runs);
	if (run->report)
		report_end(run->report);
	report_free(&run->report);
	state_close(&run->state);
	fd_close(&program.signals.fd);
	stopping_done();
	loop_free(&run->loop);
	return program.runs.status;
}

static int
perform(struct configuration *c)
{
	const struct fetch_command *command = &c->command;

	switch (command->task) {
	case FETCH_COLLECT:
	case FETCH_LIST: return collect(c);
	case FETCH_STATUS: return status_show(command);
	case FETCH_CONFIGURE: return task_configure(command);
	case FETCH_IMPORT: return task_import(command);
	case FETCH_RECONCILE: return task_reconcile(command);
	case FETCH_HELP: settings_help(); return EX_OK;
	case FETCH_VERSION: printf("restante fetch %s\n", RESTANTE_VERSION); return EX_OK;
	}
	return EX_SOFTWARE;
}

/* Letters on their way hold a descriptor each, in every account. */
static void
raise_files(void)
{
	struct rlimit l, before;

	/* What cannot be asked is what it is nearly everywhere. */
	program.runs.run.files_limit = 1024;
	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return;
	before = l;
	l.rlim_cur = l.rlim_max;
	program.runs.run.files_limit =
		setrlimit(RLIMIT_NOFILE, &l) == 0 ? l.rlim_cur : before.rlim_cur;
}

int
main(int argc, char **argv)
{
	struct configuration *c;
	int status;

	prctl(PR_SET_DUMPABLE, 0);
	raise_files();
	/* A few arenas less: memory stays small with many threads. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	program.argc = argc;
	program.argv = argv;
	c = read_configuration(&status);
	if (!c)
		return status;
	c->users = 1;
	if (status == 0 && tls_client_begin() != 0) {
		fprintf(stderr, "restante fetch: OpenSSL cannot be started: no memory\n");
		status = EX_OSERR;
	}
	if (status == 0)
		status = perform(c);
	configuration_unref(&c);
	return status;
}
