#include "ctl/sandbox_office.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define FIRST_SOCKET 3 /* of socket activation, as systemd has it */

enum event { EVENT_TIME, EVENT_END, EVENT_CHILD, EVENT_READY };

struct wait {
	int signals; /* signalfd */
	int notify;  /* datagrams of sd_notify */
	char notify_name[64];
};

/* Beside this program in a build tree, else in sbin beside its libexec. */
static int
find_monitor(char *ret, size_t cap)
{
	static const char *const places[] = {"restanted", "../../sbin/restanted"};
	char self[3072];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return office_say(
			EX_OSFILE, "/proc/self/exe cannot be read: is /proc mounted?");
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < 2; i++) {
		int len = snprintf(ret, cap, "%s/%s", self, places[i]);
		if (len > 0 && (size_t)len < cap && access(ret, X_OK) == 0)
			return 0;
	}
	return office_say(EX_OSFILE,
		"restanted is neither in %.500s nor in ../../sbin beside it", self);
}

/* A socket without a name in the file system, which the kernel chooses. */
static int
open_notify(struct wait *w)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	socklen_t n = sizeof(sa);
	int yes = 1;

	w->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->notify < 0 ||
		setsockopt(w->notify, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) != 0 ||
		bind(w->notify, (struct sockaddr *)&sa, sizeof(sa.sun_family)) != 0 ||
		getsockname(w->notify, (struct sockaddr *)&sa, &n) != 0)
		return office_say(
			EX_OSERR, "no socket for readiness: %s", strerror(errno));
	int len = (int)(n - offsetof(struct sockaddr_un, sun_path)) - 1;
	snprintf(w->notify_name, sizeof(w->notify_name), "@%.*s", len > 0 ? len : 0,
		sa.sun_path + 1);
	return 0;
}

static int
open_signals(struct wait *w, sigset_t *ret_before)
{
	const struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	/* Ignored by whoever started this, they would never arrive. */
	(void)sigaction(SIGTERM, &standard, NULL);
	(void)sigaction(SIGCHLD, &standard, NULL);
	if (sigprocmask(SIG_BLOCK, &set, ret_before) == 0)
		w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w->signals < 0)
		return office_say(EX_OSERR, "signals: %s", strerror(errno));
	return 0;
}

/* How many are handed over; a unix socket comes last and is restanted's own. */
static size_t
handed(const struct office *f)
{
	size_t n = f->listeners_n;

	return n > 0 && f->listeners[n - 1].fd < 0 ? n - 1 : n;
}

/* The sockets as descriptors from 3 on; those below are this process's own. */
static bool
hand_sockets(const struct office *f)
{
	int high[OFFICE_LISTENERS_MAX];
	size_t n = handed(f);

	for (size_t i = 0; i < n; i++) {
		high[i] = fcntl(f->listeners[i].fd, F_DUPFD_CLOEXEC, FIRST_SOCKET + 16);
		if (high[i] < 0)
			return false;
	}
	for (size_t i = 0; i < n; i++)
		if (dup2(high[i], FIRST_SOCKET + (int)i) < 0)
			return false;
	return true;
}

static bool
set_environment(const struct office *f, const struct wait *w)
{
	char pid[16], count[16], names[64] = "";
	size_t n = 0;

	for (size_t i = 0; i < handed(f); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
			i > 0 ? ":" : "", f->listeners[i].name);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	snprintf(count, sizeof(count), "%zu", handed(f));
	return setenv("LISTEN_PID", pid, 1) == 0 && setenv("LISTEN_FDS", count, 1) == 0 &&
		setenv("LISTEN_FDNAMES", names, 1) == 0 &&
		setenv("NOTIFY_SOCKET", w->notify_name, 1) == 0;
}

/* In the child: becomes restanted or says why not. */
[[gnu::noreturn]] static void
become_monitor(const struct office *f, const struct wait *w, const char *program,
	const sigset_t *mask, pid_t parent)
{
	char conf[1024];
	static char name[] = "restanted", option[] = "-c";
	char *const argv[] = {name, option, conf, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(conf, sizeof(conf), "%s/restante.conf", f->dir);
	/*
	 * A group of its own: Ctrl-C reaches the sandbox alone, which ends the office in
	 * order. And none survives a sandbox that was killed.
	 */
	if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
		getppid() == parent && null >= 0 && dup2(null, 0) == 0 &&
		dup2(2, 1) == 1 && hand_sockets(f) && set_environment(f, w) &&
		sigprocmask(SIG_SETMASK, mask, NULL) == 0)
		execv(program, argv);
	(void)office_say(0, "%.500s: cannot be started: %s", program, strerror(errno));
	_exit(EX_OSERR);
}

static bool
is_ready(const struct office *f, int fd)
{
	char text[256], control[CMSG_SPACE(sizeof(struct ucred)) + 64];
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	struct ucred sender = {0};

	if (n <= 0)
		return false;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&sender, CMSG_DATA(c), sizeof(sender));
	return sender.pid == f->monitor &&
		(strncmp(text, "READY=1", 7) == 0 || strstr(text, "\nREADY=1"));
}

static enum event
read_signals(struct office *f, int fd)
{
	struct signalfd_siginfo info;
	bool end = false;

	while (read(fd, &info, sizeof(info)) == sizeof(info))
		end |= info.ssi_signo != SIGCHLD;
	if (f->monitor > 0 && waitpid(f->monitor, &f->status, WNOHANG) == f->monitor) {
		f->monitor = 0;
		return EVENT_CHILD;
	}
	return end ? EVENT_END : EVENT_TIME;
}

/* The next thing that matters until then; deadline 0: none. */
static enum event
wait_event(struct office *f, struct wait *w, uint64_t deadline_ms)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = w->signals, .events = POLLIN},
			{.fd = w->notify, .events = POLLIN}};
		uint64_t now = clock_ms();
		uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
		int timeout = deadline_ms == 0 || left > 3600000 ? 3600000 : (int)left;

		(void)poll(fds, 2, timeout);
		enum event e = fds[0].revents ? read_signals(f, w->signals) : EVENT_TIME;
		if (e != EVENT_TIME)
			return e;
		if (fds[1].revents && is_ready(f, w->notify))
			return EVENT_READY;
		if (deadline_ms > 0 && clock_ms() >= deadline_ms)
			return EVENT_TIME;
	}
}

static void
print_json(const char *text)
{
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20)
			printf("\\u%04x", (unsigned)(unsigned char)*p);
		else
			printf(*p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
	}
}

static int
say_ready(const struct office *f)
{
	const char *pop3 = f->listeners[0].text, *pop3s = f->listeners[1].text;

	if (!f->o.json) {
		printf("ready pop3=%s pop3s=%s ca=%s/ca.pem pid=%d", pop3, pop3s, f->dir,
			(int)f->monitor);
		for (size_t i = 2; i < f->listeners_n; i++)
			printf(" %s=%s", f->listeners[i].name, f->listeners[i].text);
		printf("\n");
	} else {
		printf("{\"pop3\": \"%s\", \"pop3s\": \"%s\", \"ca\": \"", pop3, pop3s);
		print_json(f->dir);
		printf("/ca.pem\", \"pid\": %d", (int)f->monitor);
		for (size_t i = 2; i < f->listeners_n; i++) {
			printf(", \"%s\": \"", f->listeners[i].name);
			print_json(f->listeners[i].text);
			printf("\"");
		}
		printf("}\n");
	}
	return fflush(stdout) == 0
		? 0
		: office_say(EX_IOERR, "standard output: %s", strerror(errno));
}

/* What restanted itself says is on stderr already. */
static int
say_death(const struct office *f, const char *when)
{
	if (WIFSIGNALED(f->status))
		return office_say(EX_SOFTWARE, "restanted was ended by signal %d (%s) %s",
			WTERMSIG(f->status), strsignal(WTERMSIG(f->status)), when);
	int code = WEXITSTATUS(f->status);
	return office_say(code > 0 ? code : EX_SOFTWARE,
		"restanted ended with status %d %s", code, when);
}

/* In order as long as that takes; a second signal, or none of its time limit kept, kills.
 */
static int
end_monitor(struct office *f, struct wait *w)
{
	uint64_t deadline = clock_ms() + f->drain_ms + 10000;
	int rc = 0;

	(void)kill(f->monitor, SIGTERM);
	while (f->monitor > 0) {
		enum event e = wait_event(f, w, deadline);
		if (e == EVENT_CHILD)
			break;
		if (e == EVENT_TIME)
			rc = office_say(
				EX_SOFTWARE, "restanted does not end, it is killed");
		if (e == EVENT_END || e == EVENT_TIME) {
			(void)kill(f->monitor, SIGKILL);
			deadline = 0;
		}
	}
	if (rc == 0 && WIFEXITED(f->status) && WEXITSTATUS(f->status) != 0)
		rc = say_death(f, "at its end");
	return rc;
}

static int
serve(struct office *f, struct wait *w)
{
	enum event e = wait_event(f, w, clock_ms() + OFFICE_START_MS);
	int rc = 0;

	if (e == EVENT_CHILD)
		return say_death(f, "before it served");
	if (e == EVENT_TIME)
		rc = office_say(EX_TEMPFAIL, "restanted was not ready within %d s",
			OFFICE_START_MS / 1000);
	if (e == EVENT_READY) {
		rc = say_ready(f);
		uint64_t deadline = f->o.for_s > 0 ? clock_ms() + f->o.for_s * 1000 : 0;
		/* It is ready again after each reload. */
		while (rc == 0 && e == EVENT_READY)
			e = wait_event(f, w, deadline);
	}
	if (e != EVENT_CHILD) {
		int ended = end_monitor(f, w);
		return rc != 0 ? rc : ended;
	}
	/* Somebody asked the monitor itself to end, and it did. */
	if (WIFEXITED(f->status) && WEXITSTATUS(f->status) == 0)
		return 0;
	return say_death(f, "while it served");
}

int
office_run(struct office *f)
{
	struct wait w = {.signals = -1, .notify = -1};
	char program[4096];
	sigset_t mask;
	pid_t self = getpid();
	int rc = find_monitor(program, sizeof(program));

	if (rc == 0)
		rc = open_notify(&w);
	if (rc == 0)
		rc = open_signals(&w, &mask);
	if (rc == 0) {
		f->monitor = fork();
		if (f->monitor == 0)
			become_monitor(f, &w, program, &mask, self);
		if (f->monitor < 0)
			rc = office_say(EX_OSERR, "fork: %s", strerror(errno));
	}
	/* The ports are free as soon as the monitor's processes have ended. */
	for (size_t i = 0; i < f->listeners_n; i++)
		fd_close(&f->listeners[i].fd);
	if (rc == 0)
		rc = serve(f, &w);
	fd_close(&w.notify);
	fd_close(&w.signals);
	return rc;
}
