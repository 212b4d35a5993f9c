#include "fetch/header.h"

#include <stdlib.h>
#include <string.h>

/* What counts, summed up so that order matters. */
struct sum {
	struct header_sink sink;
	uint64_t sum, n;
};

static void
take(struct header_sink *sink, struct view v)
{
	struct sum *s = (struct sum *)sink;

	for (size_t i = 0; i < v.n; i++)
		s->sum = s->sum * 1099511628211U + v.p[i] + 1;
	s->n += v.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first octet says where the rest is cut; cut or not, the result is one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sum whole = {.sink = {take}}, cut = {.sink = {take}};
	struct header_scan a, b;
	size_t at = n > 0 ? data[0] % n : 0;

	header_init(&a);
	header_take(&a, (struct view){data, n}, &whole.sink);
	header_init(&b);
	header_take(&b, (struct view){data, at}, &cut.sink);
	header_take(&b, (struct view){data + at, n - at}, &cut.sink);
	if (whole.sum != cut.sum || whole.n != a.octets || memcmp(&a, &b, sizeof(a)) != 0)
		abort();
	return 0;
}
