#include "front/deny.h"

#include "base/check.h"

#include <string.h>

#define ADDRESS 16U

/* The network of so many bits in which an address lies. */
static void
network_of(const uint8_t address[ADDRESS], unsigned bits, uint8_t ret_row[DENY_ROW])
{
	unsigned whole = bits / 8, rest = bits % 8;

	memset(ret_row, 0, DENY_ROW);
	memcpy(ret_row, address, whole);
	if (rest > 0)
		ret_row[whole] = (uint8_t)(address[whole] & 0xFF00U >> rest);
	ret_row[ADDRESS] = (uint8_t)bits;
}

bool
deny_init(struct view rows, struct deny *ret)
{
	struct deny d = {.rows = rows};
	bool there[DENY_BITS + 1] = {false};

	if (rows.n % DENY_ROW != 0)
		return false;
	for (size_t at = 0; at < rows.n; at += DENY_ROW) {
		const uint8_t *row = rows.p + at;
		uint8_t network[DENY_ROW];
		if (row[ADDRESS] > DENY_BITS)
			return false;
		network_of(row, row[ADDRESS], network);
		if (memcmp(network, row, DENY_ROW) != 0)
			return false;
		if (at > 0 && memcmp(row - DENY_ROW, row, DENY_ROW) >= 0)
			return false;
		there[row[ADDRESS]] = true;
	}
	for (unsigned bits = 0; bits <= DENY_BITS; bits++)
		if (there[bits])
			d.bits[d.bits_n++] = (uint8_t)bits;
	*ret = d;
	return true;
}

static bool
has_row(struct view rows, const uint8_t row[DENY_ROW])
{
	size_t low = 0, high = rows.n / DENY_ROW;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(rows.p + middle * DENY_ROW, row, DENY_ROW);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

bool
deny_has(const struct deny *d, const uint8_t address[ADDRESS])
{
	CHECK(d->bits_n <= DENY_BITS + 1);
	for (size_t i = 0; i < d->bits_n; i++) {
		uint8_t row[DENY_ROW];
		network_of(address, d->bits[i], row);
		if (has_row(d->rows, row))
			return true;
	}
	return false;
}
