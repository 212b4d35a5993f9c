/*
 * tool_options.h: options of a command line by a table; "--name VALUE" or "--name=VALUE".
 */
#ifndef MOVE_TOOL_OPTIONS_H
#define MOVE_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct tool_option {
	const char *name;
	bool takes_value;
	/* What is wrong with the value, or NULL; value is NULL where none is taken. */
	const char *(*set)(void *into, const char *value);
};

/* 1: argv[*i] (and its value) was taken, *i is behind it. 0: it is none of the rows. -1:
 * it is wrong, why says it. */
[[nodiscard]] int tool_option_take(const struct tool_option *rows, size_t n, void *into,
	int argc, char **argv, int *i, char *why, size_t why_n);

/*
 * The first line of a file (of standard input for "-") without its line end; at most cap
 * octets with NUL. 0 or -errno and why; -EINVAL: empty, too long, or it holds NUL.
 */
[[nodiscard]] int tool_read_secret(
	const char *path, char *ret, size_t cap, char *why, size_t why_n);

#endif
