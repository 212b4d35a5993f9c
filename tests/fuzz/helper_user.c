#include "helper/ldap_parts.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* name NUL field NUL value NUL ...: a line is one line and the name's; a filter stays
 * one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct helper_fields f;
	static uint8_t line[HELPER_LINE_MAX], filter[LDAP_FILTER_MAX];
	struct helper_answer a = {.line = buf_over(line, sizeof(line))};
	struct buf b = buf_over(filter, sizeof(filter));
	struct view part[3] = {{data, 0}};

	for (size_t i = 0, k = 0, start = 0; i <= n; i++) {
		if (i < n && data[i] != 0)
			continue;
		part[k] = (struct view){data + start, i - start};
		start = i + 1;
		if (k == 0)
			helper_fields_init(&f, part[0]);
		else if (k == 2)
			helper_fields_put(&f, part[1], part[2]);
		k = k == 2 ? 1 : k + 1;
	}
	helper_fields_answer(&f, true, &a);
	if (!helper_name_can_be(part[0]))
		return 0;
	if (a.outcome == ANSWER_FOUND &&
		(memcmp(line, part[0].p, part[0].n) != 0 || line[part[0].n] != ':' ||
			memchr(line, '\n', a.line.n) || line[part[0].n + 1] == ':'))
		abort();
	if (ldap_filter_for("(uid=%u)", part[0], &b) && memchr(filter + 1, '(', b.n - 1))
		abort();
	return 0;
}
