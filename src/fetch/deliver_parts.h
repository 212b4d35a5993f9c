/*
 * deliver_parts.h: what deliver.c and deliver_replay.c share.
 */
#ifndef FETCH_DELIVER_PARTS_H
#define FETCH_DELIVER_PARTS_H

#include "fetch/deliver.h"

struct deliver {
	const struct fetch_account *account;
	struct spool *spool;
	struct state *state;
	int64_t row;
	int spool_dir, spool_target;
	/* At the start, and when the journal failed between intended and synced: what it
	 * says is settled before anything else is delivered. */
	bool must_replay;
	size_t targets_n;
	struct delivery_target {
		const struct target_ops *ops;
		struct target *target;
	} targets[FETCH_TARGETS_MAX];
};

/* What was intended and not synced; nothing is swept. */
[[nodiscard]] int deliver_settle_journal(struct deliver *d, char *why, size_t why_n);

#endif
