/*
 * ctl_ask.h: one question to the running server, over the socket of restante-control.
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <stddef.h>

/*
 * Sends the command and prints the answer to stdout. 0, or an exit status of sysexits
 * after a line on stderr: 69 nobody serves the socket, 77 it may not be asked, 75 no
 * answer in time or refused for now, 76 an answer that is none.
 */
[[nodiscard]] int ctl_ask(const char *socket_path, const char *command);
/* The same, but the answer is not printed: *ret is malloc'ed, without its first line. */
[[nodiscard]] int ctl_ask_text(
	const char *socket_path, const char *command, char **ret, size_t *ret_n);
/* The same, and `judge` turns an answer that was printed into the exit status. */
[[nodiscard]] int ctl_ask_judged(const char *socket_path, const char *command,
	int (*judge)(const char *answer, size_t n));

#endif
