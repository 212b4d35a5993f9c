/*
 * A line at a time: memchr finds its end, memcpy moves it. For processors that have no
 * kernel of their own; the C library brings the vectors.
 */
#include "base/check.h"
#include "wire/dot_kernels.h"

#include <string.h>

struct walked {
	size_t written;	 /* to out */
	size_t cr_added; /* line ends that lacked their CR */
	size_t dots_added;
};

/* The one walk for all three forms; out is NULL where only figures are wanted. */
static inline __attribute__((always_inline)) struct walked
walk(struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out)
{
	struct walked w = {0};
	const uint8_t *end = in + n;

	CHECK(s->at <= DOT_IN_LINE);
	while (in < end) {
		const uint8_t *lf = memchr(in, '\n', (size_t)(end - in));
		size_t line = (size_t)((lf ? lf : end) - in);

		if (s->at == DOT_LINE_START && in[0] == '.') {
			w.dots_added++;
			if (out)
				out[w.written++] = '.';
		}
		if (line > 0) {
			if (out)
				memcpy(out + w.written, in, line);
			w.written += line;
			s->at = dot_at_after(in[line - 1]);
		}
		if (!lf)
			break;
		if (s->at != DOT_AFTER_CR) {
			w.cr_added++;
			if (out)
				out[w.written++] = '\r';
		}
		if (out)
			out[w.written] = '\n';
		w.written++;
		s->at = DOT_LINE_START;
		in = lf + 1;
	}
	return w;
}

static size_t
memchr_encode(struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out)
{
	return walk(s, in, n, out).written;
}

static size_t
memchr_encode_counted(
	struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out, uint64_t *dots)
{
	struct walked w = walk(s, in, n, out);

	*dots += w.dots_added;
	return w.written;
}

static uint64_t
memchr_count(struct dot_state *s, const uint8_t *in, size_t n)
{
	return (uint64_t)n + walk(s, in, n, NULL).cr_added;
}

static uint64_t
memchr_survey(struct dot_state *s, const uint8_t *in, size_t n, bool *ret_as_is_broken)
{
	struct walked w = walk(s, in, n, NULL);

	if (w.cr_added > 0 || w.dots_added > 0)
		*ret_as_is_broken = true;
	return (uint64_t)n + w.cr_added;
}

const struct dot_kernel dot_kernel_memchr = {.name = "memchr",
	.encode = memchr_encode,
	.count = memchr_count,
	.survey = memchr_survey,
	.encode_counted = memchr_encode_counted};
