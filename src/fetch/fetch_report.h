/*
 * fetch_report.h: what a person or a program is told of a run: events as JSON lines
 * (--json), one live line of progress on a terminal, or only what went wrong. Every text
 * from a server leaves as printable characters only.
 */
#ifndef FETCH_FETCH_REPORT_H
#define FETCH_FETCH_REPORT_H

#include "fetch/letter.h"

#include <stdbool.h>
#include <stdint.h>

/* Each is a row of report_events.def: its name in JSON, its level, its words. */
enum report_event {
#define REPORT_EVENT(id, ...) REPORT_##id,
#include "fetch/report_events.def"
#undef REPORT_EVENT
	REPORT_EVENTS
};

/* What belongs to an event; unset members (NULL, empty, UINT64_MAX) are left out. Set by
 * REPORT_NOTHING first. */
struct report_facts {
	const char *account;
	struct view uid;
	uint64_t msgno, octets, count, seconds;
	const char *target, *subject, *from, *why;
	struct view server_said;
};
#define REPORT_NOTHING                                                                   \
	((struct report_facts){.msgno = UINT64_MAX,                                      \
		.octets = UINT64_MAX,                                                    \
		.count = UINT64_MAX,                                                     \
		.seconds = UINT64_MAX})

struct report;
/* terminal: stderr is one and nobody said --quiet. Loop's thread only. */
struct report *report_new(bool json, bool quiet, bool verbose);
void report_free(struct report **r);
void report_tell(struct report *r, enum report_event e, const struct report_facts *f);
/* For the live line: what is to come and what has come, all accounts together. */
void report_expect(struct report *r, uint64_t messages, uint64_t octets);
void report_progress(struct report *r, uint64_t messages, uint64_t octets,
	uint32_t accounts, uint64_t now_ms);
/* The line is wiped; the summary of the run. */
void report_end(struct report *r);

#endif
