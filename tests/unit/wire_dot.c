#include "unit.h"

#include "wire_dot_checks.h"

static void
holds(void **state)
{
	const struct dot_check *check = *state;
	const char *wrong = check->run();

	if (wrong)
		fail_msg("%s", wrong);
}

int
main(void)
{
	struct CMUnitTest tests[16] = {0};

	assert_in_range(dot_checks_n, 1, 16);
	for (unsigned i = 0; i < dot_checks_n; i++) {
		static struct dot_check checks[16];

		checks[i] = dot_checks[i];
		tests[i] = (struct CMUnitTest){.name = checks[i].name,
			.test_func = holds,
			.initial_state = &checks[i]};
	}
	return _cmocka_run_group_tests("wire_dot", tests, dot_checks_n, NULL, NULL);
}
