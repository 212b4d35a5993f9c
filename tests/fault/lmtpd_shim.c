/*
 * Preloaded into restante-lmtpd by test_lmtpd_alone.py, and into restante-front by
 * test_front_alone.py: LMTPD_FAIL=CALL:ERRNO:N lets the N-th call of that name fail, and
 * those before and after it work. Of sendmsg only those count that pass a descriptor, of
 * fcntl those that seal, of epoll_ctl those that add, of calloc those after the start.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static char plan[64];
static int error, at;
static bool has_started;

__attribute__((constructor)) static void
begin(void)
{
	const char *said = getenv("LMTPD_FAIL");
	char *rest;

	if (!said)
		return;
	size_t n = strcspn(said, ":");
	if (n >= sizeof(plan) || said[n] != ':')
		abort();
	memcpy(plan, said, n);
	error = (int)strtol(said + n + 1, &rest, 10);
	if (*rest != ':')
		abort();
	at = (int)strtol(rest + 1, &rest, 10);
	if (*rest != '\0' || at < 1)
		abort();
}

static bool
fails(const char *call)
{
	if (strcmp(plan, call) != 0 || --at != 0)
		return false;
	errno = error;
	return true;
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

int
memfd_create(const char *name, unsigned flags)
{
	return fails("memfd_create") ? -1 : NEXT(memfd_create)(name, flags);
}

/* Half of it, where the error is 0: a short write. */
ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t offset)
{
	bool hit = fails("pwrite64");

	if (hit && error != 0)
		return -1;
	return NEXT(pwrite64)(fd, p, hit ? n / 2 + 1 : n, offset);
}

int
fcntl64(int fd, int command, ...)
{
	va_list args;

	va_start(args, command);
	long argument = va_arg(args, long);
	va_end(args);
	if (command == F_ADD_SEALS && fails("fcntl"))
		return -1;
	return NEXT(fcntl64)(fd, command, argument);
}

ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (m->msg_controllen > 0 && fails("sendmsg"))
		return -1;
	return NEXT(sendmsg)(fd, m, flags);
}

int
epoll_ctl(int epoll, int op, int fd, struct epoll_event *e)
{
	if (op == EPOLL_CTL_ADD && fails("epoll_ctl"))
		return -1;
	return NEXT(epoll_ctl)(epoll, op, fd, e);
}

int
epoll_wait(int epoll, struct epoll_event *got, int n, int ms)
{
	has_started = true;
	return NEXT(epoll_wait)(epoll, got, n, ms);
}

void *__libc_calloc(size_t n, size_t each);

void *
calloc(size_t n, size_t each)
{
	return has_started && fails("calloc") ? NULL : __libc_calloc(n, each);
}

int
accept4(int fd, struct sockaddr *from, socklen_t *n, int flags)
{
	return fails("accept4") ? -1 : NEXT(accept4)(fd, from, n, flags);
}
