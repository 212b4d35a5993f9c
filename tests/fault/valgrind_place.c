/*
 * valgrind_place: takes the place of a program of ours and runs the real one, which has
 * ".real" at the end of its name, under valgrind with valgrind_shim preloaded. Both lie
 * beside it, and so do valgrind's arguments, one a line in PROGRAM.args: what the monitor
 * starts gets no arguments and no environment.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX   64
#define LINES_MAX  16384
#define STATUS_OWN 71 /* and 72, 73: it could not be run */

static size_t
read_lines(const char *path, char lines[LINES_MAX])
{
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	size_t n = fread(lines, 1, LINES_MAX - 1, f);
	(void)fclose(f);
	lines[n] = '\0';
	return n;
}

int
main(int argc, char **argv)
{
	static char self[PATH_MAX], real[PATH_MAX + 16], list[PATH_MAX + 16],
		shim[PATH_MAX + 48], lines[LINES_MAX];
	char *args[ARGS_MAX + 1], *rest = lines, *line;
	char *const envp[] = {shim, NULL};
	int n = 0;
	ssize_t got = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (got <= 0)
		return STATUS_OWN;
	self[got] = '\0';
	(void)snprintf(real, sizeof(real), "%s.real", self);
	(void)snprintf(list, sizeof(list), "%s.args", self);
	*strrchr(self, '/') = '\0';
	(void)snprintf(shim, sizeof(shim), "LD_PRELOAD=%s/libvalgrind_shim.so", self);
	if (read_lines(list, lines) == 0)
		return STATUS_OWN + 1;
	while (n < ARGS_MAX - 1 && (line = strsep(&rest, "\n")))
		if (*line)
			args[n++] = line;
	args[n++] = real;
	for (int i = 1; i < argc && n < ARGS_MAX; i++)
		args[n++] = argv[i];
	args[n] = NULL;
	(void)execve(args[0], args, envp);
	return STATUS_OWN + 2;
}
