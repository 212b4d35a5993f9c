/*
 * file_shim.h: what the parts of a preloaded library share that counts a program's calls,
 * lets one fail, and writes down what changes files. file_shim.c has the calls that
 * change files; fetch_shim.c and store_shim.c have what only their programs call.
 */
#ifndef FAULT_FILE_SHIM_H
#define FAULT_FILE_SHIM_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACE_MAX 4300

enum kind {
	WRITE,
	PWRITE,
	COPY,
	FSYNC,
	FDATASYNC,
	SYNC_RANGE,
	CREATE,
	RENAME,
	LINK,
	UNLINK,
	MKDIR,
	TRUNCATE,
	SQL_OPEN,
	SQL_PREPARE,
	SQL_STEP,
	SQL_EXEC,
	SQL_CHECKPOINT,
	OPEN, /* this and the others: only for a program whose shim wants them */
	STAT,
	READ,
	DIRECTORY_READ,
	LOCK,
	KINDS
};

enum verdict { PASS, FAIL, SHORT, KILL_AFTER };

/* Each call has a type of its own; a local holds the one that was meant. */
#define REAL(name) ((__typeof__(&name))shim_real(#name))
void *shim_real(const char *name);

/* One lock around each call and its line keeps the trace in the order of the calls. */
void shim_lock(void);
void shim_unlock(void);
/* Counts the call. FAIL: errno is to be set to shim_error() (SQLite's: it is the result);
 * SHORT: part of the octets are to pass. */
enum verdict shim_judge(enum kind kind);
int shim_error(void);
/* After the call: the kill, if it was asked for. */
void shim_judged(enum verdict v);
/* Counts it too, in a lock of its own, for calls that change nothing; false: it fails,
 * errno is set. */
bool shim_passes(enum kind kind);

/* Whether the path, or what is open, lies below the root. */
bool shim_is_below(const char *path);
bool shim_counts_fd(int fd);
/* Whether that name, from that directory, is below the root. */
bool shim_counts_name(int dir, const char *path);

/* A line of the trace, or octets in hex as its end. */
[[gnu::format(printf, 1, 2)]] void shim_tell(const char *format, ...);
void shim_tell_octets(const uint8_t *p, size_t n);

/* From here on calls are written down but do not fail, and are not counted: they are
 * another program's. */
void shim_spare(bool on);

#endif
