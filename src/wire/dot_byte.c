/*
 * The byte loop: the rule as dot.h states it, octet by octet. What other kernels are held
 * against in doubt, and the last choice where a processor has nothing better.
 */
#include "base/check.h"
#include "wire/dot_kernels.h"

/* What one octet adds before itself: 0 for nothing. */
static uint8_t
inserted_before(uint8_t at, uint8_t octet)
{
	if (octet == '\n' && at != DOT_AFTER_CR)
		return '\r';
	if (octet == '.' && at == DOT_LINE_START)
		return '.';
	return 0;
}

static size_t
byte_encode_counted(
	struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out, uint64_t *dots)
{
	size_t o = 0;

	CHECK(s->at <= DOT_IN_LINE);
	for (size_t i = 0; i < n; i++) {
		uint8_t extra = inserted_before(s->at, in[i]);

		*dots += extra == '.';
		if (extra != 0)
			out[o++] = extra;
		out[o++] = in[i];
		s->at = dot_at_after(in[i]);
	}
	return o;
}

static size_t
byte_encode(struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out)
{
	uint64_t dots = 0;

	return byte_encode_counted(s, in, n, out, &dots);
}

static uint64_t
byte_survey(struct dot_state *s, const uint8_t *in, size_t n, bool *ret_as_is_broken)
{
	uint64_t octets = n;

	CHECK(s->at <= DOT_IN_LINE);
	for (size_t i = 0; i < n; i++) {
		uint8_t extra = inserted_before(s->at, in[i]);

		if (extra != 0)
			*ret_as_is_broken = true;
		octets += extra == '\r';
		s->at = dot_at_after(in[i]);
	}
	return octets;
}

static uint64_t
byte_count(struct dot_state *s, const uint8_t *in, size_t n)
{
	bool broken = false;

	return byte_survey(s, in, n, &broken);
}

const struct dot_kernel dot_kernel_byte = {.name = "byte",
	.encode = byte_encode,
	.count = byte_count,
	.survey = byte_survey,
	.encode_counted = byte_encode_counted};
