/*
 * sim.h: a small machine in memory: processes, a clock, a network and a disk, all moved
 * on by one seed. The programs of Restante run on it whole, as they are built: their
 * system calls end here (sim_calls.h).
 *
 * One seed is one run, in a process of its own (sim_main.c), so nothing is ever freed.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define K_MS	  UINT64_C(1000000)
#define K_S	  UINT64_C(1000000000)
#define K_NEVER	  UINT64_MAX
#define K_EPOCH_S UINT64_C(1800000000)

/* ---- sim_world.c: the seed, time, what happens later, and what is told ------------ */

/* What a seed is like. */
struct k_world {
	uint64_t seed, now_ns, random[4], hash, traced, steps;
	bool prints;	     /* --trace */
	bool calm;	     /* faults are over */
	const char *plant;   /* a fault of our own, or NULL */
	uint32_t preempt;    /* permille of calls after which others run */
	uint32_t cold;	     /* permille of reads that would wait for the disk */
	bool nowait_unknown; /* the file system has no RWF_NOWAIT */
	uint64_t delay_ns;   /* of the network, at most */
	size_t window;	     /* of a connection */
	bool disk_full;
	uint64_t disk_eio; /* calls until one fails; 0: none will */
	bool renews;	   /* fronts are, every now and then */
	bool harmed;	   /* a fault has struck in this seed */
	uint32_t crashes, kills;
};
extern struct k_world k_world;

void k_world_begin(uint64_t seed);
uint64_t k_random(void);
uint64_t k_below(uint64_t n);
bool k_chance(uint32_t permille);
void *k_new(size_t n);
void *k_new_pages(size_t n);
bool k_planted(const char *name);
/* Once in a while, where the plant is this one. */
bool k_plant(const char *name, uint32_t permille);
[[gnu::format(printf, 1, 2)]] void k_trace(const char *format, ...);
/* The seed has failed: says what, when and what came before; ends the process. */
[[gnu::noreturn, gnu::format(printf, 1, 2)]] void k_violation(const char *format, ...);
void k_after(uint64_t delay_ns, void (*fn)(void *), void *arg);
/* Runs everything until that moment, or until `done` says so. */
void k_run(uint64_t until_ns, bool (*done)(void));
/* sim_world.c, for the scheduler: what is due; when the next is. */
bool k_fire(void);
uint64_t k_next_event(void);

#include "sim_file.h"
#include "sim_proc.h"

/* ---- sim_disk.c -------------------------------------------------------------------- */

void k_disk_begin(void);
void k_disk_close(struct file *f);
/* What was not synced may be lost. */
void k_disk_crash(void);
struct inode *k_disk_walk(struct inode *from, const char *path);

#endif
