#include "pop3/dot.h"
#include "base/check.h"
#include "wire/dot_kernels.h"

#include <string.h>

/* Fastest first. A processor that lacks the first ones gets the rest of the list. */
static const struct dot_kernel *const kernels[] = {
#ifdef __x86_64__
	&dot_kernel_vbmi2,
	&dot_kernel_avx512,
	&dot_kernel_avx2,
#endif
#ifdef __aarch64__
	&dot_kernel_neon,
#endif
	&dot_kernel_memchr,
	&dot_kernel_byte,
};

static size_t
kernels_that_it_lacks(void)
{
#ifdef __x86_64__
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") ||
		!__builtin_cpu_supports("popcnt"))
		return 3;
	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw"))
		return 2;
	return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi2")
		? 0
		: 1;
#else
	return 0;
#endif
}

const struct dot_kernel *const *
dot_kernels(size_t *ret_n)
{
	size_t skip = kernels_that_it_lacks();

	*ret_n = ARRAY_SIZE(kernels) - skip;
	return kernels + skip;
}

uint64_t
dot_finish_count(const struct dot_state *s)
{
	CHECK(s->at <= DOT_IN_LINE);
	return s->at == DOT_LINE_START ? 0 : 2;
}

size_t
dot_finish(struct dot_state *s, bool terminate, uint8_t out[DOT_FINISH_MAX])
{
	size_t n = 0;

	if (dot_finish_count(s) > 0) {
		memcpy(out, "\r\n", 2);
		n = 2;
	}
	if (terminate) {
		memcpy(out + n, ".\r\n", 3);
		n += 3;
	}
	s->at = DOT_LINE_START;
	return n;
}

void
dot_top_init(struct dot_top *t, uint64_t lines)
{
	*t = (struct dot_top){.lines_left = lines};
}

/* Octets of a header line that is not over yet. One CR may still belong to its end. */
static void
top_header_octets(struct dot_top *t, const uint8_t *in, size_t n)
{
	if (n == 0)
		return;
	if (t->after_cr || n > 1 || in[0] != '\r')
		t->line_has_octets = true;
	t->after_cr = in[n - 1] == '\r';
}

static void
top_line_end(struct dot_top *t)
{
	if (t->in_body)
		t->lines_left--;
	else if (!t->line_has_octets)
		t->in_body = true;
	t->line_has_octets = false;
	t->after_cr = false;
	t->done = t->in_body && t->lines_left == 0;
}

size_t
dot_top_take(struct dot_top *t, const uint8_t *in, size_t n)
{
	size_t i = 0;

	while (i < n && !t->done) {
		const uint8_t *lf = memchr(in + i, '\n', n - i);
		size_t end = lf ? (size_t)(lf - in) : n;

		if (!t->in_body)
			top_header_octets(t, in + i, end - i);
		i = end;
		if (lf) {
			top_line_end(t);
			i++;
		}
	}
	return i;
}

bool
dot_top_lacks_blank(const struct dot_top *t)
{
	return !t->in_body;
}
