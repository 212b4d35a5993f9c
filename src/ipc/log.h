/*
 * log.h: one record to restante-log: an event and key=value pairs.
 *
 * A record is built in place and sent; nothing waits: when the channel is full the record
 * is dropped and counted, and the next one that gets through says so (lost=N; cut=1 where
 * a pair found no room in its record). restante-log adds time, program and pid and quotes
 * the values, so any octets may stand in one. Never a password, a token or a message's
 * content. May be called on any thread.
 *
 *     struct log_record r;
 *     log_begin(&r, LOG_LEVEL_INFO, "login");
 *     log_text(&r, "user", name);
 *     log_number(&r, "messages", 3);
 *     log_send(&r);
 */
#ifndef IPC_LOG_H
#define IPC_LOG_H

#include "base/buf.h"
#include "pop3/view.h"

enum log_level {
	LOG_LEVEL_ERROR = 1,
	LOG_LEVEL_WARNING = 2,
	LOG_LEVEL_INFO = 3,
	LOG_LEVEL_DEBUG = 4,
};

/*
 * Keys are of a to z and _, events of these, digits and -; else the record is refused.
 * The keys time, level, program, pid and event are the log's own: yours get "said_"
 * before them.
 */
#define LOG_KEY_MAX 32

struct log_record {
	uint8_t pairs[2048];
	struct buf buf;
	const char *event;
	uint8_t level;
	bool cut; /* a pair found no room */
};

void log_begin(struct log_record *r, enum log_level level, const char *event);
void log_text(struct log_record *r, const char *key,
	struct view value); /* cut at 1024 octets */
void log_str(struct log_record *r, const char *key, const char *value);
void log_number(struct log_record *r, const char *key, uint64_t value);
void log_error(struct log_record *r, const char *key, int negative_errno); /* its text */
/* An address in the 16-octet form of the messages (IPv4 as ::ffff:a.b.c.d), as text. */
void log_address(struct log_record *r, const char *key, struct view address);
void log_send(struct log_record *r);
/* Where log_send sends; FD_LOG unless a test (or the monitor) says otherwise. */
void log_to(int fd);
/*
 * Records that this process lost since its start; for its counter LOG_DROPPED. What
 * restante-log has to drop it counts in its own: no record is counted twice.
 */
uint64_t log_dropped(void);

#endif
