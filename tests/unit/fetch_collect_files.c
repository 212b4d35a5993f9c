/* What the limit of open files allows: never more in all than the limit. */
#include "unit.h"

#include "base/check.h"
#include "fetch/collect_files.h"

static struct fetch_account accounts[FETCH_ACCOUNTS_MAX];

static struct fetch_settings
settings(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		accounts[i].targets_n = 1;
		accounts[i].targets[0].kind = FETCH_MAILDIR;
	}
	return (struct fetch_settings){.parallel = 16,
		.delivery_threads = 4,
		.accounts_n = n,
		.accounts = accounts};
}

/* As collect.h has it: letters that wait, RETRs under way, files made ahead. */
static void
one_account_is_not_slowed_down(void **state)
{
	struct fetch_settings s = settings(1);
	struct files_plan p;
	uint64_t needed;

	(void)state;
	for (uint64_t limit = 4096; limit != 0; limit *= 2) {
		assert_true(files_plan(&s, 0, limit, &p, &needed));
		assert_true(p.letters >= 1024 + 1000 + 128);
		assert_true(p.keep_open);
	}
	assert_true(files_plan(&s, 0, UINT64_MAX, &p, &needed));
	assert_true(p.letters >= 1024 + 1000 + 128);
}

static void
within_the_limit(void **state)
{
	static const uint64_t limits[] = {128, 256, 512, 1024, 4096, 20000};
	struct files_plan p;
	uint64_t needed;

	(void)state;
	for (size_t n = 0; n <= FETCH_ACCOUNTS_MAX; n = 2 * n + 1) {
		struct fetch_settings s = settings(n);

		for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
			uint64_t open_for_ever;

			assert_true(files_plan(&s, 0, limits[i], &p, &needed));
			assert_true(needed <= limits[i]);
			assert_in_range(p.parallel, 1, n < 16 ? (n ? n : 1) : 16);
			assert_true(p.letters >= 8);
			open_for_ever = 4 * (p.keep_open ? n : p.parallel);
			assert_true(p.parallel * (p.letters + 6) + open_for_ever + 40 <
				limits[i]);
			if (limits[i] == 20000)
				assert_true(p.keep_open && (n < 16 || p.parallel == 16));
		}
	}
}

static void
too_few(void **state)
{
	struct fetch_settings s = settings(3);
	struct files_plan p;
	uint64_t needed, least;

	(void)state;
	assert_false(files_plan(&s, 0, 64, &p, &least));
	assert_false(files_plan(&s, 0, 0, &p, &needed));
	assert_true(files_plan(&s, 0, least, &p, &needed));
	assert_int_equal(p.parallel, 1);
	assert_int_equal(needed, least);
}

/* Those that run still after the configuration was read anew have their share. */
static void
beside_those_of_before(void **state)
{
	struct fetch_settings s = settings(2);
	struct files_plan p;
	uint64_t needed;

	(void)state;
	for (size_t still = 0; still < 20; still++) {
		assert_true(files_plan(&s, still, 512, &p, &needed));
		assert_int_equal(p.parallel, still < 14 ? 2 + still : 16);
		assert_true(p.parallel * (p.letters + 10) + 40 < 512);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_account_is_not_slowed_down),
		cmocka_unit_test(within_the_limit),
		cmocka_unit_test(too_few),
		cmocka_unit_test(beside_those_of_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
