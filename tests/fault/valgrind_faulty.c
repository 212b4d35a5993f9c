/*
 * valgrind_faulty: a program with one planted fault, by its number, of each kind that
 * test_valgrind.py is there for. Without a number it has none.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *volatile kept;

/* A message of which the last octets were never written: what was there before goes to
 * another process. */
static int
tells_too_much(void)
{
	int pair[2];
	char *message = malloc(64);

	if (!message || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return 1;
	memset(message, 0, 60);
	struct iovec iov = {message, 64};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	int failed = sendmsg(pair[0], &m, 0) != 64;
	free(message);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return failed;
}

static int
decides_by_chance(void)
{
	int *p = malloc(sizeof(*p));
	int odd = p && (*(volatile int *)p & 1);

	kept = odd ? "odd" : "even";
	free(p);
	return 0;
}

static int
loses_memory(void)
{
	kept = malloc(100);
	kept = NULL;
	return 0;
}

static int
writes_behind(void)
{
	char *p = malloc(10);

	if (!p)
		return 1;
	((volatile char *)p)[10] = 1;
	free(p);
	return 0;
}

static int
reads_what_is_gone(void)
{
	kept = malloc(10);
	if (!kept)
		return 1;
	kept[0] = 1;
	char *p = kept;
	free(kept);
	return ((volatile char *)p)[0] == 77;
}

static int
leaves_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC) < 0;
}

int
main(int argc, char **argv)
{
	static int (*const faults[])(void) = {tells_too_much, decides_by_chance,
		loses_memory, writes_behind, reads_what_is_gone, leaves_open};
	size_t i = argc > 1 ? (size_t)(argv[1][0] - '0') : 99;

	return i < sizeof(faults) / sizeof(faults[0]) ? faults[i]() : 0;
}
