/*
 * core_parts.h: what core.c, core_front.c, core_helper.c, core_lmtpd.c and core_grant.c
 * use of each other.
 */
#ifndef MONITOR_CORE_PARTS_H
#define MONITOR_CORE_PARTS_H

#include "monitor/core.h"

void core_queue(struct core *c, enum core_act act, uint32_t slot, uint32_t value);
void core_seen_clear(struct core *c, uint32_t front);
void core_keeper_free(struct core *c, uint32_t slot);
void core_set_state(
	struct core *c, uint32_t slot, enum core_state state, uint64_t due_ms);
void core_start(struct core *c, uint32_t slot, uint64_t now);
void core_wait_for_restart(
	struct core *c, uint32_t slot, enum core_end how, uint64_t now);
/* core_front.c */
void core_fill_fronts(struct core *c, uint64_t now);
/* A front or lmtpd. due_ms: when it is ended, if it has not. */
void core_drain_one(struct core *c, uint32_t slot, uint64_t due_ms);
void core_renew_fronts(struct core *c, uint64_t now);
uint64_t core_renew_deadline(const struct core *c);
void core_tell_fullness(struct core *c);
void core_front_died(struct core *c, uint32_t slot, enum core_end how, uint64_t now);
/* A front or lmtpd lives. */
bool core_anyone_serves(const struct core *c);
/* core_helper.c: what is there only where the configuration asks for it. */
bool core_wanted(const struct core *c, uint32_t slot);
void core_fit_helpers(struct core *c, uint64_t now);
/* core_lmtpd.c: starts it where it is wanted and lacks, drains it where it is not. */
void core_fit_lmtpd(struct core *c, uint64_t now);
void core_lmtpd_died(struct core *c, enum core_end how, uint64_t now);
/* core_grant.c */
void core_bucket_fill(struct core_bucket *b, uint64_t most, uint64_t now);
/* keep: as many stay for others. */
bool core_bucket_take(struct core_bucket *b, uint64_t most, uint64_t per_s, uint64_t keep,
	uint64_t now);

#endif
