#include "monitor/core_drops.h"

#include "base/check.h"

static uint32_t *
bucket_of(struct core_drops *d, uint64_t key)
{
	return &d->buckets[key % CORE_DROP_BUCKETS];
}

static uint32_t
same_from(const struct core_drops *d, uint32_t place, uint64_t key)
{
	while (place != 0 && d->at[place - 1].key != key)
		place = d->at[place - 1].next;
	return place;
}

uint32_t
core_drops_first(const struct core_drops *d, uint64_t key)
{
	return same_from(d, d->buckets[key % CORE_DROP_BUCKETS], key);
}

uint32_t
core_drops_next(const struct core_drops *d, uint32_t place)
{
	const struct core_drop *r = &d->at[place - 1];

	CHECK(r->live > 0);
	return same_from(d, r->next, r->key);
}

static uint32_t
new_place(struct core_drops *d)
{
	uint32_t place = d->vacant;

	if (place == 0)
		return d->top < CORE_DROPS ? ++d->top : 0;
	d->vacant = d->at[place - 1].next;
	return place;
}

uint32_t
core_drops_take(struct core_drops *d, uint64_t key, uint32_t keeper)
{
	uint32_t place = core_drops_first(d, key);

	while (place != 0 && d->at[place - 1].keeper != keeper)
		place = core_drops_next(d, place);
	if (place != 0) {
		d->at[place - 1].live++;
		return place;
	}
	place = new_place(d);
	if (place == 0)
		return 0;
	uint32_t *bucket = bucket_of(d, key);
	d->at[place - 1] = (struct core_drop){
		.key = key, .keeper = keeper, .live = 1, .next = *bucket};
	*bucket = place;
	return place;
}

static void
let_go(struct core_drops *d, uint32_t place)
{
	struct core_drop *r = &d->at[place - 1];
	uint32_t *at = bucket_of(d, r->key);

	while (*at != place) {
		CHECK(*at != 0);
		at = &d->at[*at - 1].next;
	}
	*at = r->next;
	*r = (struct core_drop){.next = d->vacant};
	d->vacant = place;
}

bool
core_drops_leave(struct core_drops *d, uint32_t place, uint32_t keeper)
{
	if (place == 0 || place > d->top)
		return false;
	struct core_drop *r = &d->at[place - 1];
	if (r->live == 0 || r->keeper != keeper)
		return false;
	if (--r->live == 0)
		let_go(d, place);
	return true;
}

void
core_drops_forget(struct core_drops *d, uint32_t keeper)
{
	for (uint32_t place = 1; place <= d->top; place++)
		if (d->at[place - 1].live > 0 && d->at[place - 1].keeper == keeper)
			let_go(d, place);
}
