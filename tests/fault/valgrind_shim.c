/*
 * valgrind_shim: preloaded into a program that runs under valgrind, which does not know
 * all that a program of ours does to itself.
 *
 * The cage is as it is but for the two parts that bind valgrind too: it maps code and
 * writes its reports, so no filter is loaded, and Landlock, which it does not know, is
 * as on an old kernel. openat2, which it does not know either, is openat here.
 *
 * Leaks are looked for before the end, when the program is told to end: a main that
 * returns leaves the memory of its sessions to the system, and nothing points to it then.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <valgrind/memcheck.h>

#define FD_MONITOR  3
#define FRONT_DRAIN 0x16 /* ipc/messages.def */
#define KILL_MS	    40000

#define NEXT(name)                                                                       \
	({                                                                               \
		static void *next_;                                                      \
		if (!next_)                                                              \
			next_ = dlsym(RTLD_NEXT, #name);                                 \
		(__typeof__(&name))next_;                                                \
	})

/* ---- libseccomp: all is well, and nothing is loaded ---- */

void *seccomp_init(uint32_t action);
int seccomp_attr_set(void *filter, int attribute, uint32_t value);
int seccomp_rule_add_array(
	void *filter, uint32_t action, int call, unsigned n, const void *args);
int seccomp_load(const void *filter);
void seccomp_release(void *filter);

void *
seccomp_init([[maybe_unused]] uint32_t action)
{
	static char filter;

	return &filter;
}

int
seccomp_attr_set([[maybe_unused]] void *filter, [[maybe_unused]] int attribute,
	[[maybe_unused]] uint32_t value)
{
	return 0;
}

int
seccomp_rule_add_array([[maybe_unused]] void *filter, [[maybe_unused]] uint32_t action,
	[[maybe_unused]] int call, [[maybe_unused]] unsigned n,
	[[maybe_unused]] const void *args)
{
	return 0;
}

int
seccomp_load([[maybe_unused]] const void *filter)
{
	return 0;
}

void
seccomp_release([[maybe_unused]] void *filter)
{
}

/* ---- what valgrind does not know ---- */

long
syscall(long number, ...)
{
	va_list args;
	long a[6];

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2) {
		const struct open_how *how = (const struct open_how *)a[2];
		return openat((int)a[0], (const char *)a[1], (int)how->flags,
			(mode_t)how->mode);
	}
	if (number == SYS_landlock_create_ruleset) {
		errno = ENOSYS;
		return -1;
	}
	return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int
mlock2([[maybe_unused]] const void *at, [[maybe_unused]] size_t n,
	[[maybe_unused]] unsigned flags)
{
	errno = EPERM; /* as where the limit does not allow it */
	return -1;
}

/* ---- leaks ---- */

static bool
is_end(const struct msghdr *m, ssize_t n)
{
	const uint8_t *p = m->msg_iovlen > 0 ? m->msg_iov[0].iov_base : NULL;

	if (n <= 0) /* reset: the monitor did not read all */
		return n == 0 || errno == ECONNRESET;
	return n >= 2 && p && p[0] == FRONT_DRAIN && p[1] == 0;
}

static void
look(void)
{
	static bool looked;
	int error = errno;

	if (looked)
		return;
	VALGRIND_PRINTF("looks for leaks\n");
	VALGRIND_DO_LEAK_CHECK;
	looked = true;
	errno = error;
}

ssize_t
recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n = NEXT(recvmsg)(fd, m, flags);

	if (fd == FD_MONITOR && is_end(m, n))
		look();
	return n;
}

/* A keeper sees the monitor's end in two threads, and goes at once. */
void
_exit(int status)
{
	look();
	(void)syscall(SYS_exit_group, status);
	__builtin_unreachable();
}

/* The monitor's patience is with programs that are not slowed down thirty times. */
int
kill(pid_t pid, int signal)
{
	const struct timespec step = {.tv_nsec = 10 * 1000 * 1000};
	siginfo_t info = {0};

	for (int ms = 0; signal == SIGKILL && pid > 0 && ms < KILL_MS; ms += 10) {
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
			info.si_pid != 0)
			break;
		(void)nanosleep(&step, NULL);
	}
	return NEXT(kill)(pid, signal);
}
