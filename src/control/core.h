/*
 * core.h: what restante-control knows and decides; no system call.
 *
 * A source is a running process with its page of counters. A slot is what Prometheus
 * sees: a program and an index, with the counts of all processes that ever held it. The
 * other programs may be taken over and write anything into their own page: a counter
 * that went down is taken as unchanged, sums stop at the largest number.
 */
#ifndef CONTROL_CORE_H
#define CONTROL_CORE_H

#include "base/buf.h"
#include "pop3/view.h"
#include "stat/stat.h"

#include <stdbool.h>
#include <stdint.h>

#define CORE_PROGRAM_OCTETS_MAX 32
#define CORE_PROGRAMS_MAX	16
/* Indexes from the last one on share its slot, so that the number of series is bounded.
 */
#define CORE_INDEXES_MAX 64
#define CORE_SLOTS_MAX	 (CORE_PROGRAMS_MAX * CORE_INDEXES_MAX)

#define CORE_LINE_OCTETS_MAX	1280 /* `why` and a name */
#define CORE_REQUEST_OCTETS_MAX 4096

struct core_slot {
	char program[CORE_PROGRAM_OCTETS_MAX + 1];
	uint32_t index;
	uint64_t gone[STAT_COUNT]; /* counters of processes that ended */
	uint64_t live[STAT_COUNT]; /* of the others, when they were read last */
};

/* Its memory and the page are the caller's, from core_add until it is given back. */
struct core_source {
	struct core_source *next;
	uint32_t pid;
	uint32_t index;
	const uint64_t *page; /* STAT_COUNT of them, written by another process */
	uint64_t seen[STAT_COUNT];
	struct core_slot *slot;
};

struct core {
	struct core_source *sources;
	size_t slots_n;
	struct core_slot slots[CORE_SLOTS_MAX];
};

enum core_added { CORE_ADDED, CORE_BAD_NAME, CORE_TOO_MANY_PROGRAMS };

/* A source with pid, index and page filled in. Unless CORE_ADDED, it stays the caller's.
 */
[[nodiscard]] enum core_added core_add(
	struct core *c, struct view program, struct core_source *s);
/* The process ended: its counters stay in the sums. The source to free, NULL if unknown.
 */
[[nodiscard]] struct core_source *core_remove(struct core *c, uint32_t pid);
/* Reads every page and adds up. Figures and texts are good right after it. */
void core_refresh(struct core *c);
/* Of one slot, its processes that ended included. */
uint64_t core_slot_value(const struct core_slot *slot, enum stat_id id);
/* Of all slots. */
uint64_t core_total(const struct core *c, enum stat_id id);

/* What a line on the operator's socket asks for. */
enum core_command {
	CORE_COMMAND_UNKNOWN,
	CORE_COMMAND_STAT,
	CORE_COMMAND_PROMETHEUS,
	CORE_COMMAND_JSON,
	CORE_COMMAND_PROCESSES,
	CORE_COMMAND_RELOAD,
	CORE_COMMAND_DRAIN,
	CORE_COMMAND_WHO,
	CORE_COMMAND_WHO_JSON,
	CORE_COMMAND_KICK, /* and words: control_who.h */
	CORE_COMMAND_WHY,  /* and words: core_why */
};
/* The line without its LF; a CR at its end and blanks there do not matter. */
[[nodiscard]] enum core_command core_command(struct view line, struct view *ret_words);

/* A question for auth, but for its number. */
struct core_why {
	uint32_t id; /* 0: by name */
	struct view name;
	uint8_t address[16];
	uint8_t tls, mechanism;
};
/* "id NUMBER", or "login ADDRESS yes|no MECHANISM NAME", the address as 32 hex digits. */
[[nodiscard]] bool core_why_read(struct view words, struct core_why *ret);

/* What came so far on the metrics socket (RFC 1945 s.5). */
enum core_http {
	CORE_HTTP_MORE, /* the empty line has not come yet */
	CORE_HTTP_METRICS,
	CORE_HTTP_NOT_FOUND,
	CORE_HTTP_BAD, /* not a request, or longer than CORE_REQUEST_OCTETS_MAX */
};
[[nodiscard]] enum core_http core_http(struct view request);

/* control_text.c: into out; where out->full is set, more room is needed. */
void core_render_stat(const struct core *c, struct buf *out);
void core_render_prometheus(const struct core *c, struct buf *out);
void core_render_json(const struct core *c, struct buf *out);
void core_render_processes(const struct core *c, struct buf *out);
/* The head of an HTTP answer with a body of that many octets. */
void core_render_http(enum core_http outcome, uint64_t body_octets, struct buf *out);

#endif
