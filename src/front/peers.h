/*
 * peers.h: how many connections an address has, over all fronts (option
 * connections_per_address).
 *
 * Every front has one table in a memfd of PEERS_OCTETS octets that the monitor made. A
 * front writes its own and only reads the others', so no lock is needed and a front that
 * is taken over can lie about nothing but its own connections. An address is known by a
 * keyed hash; of an IPv6 address the first 64 bits count, because one customer usually
 * has all of the rest. What another front writes is read as numbers and never trusted
 * for more than a sum.
 */
#ifndef FRONT_PEERS_H
#define FRONT_PEERS_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEERS_ROWS	 65536U
#define PEERS_ROW_OCTETS 16U
/* The size of each memfd. The monitor seals it against shrinking (F_SEAL_SHRINK). */
#define PEERS_OCTETS	 (PEERS_ROWS * PEERS_ROW_OCTETS)
#define PEERS_FRONTS_MAX 64U
#define PEERS_KEY_OCTETS 16U

struct peers_row;

struct peers {
	struct peers_row *own;
	const struct peers_row *others[PEERS_FRONTS_MAX];
	size_t others_n;
	uint64_t key[2];
};

/*
 * Maps the tables: the first is this front's own and starts empty (or, if *p was open
 * before, with what was counted so far). fds stay the caller's; none: a table of this
 * front alone. 0 or -errno; on failure *p is as it was.
 */
[[nodiscard]] int peers_open(struct peers *p, const int *fds, size_t n, struct view key);
void peers_close(struct peers *p);

/* By what an address (16 octets, IPv4 as ::ffff:a.b.c.d) is known. Never 0. */
uint64_t peers_hash(const struct peers *p, const uint8_t address[16]);

/*
 * Counts one more connection of this address; false, and nothing counted, where all
 * fronts together would have more than max (0: no limit) or where this front's table
 * has no place for it.
 */
[[nodiscard]] bool peers_add(struct peers *p, uint64_t hash, uint32_t max);
void peers_remove(struct peers *p, uint64_t hash);
/* Over all fronts. */
uint64_t peers_count(const struct peers *p, uint64_t hash);

#endif
