/*
 * child.h: a command line run by /bin/sh with a file as its standard input: filters and
 * programs that take mail. Blocking, on a delivery thread.
 */
#ifndef FETCH_CHILD_H
#define FETCH_CHILD_H

#include "pop3/view.h"

/*
 * Runs the command with these octets as its standard input, in a process group of its
 * own, which is killed at the time limit; its output goes to /dev/null. The exit status
 * (0 to 255), or -errno (-ETIME: the limit; -EINTR: it died of a signal).
 */
int child_ask(const char *command, struct view input, uint64_t timeout_ms);

#endif
