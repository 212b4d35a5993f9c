/*
 * out.h: where lines go. Never waits longer than a moment: a reader that has stopped
 * costs lines, not the program, and one that is gone costs nothing.
 */
#ifndef LOG_OUT_H
#define LOG_OUT_H

#include "log/core.h"

struct log_out {
	int fd;
	enum log_form form;
	bool is_socket; /* send, not write */
	bool can_stick; /* a pipe, a terminal: ask before writing */
	bool stuck;	/* the last line found no room within the moment */
	bool torn;	/* and only a part of it is there: the next begins a new line */
	bool refused;	/* the syslog daemon is not there any more */
	uint64_t lost;	/* lines since the last one that got through */
};

/* Takes the descriptor; closes the one before. Zero-initialise with fd -1. */
void log_out_set(struct log_out *o, int fd, bool syslog);
/* One line. False: lost, and counted. */
bool log_out_write(struct log_out *o, struct view line);

#endif
