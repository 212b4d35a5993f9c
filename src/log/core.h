/*
 * core.h: a record of any program as one line. Pure.
 *
 *     time=2026-08-01T12:00:00.123Z level=info program=restante-front pid=7 event=login
 * user=bob
 *
 * What a record says is not believed in any way: its event and keys must be words, its
 * values are quoted (everything but plain ASCII as \xNN), a key of the five above becomes
 * said_pid and so on, and a line has a limit. Whose record it is the channel tells.
 */
#ifndef LOG_CORE_H
#define LOG_CORE_H

#include "base/buf.h"
#include "ipc/message.h"

/* With its line end. As large as a pipe takes in one piece (PIPE_BUF). */
#define LOG_LINE_MAX 4096

enum log_form {
	LOG_FORM_LINE,	 /* for a terminal, a file, a service manager */
	LOG_FORM_SYSLOG, /* a datagram for /dev/log: RFC 3164, without host name, no line
			    end */
};

/* Where a record comes from: what the monitor said of the channel. */
struct log_from {
	uint8_t program[32];
	uint8_t program_n;
	uint32_t pid;
};

enum [[nodiscard]] log_outcome{
	LOG_WRITTEN, LOG_MALFORMED, /* *out is as it was */
};

/*
 * Appends the record to out, which has room for LOG_LINE_MAX. Values that do not fit are
 * cut, pairs left out, and the line ends with cut=1.
 */
enum log_outcome log_format(enum log_form form, const struct log_from *from,
	uint64_t unix_ms, const struct msg_log_record *m, struct buf *out);

/* Sets the program's name; one that is no name becomes "unknown". */
void log_from_set(struct log_from *f, struct view program, uint32_t pid);

/*
 * How much one source may say: LOG_RATE records in a second, the rest is counted, so that
 * a program that was taken over cannot fill the disk or hide others in a flood.
 */
#define LOG_RATE 10000
struct log_limit {
	uint64_t second;
	uint32_t n;		     /* in that second */
	uint64_t dropped, malformed; /* not yet told of */
};
/* False: too many, counted. */
[[nodiscard]] bool log_limit_take(struct log_limit *l, uint64_t now_ms);

#endif
