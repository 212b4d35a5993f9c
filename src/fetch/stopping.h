/*
 * stopping.h: tells code that waits on a thread (for a command, a filter, a person) that
 * a signal asked for the end.
 */
#ifndef FETCH_STOPPING_H
#define FETCH_STOPPING_H

/* Before the first thread; -errno. */
[[nodiscard]] int stopping_prepare(void);
/* From now on the descriptor is readable, for everybody and for ever. */
void stopping_tell(void);
/* To poll beside what is waited for; -1 where nobody takes signals. */
int stopping_fd(void);
/* At the end, when nobody waits any more. */
void stopping_done(void);

#endif
