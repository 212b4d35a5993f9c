/*
 * mbox_replay.h: what became of a batch that was appended to an mbox by a run that was
 * killed. Under the mbox's locks.
 */
#ifndef FETCH_MBOX_REPLAY_H
#define FETCH_MBOX_REPLAY_H

#include "fetch/mbox_stage.h"

/*
 * Sets rows[i].found.
 *  - The mbox ends where the batch began, or in a torn part of it (its beginning, or
 *    blocks of it with blocks of zeros that a power cut left): the batch is written again
 *    from the stage and synced; all are found.
 *  - Otherwise other programs wrote to it since. Nothing of theirs is touched; each
 *    letter is looked for from the start. One that was torn, with another program's mail
 *    behind it, stays as it is and is fetched again.
 */
[[nodiscard]] int mbox_replay(int mbox, struct stage *s);
/* n octets of the stage to the mbox at the offset. */
[[nodiscard]] int mbox_append(
	int mbox, uint64_t offset, const struct stage *s, uint64_t start, uint64_t n);

#endif
