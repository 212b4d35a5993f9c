#include "unit.h"

#include "front/peers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint8_t key[PEERS_KEY_OCTETS] = "0123456789abcdef";

static int
table(int seals)
{
	int fd = memfd_create("peers", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PEERS_OCTETS), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static struct view
the_key(void)
{
	return (struct view){key, sizeof(key)};
}

static void
v4(uint8_t address[16], uint32_t n)
{
	memset(address, 0, 16);
	address[10] = address[11] = 0xFF;
	memcpy(address + 12, &n, 4);
}

static void
an_address_is_counted_up_to_its_limit(void **state)
{
	(void)state;
	struct peers p = {0};
	uint8_t a[16], b[16];

	assert_int_equal(peers_open(&p, NULL, 0, the_key()), 0);
	v4(a, 1);
	v4(b, 2);
	uint64_t ha = peers_hash(&p, a), hb = peers_hash(&p, b);
	assert_true(ha != hb);
	for (int i = 0; i < 3; i++)
		assert_true(peers_add(&p, ha, 3));
	assert_false(peers_add(&p, ha, 3));
	assert_int_equal(peers_count(&p, ha), 3);
	assert_true(peers_add(&p, hb, 3));
	peers_remove(&p, ha);
	assert_true(peers_add(&p, ha, 3));
	assert_true(peers_add(&p, ha, 0)); /* no limit */
	assert_int_equal(peers_count(&p, ha), 4);
	assert_int_equal(peers_count(&p, hb), 1);
	peers_close(&p);
}

static void
fronts_are_summed(void **state)
{
	(void)state;
	int fds[2] = {table(F_SEAL_SHRINK), table(F_SEAL_SHRINK)};
	const int turned[2] = {fds[1], fds[0]};
	struct peers one = {0}, two = {0};
	uint8_t a[16];

	assert_int_equal(peers_open(&one, fds, 2, the_key()), 0);
	assert_int_equal(peers_open(&two, turned, 2, the_key()), 0);
	v4(a, 7);
	uint64_t h = peers_hash(&one, a);
	assert_int_equal(h, peers_hash(&two, a));
	assert_true(peers_add(&one, h, 2));
	assert_true(peers_add(&two, h, 2));
	assert_false(peers_add(&one, h, 2));
	assert_int_equal(peers_count(&two, h), 2);
	/* A front that starts again forgets what its predecessor had. */
	struct peers again = {0};
	assert_int_equal(peers_open(&again, fds, 2, the_key()), 0);
	assert_int_equal(peers_count(&two, h), 1);
	/* One that opens its tables anew keeps what it has. */
	assert_int_equal(peers_open(&two, turned, 1, the_key()), 0);
	assert_int_equal(peers_count(&two, h), 1);
	peers_remove(&two, h);
	assert_int_equal(peers_count(&two, h), 0);
	peers_close(&one);
	peers_close(&two);
	peers_close(&again);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
what_could_be_cut_short_is_not_mapped(void **state)
{
	(void)state;
	int unsealed = table(0), sound = table(F_SEAL_SHRINK),
	    small = table(F_SEAL_SHRINK);
	struct peers p = {0};

	assert_true(peers_open(&p, &unsealed, 1, the_key()) < 0);
	const int pair[2] = {sound, unsealed};
	assert_true(peers_open(&p, pair, 2, the_key()) < 0);
	assert_null(p.own);
	(void)close(small);
	small = memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(small, PEERS_OCTETS - 1), 0);
	assert_int_equal(fcntl(small, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_true(peers_open(&p, &small, 1, the_key()) < 0);
	assert_true(peers_open(&p, &sound, 1, (struct view){key, 15}) < 0);
	(void)close(unsealed);
	(void)close(sound);
	(void)close(small);
}

static void
half_of_an_ipv6_address_counts(void **state)
{
	(void)state;
	struct peers p = {0};
	uint8_t a[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 1}, b[16];

	assert_int_equal(peers_open(&p, NULL, 0, the_key()), 0);
	memcpy(b, a, sizeof(b));
	b[15] = 9;
	assert_int_equal(peers_hash(&p, a), peers_hash(&p, b));
	b[7] = 3;
	assert_true(peers_hash(&p, a) != peers_hash(&p, b));
	/* Of IPv4 all of it. */
	v4(a, 1);
	v4(b, 2);
	assert_true(peers_hash(&p, a) != peers_hash(&p, b));
	peers_close(&p);
}

static void
a_full_neighbourhood_is_refused_and_heals(void **state)
{
	(void)state;
	struct peers p = {0};
	uint64_t added = 0;

	assert_int_equal(peers_open(&p, NULL, 0, the_key()), 0);
	/* Hashes that all want the same row. */
	uint64_t step = PEERS_ROWS - 1, h = 5;
	while (added < 1000 && peers_add(&p, h + added * step, 10))
		added++;
	assert_true(added >= 8);
	assert_true(added < 1000);
	assert_false(peers_add(&p, h + added * step, 10));
	peers_remove(&p, h + 3 * step);
	assert_true(peers_add(&p, h + added * step, 10));
	assert_int_equal(peers_count(&p, h + 3 * step), 0);
	assert_int_equal(peers_count(&p, h + 4 * step), 1);
	peers_close(&p);
}

static void
another_front_cannot_overflow_the_sum(void **state)
{
	(void)state;
	int fds[2] = {table(F_SEAL_SHRINK), table(F_SEAL_SHRINK)};
	struct peers p = {0};
	uint8_t a[16];

	uint64_t *liar =
		mmap(NULL, PEERS_OCTETS, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	assert_true(liar != MAP_FAILED);
	memset(liar, 0xFF, PEERS_OCTETS);
	assert_int_equal(peers_open(&p, fds, 2, the_key()), 0);
	v4(a, 1);
	assert_true(peers_add(&p, peers_hash(&p, a), 1));
	assert_true(peers_count(&p, UINT64_MAX) <= UINT32_MAX);
	assert_true(peers_count(&p, UINT64_MAX) > 0);
	peers_close(&p);
	(void)munmap(liar, PEERS_OCTETS);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* The vector of the SipHash paper is for 15 octets; ours has 16, so: another key, another
 * hash. */
static void
the_key_decides_where_an_address_lies(void **state)
{
	(void)state;
	struct peers p = {0}, q = {0};
	uint8_t a[16], other[PEERS_KEY_OCTETS] = "0123456789abcdeg";

	assert_int_equal(peers_open(&p, NULL, 0, the_key()), 0);
	assert_int_equal(peers_open(&q, NULL, 0, (struct view){other, sizeof(other)}), 0);
	v4(a, 1);
	assert_true(peers_hash(&p, a) != peers_hash(&q, a));
	assert_true(peers_hash(&p, a) % 65521 != peers_hash(&q, a) % 65521);
	peers_close(&p);
	peers_close(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_counted_up_to_its_limit),
		cmocka_unit_test(fronts_are_summed),
		cmocka_unit_test(what_could_be_cut_short_is_not_mapped),
		cmocka_unit_test(half_of_an_ipv6_address_counts),
		cmocka_unit_test(a_full_neighbourhood_is_refused_and_heals),
		cmocka_unit_test(another_front_cannot_overflow_the_sum),
		cmocka_unit_test(the_key_decides_where_an_address_lies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
