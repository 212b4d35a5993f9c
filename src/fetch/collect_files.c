#include "fetch/collect_files.h"

/* More than is ever in use, so that no letter meets the limit. */
#define OF_PROGRAM    40 /* stdio, loop, signals, state, DNS, what libraries open */
#define OF_THREAD     8	 /* directories being read, pipes, a file beside a letter's */
#define OF_SESSION    6	 /* the connection, and those that were tried beside it */
#define JOBS_EACH     3	 /* of an account at a time */
#define MAILDIR_OPEN  3
#define TARGET_OPEN   2
#define LETTERS_MIN   8
#define LETTERS_MAX   4096 /* more than is ever asked for */
#define LIMIT_COUNTED (1024 * 1024)

/* What an account holds as long as its targets are open. */
static uint64_t
of_targets(const struct fetch_account *a)
{
	uint64_t n = 1; /* the spool */

	for (size_t i = 0; i < a->targets_n; i++)
		n += a->targets[i].kind == FETCH_MAILDIR ? MAILDIR_OPEN : TARGET_OPEN;
	return n;
}

static uint64_t
of_most_targets(const struct fetch_settings *s)
{
	uint64_t most = 0;

	for (size_t i = 0; i < s->accounts_n; i++) {
		uint64_t n = of_targets(&s->accounts[i]);

		if (n > most)
			most = n;
	}
	return most;
}

/* What stays open of all accounts, and of so many that are on their way out. */
static uint64_t
of_all_targets(const struct fetch_settings *s, uint64_t still)
{
	uint64_t all = still * of_most_targets(s);

	for (size_t i = 0; i < s->accounts_n; i++)
		all += of_targets(&s->accounts[i]);
	return all;
}

/* All but targets and letters, with so many accounts side by side. */
static uint64_t
of_others(const struct fetch_settings *s, uint64_t parallel)
{
	uint64_t threads = s->delivery_threads;

	if (threads > JOBS_EACH * parallel)
		threads = JOBS_EACH * parallel;
	return OF_PROGRAM + threads * OF_THREAD + parallel * OF_SESSION;
}

/* A quarter of what is left is for what was not thought of. */
static uint64_t
of_letters(uint64_t limit, uint64_t others, uint64_t parallel)
{
	return limit <= others ? 0 : (limit - others) / 4 * 3 / parallel;
}

bool
files_plan(const struct fetch_settings *s, size_t still, uint64_t limit,
	struct files_plan *ret, uint64_t *ret_needed)
{
	uint64_t n = s->accounts_n + still, most = of_most_targets(s), each;

	if (limit > LIMIT_COUNTED)
		limit = LIMIT_COUNTED;
	if (n > s->parallel)
		n = s->parallel;
	if (n == 0)
		n = 1;
	*ret_needed = of_others(s, 1) + most + (LETTERS_MIN + 3) / 3 * 4;
	*ret = (struct files_plan){.keep_open = true};
	each = of_letters(limit, of_others(s, n) + of_all_targets(s, still), n);
	if (each < LETTERS_MIN) {
		ret->keep_open = false;
		each = of_letters(limit, of_others(s, n) + n * most, n);
	}
	while (each < LETTERS_MIN && n > 1) {
		n--;
		each = of_letters(limit, of_others(s, n) + n * most, n);
	}
	ret->parallel = (uint32_t)n;
	ret->letters = (uint32_t)(each < LETTERS_MAX ? each : LETTERS_MAX);
	return each >= LETTERS_MIN;
}
