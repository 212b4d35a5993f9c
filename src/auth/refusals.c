#include "auth/refusals.h"

#include "base/ascii.h"

#include <stdlib.h>

struct refusals {
	uint64_t n; /* all that were ever put in */
	struct refusal_record ring[REFUSALS_MAX];
};

struct refusals *
refusals_new(void)
{
	return calloc(1, sizeof(struct refusals));
}

void
refusals_put(struct refusals *r, const struct refusal_record *record)
{
	r->ring[r->n++ % REFUSALS_MAX] = *record;
}

static const struct refusal_record *
newest(const struct refusals *r, uint64_t back)
{
	uint64_t kept = r->n < REFUSALS_MAX ? r->n : REFUSALS_MAX;

	return back < kept ? &r->ring[(r->n - 1 - back) % REFUSALS_MAX] : NULL;
}

const struct refusal_record *
refusals_find(const struct refusals *r, uint32_t id)
{
	const struct refusal_record *record;

	for (uint64_t back = 0; (record = newest(r, back)); back++)
		if (record->id == id)
			return record;
	return NULL;
}

const struct refusal_record *
refusals_of(const struct refusals *r, struct view name, size_t skip)
{
	const struct refusal_record *record;

	if (name.n > REFUSALS_NAME_MAX)
		name.n = REFUSALS_NAME_MAX;
	for (uint64_t back = 0; (record = newest(r, back)); back++) {
		struct view its = {record->name, record->name_n};
		if (name.n > 0 && view_equal(its, name) && skip-- == 0)
			return record;
	}
	return NULL;
}
