#include "auth/census.h"
#include "base/check.h"

void
census_init(struct census *c, struct census_class *classes)
{
	*c = (struct census){.classes = classes};
}

void
census_add(struct census *c, const struct stored *stored)
{
	size_t n = c->classes_n;

	if (!stored) {
		c->without++;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		size_t at = (c->last_class + i) % n;
		if (!scheme_same_cost(&c->classes[at].sample, stored))
			continue;
		c->classes[at].users++;
		c->users++;
		c->last_class = at;
		return;
	}
	if (n == CENSUS_CLASSES_MAX)
		return;
	c->classes[n] = (struct census_class){*stored, 1};
	c->users++;
	c->last_class = n;
	c->classes_n++;
}

/* Each class keeps one, so that its cost is not forgotten over a busier one's. */
static void
halve(struct census *c)
{
	c->users = 0;
	for (size_t i = 0; i < c->classes_n; i++) {
		c->classes[i].users = (c->classes[i].users + 1) / 2;
		c->users += c->classes[i].users;
	}
	c->without = (c->without + 1) / 2;
}

void
census_add_recent(struct census *c, const struct stored *stored)
{
	census_add(c, stored);
	if (c->users + c->without > CENSUS_RECENT_MAX)
		halve(c);
}

void
census_default(struct census *c)
{
	static const char text[] = "$y$j9T$b6RzLn4YD3Hqv8JLpWb2R/"
				   "$wHLqjUGLd2MMlTuB2HqUKaBV/AWwDg3k.7tZ4MDVmJ7";
	struct view name;

	if (c->classes_n > 0)
		return;
	enum scheme_fault fault =
		scheme_read((struct view){(const uint8_t *)text, sizeof(text) - 1},
			&c->classes[0].sample, &name);
	CHECK(fault == SCHEME_OK);
	c->classes[0].users = 1;
	c->users = 1;
	c->classes_n = 1;
}

/* Takes from *number what this census has; true where the pick fell into it. */
static bool
pick_in(const struct census *c, uint64_t *number, struct census_pick *ret)
{
	for (size_t i = 0; i < c->classes_n; i++) {
		if (*number < c->classes[i].users) {
			ret->stored = &c->classes[i].sample;
			return true;
		}
		*number -= c->classes[i].users;
	}
	if (*number < c->without)
		return true;
	*number -= c->without;
	return false;
}

struct census_pick
census_pick(const struct census *const *censuses, size_t n, uint64_t number)
{
	struct census_pick pick = {0};
	uint64_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += censuses[i]->users + censuses[i]->without;
	pick.none = all == 0;
	if (pick.none)
		return pick;
	/* Where the name stands in all of them, as a part of the whole: a login more or
	 * less moves no name but those beside a border. */
	number = (number >> 32) * all >> 32;
	for (size_t i = 0; i < n; i++)
		if (pick_in(censuses[i], &number, &pick))
			return pick;
	UNREACHABLE();
}
