#include "fetch/import_rows.h"

#include <stdlib.h>
#include <string.h>

static void
row(struct import_sink *s, const struct import_row *r)
{
	(void)s;
	if (r->uid.n == 0 || r->uid.n > 1024 || r->line == 0 ||
		(r->host.n == 0) != (r->user.n == 0) || memchr(r->uid.p, '\n', r->uid.n))
		abort();
}

static void
unreadable(struct import_sink *s, uint32_t line, const char *why)
{
	(void)s;
	if (line == 0 || !why[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first octet is the kind. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct import_sink s = {row, row, unreadable};

	if (n == 0)
		return 0;
	import_read((enum import_kind)(data[0] % IMPORT_KINDS),
		(struct view){data + 1, n - 1}, &s);
	(void)!import_getmail_is((struct view){data, n}, (struct view){data, n / 2}, 110,
		(struct view){data + n / 2, n - n / 2});
	return 0;
}
