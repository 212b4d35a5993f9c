#include "ctl/ctl_ask.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#define ANSWER_OCTETS_MAX ((size_t)16 * 1024 * 1024 + 64)
#define TIME_S		  40 /* a database may have to be asked */

static int
complain(const char *socket_path, const char *what, int error)
{
	const char *advice = "";

	if (error == ENOENT || error == ECONNREFUSED)
		advice = "; is restanted running, and with this control_socket?";
	if (error == EACCES || error == EPERM)
		advice = "; ask as root or as the user who started restanted";
	fprintf(stderr, "restante: %s %s: %s%s\n", what, socket_path, strerror(error),
		advice);
	if (error == EACCES || error == EPERM)
		return EX_NOPERM;
	return error == EAGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE;
}

/* A connected socket, or -errno. */
static int
connect_to(const char *socket_path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = TIME_S};
	size_t n = strlen(socket_path);

	if (n == 0 || n >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, socket_path, n);

	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return fd_take(&fd);
}

/* Up to the end of the connection; *ret is malloc'ed. 0 or -errno. */
static int
read_answer(int fd, char **ret, size_t *ret_n)
{
	size_t n = 0, cap = 0;
	AUTO_FREE char *p = NULL;

	for (;;) {
		if (n == cap) {
			cap = cap ? cap * 2 : 65536;
			char *larger =
				cap > 2 * ANSWER_OCTETS_MAX ? NULL : realloc(p, cap);
			if (!larger)
				return -ENOMEM;
			p = larger;
		}
		ssize_t got = read(fd, p + n, cap - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*ret = p;
	*ret_n = n;
	p = NULL;
	return 0;
}

static bool
begins(const char *p, size_t n, const char *with)
{
	size_t m = strlen(with);

	return n >= m && memcmp(p, with, m) == 0;
}

/* The first line is "ok" or "error: ..."; what was asked for follows. */
static int
print_answer(const char *p, size_t n)
{
	if (begins(p, n, "ok\n")) {
		(void)fwrite(p + 3, 1, n - 3, stdout); /* fflush tells */
		if (fflush(stdout) == 0)
			return EX_OK;
		fprintf(stderr, "restante: cannot write the answer: %s\n",
			strerror(errno));
		return EX_IOERR;
	}
	if (begins(p, n, "error: ")) {
		fprintf(stderr, "restante: %.*s", (int)(n > 1024 ? 1024 : n), p);
		return begins(p, n, "error: only root") ? EX_NOPERM : EX_TEMPFAIL;
	}
	fprintf(stderr,
		"restante: the server gave no answer that this program understands\n");
	return EX_PROTOCOL;
}

/* 0 and what the server said, or an exit status after a line on stderr. */
static int
exchange(const char *socket_path, const char *command, char **ret, size_t *ret_n)
{
	AUTO_FD fd = connect_to(socket_path);

	if (fd < 0)
		return complain(socket_path, "cannot reach", -fd);
	/* A server that refuses may close before it has read: then its answer tells. */
	if (send(fd, command, strlen(command), MSG_NOSIGNAL) >= 0)
		(void)send(fd, "\n", 1, MSG_NOSIGNAL);
	int r = read_answer(fd, ret, ret_n);
	return r < 0 ? complain(socket_path, "no answer from", -r) : EX_OK;
}

int
ctl_ask_text(const char *socket_path, const char *command, char **ret, size_t *ret_n)
{
	AUTO_FREE char *answer = NULL;
	size_t n = 0;
	int r = exchange(socket_path, command, &answer, &n);

	if (r != EX_OK)
		return r;
	if (!begins(answer, n, "ok\n"))
		return print_answer(answer, n);
	memmove(answer, answer + 3, n - 3);
	*ret = answer;
	*ret_n = n - 3;
	answer = NULL;
	return EX_OK;
}

int
ctl_ask(const char *socket_path, const char *command)
{
	return ctl_ask_judged(socket_path, command, NULL);
}

int
ctl_ask_judged(const char *socket_path, const char *command,
	int (*judge)(const char *answer, size_t n))
{
	AUTO_FREE char *answer = NULL;
	size_t n = 0;
	int r = exchange(socket_path, command, &answer, &n);

	if (r != EX_OK)
		return r;
	r = print_answer(answer, n);
	return r == EX_OK && judge ? judge(answer, n) : r;
}
