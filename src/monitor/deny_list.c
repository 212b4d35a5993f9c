#include "monitor/deny_list.h"

#include "conf/conf.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(DENY_ROW == CONF_NETWORK_OCTETS, "a row is what conf reads");

size_t
deny_list_rows(struct view text)
{
	size_t n = 1;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static int
by_octets(const void *a, const void *b)
{
	return memcmp(a, b, DENY_ROW);
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Without its comment, and the blanks around it. */
static struct view
bare(struct view line)
{
	const uint8_t *hash = line.n > 0 ? memchr(line.p, '#', line.n) : NULL;

	if (hash)
		line.n = (size_t)(hash - line.p);
	while (line.n > 0 && is_blank(line.p[line.n - 1]))
		line.n--;
	while (line.n > 0 && is_blank(line.p[0])) {
		line.p++;
		line.n--;
	}
	return line;
}

static bool
covers(const uint8_t *net, const uint8_t *other)
{
	size_t whole = net[16] / 8, rest = net[16] % 8;

	if (other[16] < net[16] || memcmp(net, other, whole) != 0)
		return false;
	return rest == 0 || (net[whole] ^ other[whole]) >> (8 - rest) == 0;
}

/* They are in order: who covers another one stands before it. */
static size_t
without_covered(uint8_t *rows, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *row = rows + i * DENY_ROW;
		if (kept > 0 && covers(rows + (kept - 1) * DENY_ROW, row))
			continue;
		memmove(rows + kept++ * DENY_ROW, row, DENY_ROW);
	}
	return kept;
}

size_t
deny_list_read(struct view text, struct deny_sink *sink, uint8_t *rows)
{
	size_t n = 0;
	uint32_t number = 0;

	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t octets = end ? (size_t)(end - text.p) : text.n;
		struct view line = bare((struct view){text.p, octets});
		octets += end != NULL;
		text.p += octets;
		text.n -= octets;
		number++;
		if (line.n == 0)
			continue;
		if (conf_network_read(line, rows + n * DENY_ROW))
			n++;
		else
			sink->bad(sink, number, line);
	}
	qsort(rows, n, DENY_ROW, by_octets);
	return without_covered(rows, n);
}
