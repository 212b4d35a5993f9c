/*
 * sessions.h: which sessions of one front may ask. Pure.
 *
 * A session asks one question at a time, and no more once it was granted. The count in
 * its number (ipc/permit.h) is never used twice in a front, so it is enough to remember
 * the newest WINDOW counts: older ones are refused (a login has two minutes).
 */
#ifndef AUTH_SESSIONS_H
#define AUTH_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#define SESSIONS_WINDOW 262144
#define SESSIONS_WORDS	(SESSIONS_WINDOW / 64)

struct sessions {
	uint64_t top; /* one above the highest count seen */
	uint64_t asking[SESSIONS_WORDS], granted[SESSIONS_WORDS];
};

/* False: this session asks already, was granted, or is too old. Its question is not
 * heard.
 */
[[nodiscard]] bool sessions_begin(struct sessions *s, uint64_t session);
/* The answer is decided. */
void sessions_end(struct sessions *s, uint64_t session, bool granted);

#endif
