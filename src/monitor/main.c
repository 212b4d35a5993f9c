#include "base/check.h"
#include "front/places.h"
#include "monitor/monitor.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_CONF RESTANTE_SYSCONFDIR "/restante.conf"
#define FILES_WANTED 262144

static void
ticked(struct timer *t, uint64_t now_ms)
{
	struct monitor *m =
		(struct monitor *)((char *)t - offsetof(struct monitor, tick));

	if (now_ms >= certificates_deadline(m))
		certificates_renew(m);
	core_tick(m->core, now_ms);
	monitor_act(m);
}

static void
users_due(struct timer *t, uint64_t now_ms)
{
	struct monitor *m =
		(struct monitor *)((char *)t - offsetof(struct monitor, users));

	(void)now_ms;
	if (core_lives(m->core, CORE_AUTH))
		setup_users(m);
	monitor_act(m);
}

static void
syslog_due(struct timer *t, uint64_t now_ms)
{
	struct monitor *m =
		(struct monitor *)((char *)t - offsetof(struct monitor, syslog));

	(void)now_ms;
	if (core_lives(m->core, CORE_LOG))
		(void)setup_log(m); /* has ended one that is stuck */
	monitor_act(m);
}

static void
watchdog_due(struct timer *t, uint64_t now_ms)
{
	struct monitor *m =
		(struct monitor *)((char *)t - offsetof(struct monitor, watchdog));

	notify_send(m, "WATCHDOG=1");
	(void)loop_timer_set(m->loop, t, now_ms + m->watchdog_ms);
}

static void
signalled(struct source *s, uint32_t events)
{
	struct monitor *m =
		(struct monitor *)((char *)s - offsetof(struct monitor, signals));
	struct signalfd_siginfo got;

	(void)events;
	while (read(s->fd, &got, sizeof(got)) == sizeof(got)) {
		if (got.ssi_signo == SIGCHLD)
			monitor_reap(m);
		else if (got.ssi_signo == SIGHUP)
			monitor_reload(m);
		else
			monitor_drain(m);
		monitor_act(m);
	}
}

/* ---- the start ---- */

static bool
watch_signals(struct monitor *m)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return false;
	m->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	m->signals.ready = signalled;
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	return m->signals.fd >= 0 && sigaction(SIGPIPE, &ignore, NULL) == 0;
}

/* Its own log channel and its own counters, like every other process. */
static bool
open_self(struct monitor *m)
{
	int pair[2];

	if (channel_pair(pair) < 0)
		return false;
	m->self.m = m;
	m->self.pid = getpid();
	m->self.log_end = pair[0];
	log_to(pair[1]);
	m->self.stat_fd = stat_page_new();
	return m->self.stat_fd >= 0 && stat_open(m->self.stat_fd) == 0;
}

static bool
make_loop(struct monitor *m)
{
	m->loop = loop_new();
	m->core = calloc(1, sizeof(*m->core));
	m->children = calloc(CORE_SLOTS, sizeof(*m->children));
	if (!m->loop || !m->core || !m->children)
		return false;
	for (size_t i = 0; i < CORE_SLOTS; i++)
		m->children[i].source.fd = m->children[i].log_end =
			m->children[i].stat_fd = m->children[i].who_fd = -1;
	m->tick.fire = ticked;
	m->users.fire = users_due;
	m->watchdog.fire = watchdog_due;
	m->syslog.fire = syslog_due;
	m->announce.fire = announce_due;
	if (m->watchdog_ms > 0 &&
		loop_timer_set(m->loop, &m->watchdog, clock_ms() + m->watchdog_ms) < 0)
		return false;
	return loop_add(m->loop, &m->signals, EPOLLIN) == 0;
}

static void
raise_limits(void)
{
	struct rlimit files;
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none); /* there may be keys in memory */
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	/* A front of 19000 sessions needs some for each; root may ask for more. */
	const struct rlimit wanted = {FILES_WANTED, FILES_WANTED};
	if (files.rlim_max < FILES_WANTED && setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files); /* as many as it is allowed anyway */
}

/* The default means as many as fit; a number that was asked for is worth a word. */
static void
check_places(struct monitor *m)
{
	const struct conf *c = m->settings.conf;
	uint32_t line = c->lines[CONF_GLOBAL_front_sessions];
	struct rlimit files;

	if (line == 0 || getrlimit(RLIMIT_NOFILE, &files) < 0 ||
		front_places(files.rlim_max) >= c->front_sessions)
		return;
	report_text(m, LOG_LEVEL_WARNING,
		"front_sessions = %" PRIu64 ": a limit of %" PRIu64
		" open files has room for %" PRIu64 " in a front; raise it to %" PRIu64
		" (LimitNOFILE=, ulimit -n)",
		c->front_sessions, (uint64_t)files.rlim_max, front_places(files.rlim_max),
		front_files(c->front_sessions));
}

static bool
start(struct monitor *m)
{
	int rc = privileges_learn(m);
	(void)umask(022);
	if (rc < 0) {
		report_text(m, LOG_LEVEL_ERROR, "which capabilities it has: %s",
			strerrordesc_np(-rc));
		return false;
	}
	raise_limits();
	if (!watch_signals(m) || !open_self(m)) {
		report_text(m, LOG_LEVEL_ERROR, "no descriptors to start with");
		return false;
	}
	if (!settings_load(m, m->conf_path, &m->settings) || !assets_open(m) ||
		!assets_helpers(m, m->settings.conf) ||
		!listen_apply(m, m->settings.conf))
		return false;
	rc = privileges_drop(m);
	if (rc < 0) {
		report_text(m, LOG_LEVEL_ERROR, "capabilities: %s", strerrordesc_np(-rc));
		return false;
	}
	if (m->uid == 0 && !m->privileged)
		report_text(m, LOG_LEVEL_WARNING,
			"root without CAP_SETUID and CAP_SETGID: no mail can be served");
	if (!make_loop(m)) {
		report_text(m, LOG_LEVEL_ERROR, "no memory to start with");
		return false;
	}
	struct core_limits limits = settings_limits(m, &m->settings);
	m->front_sessions = (uint32_t)m->settings.conf->front_sessions;
	check_places(m);
	watched_begin(m);
	for (uint32_t b = 0; b < CORE_BACKENDS; b++)
		(void)!setup_helper_files_are_as_seen(m, b); /* for the next time */
	core_begin(m->core, &limits, clock_ms());
	return true;
}

static int
serve(const char *conf_path)
{
	struct monitor *m = calloc(1, sizeof(*m));

	if (!m) {
		(void)fputs("restanted: no memory to start with\n", stderr);
		return 1;
	}
	m->conf_path = conf_path;
	m->status = 1;
	m->dev_null = m->empty_dir = m->run_lock = m->control.fd = m->metrics_fd = -1;
	m->log_out = m->signals.fd = m->self.log_end = m->self.stat_fd = -1;
	m->settings.spool = m->deny = m->self.who_fd = -1;
	for (size_t i = 0; i < CONF_LIST_MAX; i++)
		m->settings.roots[i] = -1;
	for (size_t i = 0; i < PROGRAMS; i++)
		m->programs[i] = -1;
	for (size_t i = 0; i < CORE_FRONTS; i++)
		m->peers[i] = m->peers_read[i] = -1;
	environment_take(m);
	if (start(m)) {
		monitor_act(m);
		if (!m->finished && loop_run(m->loop) < 0)
			report_text(m, LOG_LEVEL_ERROR, "waiting for events failed");
	}
	monitor_end(m);
	int status = m->status;
	loop_free(&m->loop);
	free(m->core);
	free(m->children);
	free(m);
	return status;
}

/* ---- the command line ---- */

static void
print_error(struct conf_sink *s, const char *line)
{
	(void)s;
	(void)fprintf(stderr, "%s\n", line);
}

static int
check_only(const char *path)
{
	struct conf_sink sink = {print_error};
	struct conf *c = conf_new();

	if (!c)
		return 1;
	size_t errors = conf_load_file(path, &sink, c);
	conf_free(&c);
	return errors > 0;
}

/* Descriptors 0 to 2 exist, so that nothing else gets their numbers. */
static bool
fill_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return false;
	(void)close(fd);
	return true;
}

static const char usage[] =
	"usage: restanted [-c FILE] [-n]\n"
	"The POP3 server Restante, in the foreground.\n"
	"  -c FILE    the configuration (" DEFAULT_CONF ")\n"
	"  -n         check the configuration, print every error, exit 0 or 1\n"
	"  --help     this text\n"
	"  --version  the version\n"
	"SIGHUP reads the configuration again; SIGTERM lets sessions finish and ends.\n";

int
main(int argc, char **argv)
{
	const char *path = DEFAULT_CONF;
	bool check = false;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || !fill_standard_fds()) {
		(void)fprintf(
			stderr, "restanted: it cannot begin: %s\n", strerror(errno));
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
			path = argv[++i];
		} else if (strcmp(argv[i], "-n") == 0) {
			check = true;
		} else if (strcmp(argv[i], "--help") == 0) {
			return fputs(usage, stdout) < 0;
		} else if (strcmp(argv[i], "--version") == 0) {
			return puts("restanted " RESTANTE_VERSION) < 0;
		} else {
			(void)fprintf(stderr, "restanted: %s: unknown argument\n%s",
				argv[i], usage);
			return 64;
		}
	}
	return check ? check_only(path) : serve(path);
}
