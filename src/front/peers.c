#include "front/peers.h"

#include "base/check.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/*
 * A row whose count is 0 is free, whatever its hash says. The first row is no address:
 * its count is the sum of the others, so that the table of a front with no connections,
 * or of none, costs one look.
 */
struct peers_row {
	uint64_t hash;
	uint64_t count;
};
static_assert(sizeof(struct peers_row) == PEERS_ROW_OCTETS);

/* An address lies within this many rows of its place, or in none. */
#define PROBES 16U

static uint64_t
rotate(uint64_t v, unsigned by)
{
	return (v << by) | (v >> (64 - by));
}

static void
sip_rounds(uint64_t v[4], int n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

/* SipHash-2-4 of exactly 16 octets: an address from outside cannot choose its row. */
static uint64_t
sip_hash(const uint64_t key[2], const uint64_t words[2])
{
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};
	const uint64_t blocks[3] = {words[0], words[1], (uint64_t)16 << 56};

	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		v[3] ^= blocks[i];
		sip_rounds(v, 2);
		v[0] ^= blocks[i];
	}
	v[2] ^= 0xFF;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
peers_hash(const struct peers *p, const uint8_t address[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
	uint64_t words[2] = {0, 0};

	memcpy(words, address, 8);
	if (memcmp(address, mapped, sizeof(mapped)) == 0)
		memcpy(&words[1], address + 8, 8);
	uint64_t hash = sip_hash(p->key, words);
	return hash ? hash : 1;
}

static size_t
place(uint64_t hash, size_t probe)
{
	return 1 + (size_t)(hash + probe) % (PEERS_ROWS - 1);
}

static uint64_t
count_in(const struct peers_row *table, uint64_t hash)
{
	if (__atomic_load_n(&table[0].count, __ATOMIC_RELAXED) == 0)
		return 0;
	for (size_t i = 0; i < PROBES; i++) {
		const struct peers_row *row = &table[place(hash, i)];
		if (__atomic_load_n(&row->hash, __ATOMIC_RELAXED) != hash)
			continue;
		uint64_t count = __atomic_load_n(&row->count, __ATOMIC_RELAXED);
		/* Another front's number: a sum of 64 of them must not overflow. */
		if (count > 0)
			return count < UINT32_MAX ? count : UINT32_MAX;
	}
	return 0;
}

static struct peers_row *
own_row(struct peers *p, uint64_t hash)
{
	struct peers_row *vacant = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct peers_row *row = &p->own[place(hash, i)];
		if (row->count > 0 && row->hash == hash)
			return row;
		if (row->count == 0 && !vacant)
			vacant = row;
	}
	return vacant;
}

uint64_t
peers_count(const struct peers *p, uint64_t hash)
{
	uint64_t sum = count_in(p->own, hash);

	for (size_t i = 0; i < p->others_n; i++)
		sum += count_in(p->others[i], hash);
	return sum;
}

bool
peers_add(struct peers *p, uint64_t hash, uint32_t max)
{
	struct peers_row *row = own_row(p, hash);

	if (!row)
		return false;
	__atomic_store_n(&row->hash, hash, __ATOMIC_RELAXED);
	__atomic_store_n(&row->count, row->count + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&p->own[0].count, p->own[0].count + 1, __ATOMIC_RELAXED);
	/* Counted first, then compared: two fronts that accept at once both see both. */
	if (max == 0 || peers_count(p, hash) <= max)
		return true;
	peers_remove(p, hash);
	return false;
}

void
peers_remove(struct peers *p, uint64_t hash)
{
	struct peers_row *row = own_row(p, hash);

	CHECK(row);
	CHECK(row->hash == hash);
	CHECK(row->count > 0);
	__atomic_store_n(&row->count, row->count - 1, __ATOMIC_RELAXED);
	__atomic_store_n(&p->own[0].count, p->own[0].count - 1, __ATOMIC_RELAXED);
}

static int
map_table(int fd, int prot, void **ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* A table that could be cut short would kill whoever reads it (SIGBUS). */
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || st.st_size < (off_t)PEERS_OCTETS)
		return -EINVAL;
	void *map = mmap(NULL, PEERS_OCTETS, prot, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret = map;
	return 0;
}

static int
map_own(const int *fds, size_t n, void **ret)
{
	if (n > 0)
		return map_table(fds[0], PROT_READ | PROT_WRITE, ret);
	void *map = mmap(NULL, PEERS_OCTETS, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret = map;
	return 0;
}

static int
map_others(struct peers *p, const int *fds, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		void *map;
		int r = map_table(fds[i], PROT_READ, &map);
		if (r < 0)
			return r;
		p->others[p->others_n++] = map;
	}
	return 0;
}

int
peers_open(struct peers *p, const int *fds, size_t n, struct view key)
{
	struct peers got = {0};
	void *own = NULL;

	if (n > PEERS_FRONTS_MAX || (key.n != 0 && key.n != PEERS_KEY_OCTETS))
		return -EINVAL;
	if (key.n > 0)
		memcpy(got.key, key.p, sizeof(got.key));
	int r = map_own(fds, n, &own);
	if (r < 0)
		return r;
	got.own = own;
	r = map_others(&got, fds, n);
	if (r < 0) {
		peers_close(&got);
		return r;
	}
	/* What an earlier owner of the table left behind is no connection of ours. */
	if (p->own)
		memmove(got.own, p->own, PEERS_OCTETS);
	else
		memset(got.own, 0, PEERS_OCTETS);
	peers_close(p);
	*p = got;
	return 0;
}

void
peers_close(struct peers *p)
{
	if (p->own)
		(void)munmap(p->own, PEERS_OCTETS);
	for (size_t i = 0; i < p->others_n; i++)
		(void)munmap((void *)(uintptr_t)p->others[i], PEERS_OCTETS);
	*p = (struct peers){0};
}
