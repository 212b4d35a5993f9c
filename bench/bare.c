/*
 * bare: what the kernel alone costs, to measure a maildrop against.
 *
 *     bare names DIR...   getdents of each directory
 *     bare files DIR...   the same, then each file opened, read and closed
 *
 * Prints one line: entries, octets, wall and CPU time in microseconds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NAMES_BUFFER 65536
#define FILE_BUFFER  262144

struct sum {
	bool files;
	uint64_t entries, octets;
	char names[NAMES_BUFFER], block[FILE_BUFFER];
};

static int64_t
wall_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static int64_t
cpu_us(void)
{
	struct rusage r;

	(void)getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * INT64_C(1000000) +
		r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static void
read_file(struct sum *s, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	while ((n = read(fd, s->block, sizeof(s->block))) > 0) {
		s->octets += (uint64_t)n;
		if (n < (ssize_t)sizeof(s->block))
			break;
	}
	(void)close(fd);
}

static int
read_dir(struct sum *s, const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t n;

	if (dir < 0)
		return -errno;
	while ((n = getdents64(dir, s->names, sizeof(s->names))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *e = (const void *)(s->names + at);
			at += e->d_reclen;
			if (e->d_name[0] == '.')
				continue;
			s->entries++;
			if (s->files)
				read_file(s, dir, e->d_name);
		}
	}
	(void)close(dir);
	return n < 0 ? -errno : 0;
}

int
main(int argc, char **argv)
{
	struct sum *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s || argc < 3 ||
		(strcmp(argv[1], "names") != 0 && strcmp(argv[1], "files") != 0)) {
		(void)fprintf(stderr, "usage: bare names|files DIR...\n");
		free(s);
		return 64;
	}
	s->files = strcmp(argv[1], "files") == 0;
	int64_t wall = wall_us(), cpu = cpu_us();
	for (int i = 2; i < argc && r == 0; i++)
		r = read_dir(s, argv[i]);
	if (r < 0)
		(void)fprintf(stderr, "bare: %s\n", strerror(-r));
	else
		(void)printf("entries=%llu octets=%llu wall_us=%lld cpu_us=%lld\n",
			(unsigned long long)s->entries, (unsigned long long)s->octets,
			(long long)(wall_us() - wall), (long long)(cpu_us() - cpu));
	free(s);
	return r < 0 ? 1 : 0;
}
