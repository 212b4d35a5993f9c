#include "auth/oauth_line.h"
#include "base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
look(const struct oauth_line *line, const uint8_t *p, size_t n)
{
	CHECK(line->token.n > 0);
	CHECK(line->token.p > p && line->token.p + line->token.n + 2 <= p + n);
	CHECK(line->name.p >= p && line->name.p + line->name.n <= line->token.p);
	CHECK(!memchr(line->token.p, 1, line->token.n));
}

/* Name and token lie within what was read, in this order, and the end is two ^A. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct oauth_line line;
	const struct view message = {p, n};

	if (!oauth_bearer_read(message, &line)) {
		look(&line, p, n);
		CHECK(p[n - 1] == 1 && p[n - 2] == 1);
	}
	if (!oauth_xoauth2_read(message, &line)) {
		look(&line, p, n);
		CHECK(line.name.n > 0 && !memchr(line.name.p, 1, line.name.n));
		CHECK(p[n - 1] == 1 && p[n - 2] == 1);
	}
	return 0;
}
