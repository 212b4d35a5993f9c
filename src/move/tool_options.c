#include "move/tool_options.h"

#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The row of "--name" or "--name=value", whose value is then set. */
static const struct tool_option *
find(const struct tool_option *rows, size_t n, const char *argument,
	const char **ret_value)
{
	for (size_t i = 0; i < n; i++) {
		size_t length = strlen(rows[i].name);

		if (strncmp(argument, rows[i].name, length) != 0)
			continue;
		if (argument[length] && argument[length] != '=')
			continue;
		*ret_value = argument[length] ? argument + length + 1 : NULL;
		return &rows[i];
	}
	return NULL;
}

int
tool_option_take(const struct tool_option *rows, size_t n, void *into, int argc,
	char **argv, int *i, char *why, size_t why_n)
{
	const char *value = NULL, *wrong = NULL;
	const struct tool_option *row = find(rows, n, argv[*i], &value);

	if (!row)
		return 0;
	if (!row->takes_value && value)
		wrong = "it takes no value";
	if (row->takes_value && !value) {
		if (*i + 1 < argc)
			value = argv[++*i];
		else
			wrong = "it needs a value";
	}
	if (!wrong)
		wrong = row->set(into, value);
	++*i;
	if (!wrong)
		return 1;
	(void)snprintf(why, why_n, "%s: %s", row->name, wrong);
	return -1;
}

/* Up to the line end, the file's end, or until cap is full. */
static ssize_t
read_line(int fd, char *ret, size_t cap)
{
	size_t n = 0;

	while (n < cap) {
		ssize_t got = read(fd, ret + n, cap - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
		if (memchr(ret + n - (size_t)got, '\n', (size_t)got))
			break;
	}
	return (ssize_t)n;
}

int
tool_read_secret(const char *path, char *ret, size_t cap, char *why, size_t why_n)
{
	bool standard = strcmp(path, "-") == 0;
	AUTO_FD file = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = file < 0 && !standard
		? -errno
		: read_line(standard ? STDIN_FILENO : file, ret, cap);

	if (n < 0) {
		(void)snprintf(why, why_n, "%s: %s", path, strerror((int)-n));
		return (int)n;
	}
	char *lf = memchr(ret, '\n', (size_t)n);
	size_t length = lf ? (size_t)(lf - ret) : (size_t)n;
	if (length > 0 && ret[length - 1] == '\r')
		length--;
	if (length == 0 || length >= cap || memchr(ret, '\0', length)) {
		(void)snprintf(why, why_n,
			"%s: the first line must be the password, at most %zu octets",
			path, cap - 1);
		return -EINVAL;
	}
	ret[length] = '\0';
	return 0;
}
