#include "unit.h"

#include "wire/proxy_header.h"

#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define OCTETS(s)                                                                        \
	{                                                                                \
		(const uint8_t *)(s), sizeof(s) - 1                                      \
	}
#define TCP4 "\x0A\x01\x02\x03\xC0\x00\x02\x01\xDC\x04\x00\x6E"
#define TCP6                                                                             \
	"\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0" \
	"\0\x01\xDC\x04\x00\x6E"

static const struct good {
	struct view header;
	enum proxy_outcome outcome;
	uint8_t address[16];
	uint16_t port;
} goods[] = {
	{OCTETS("PROXY TCP4 10.1.2.3 192.0.2.1 56324 110\r\n"), PROXY_ADDRESS,
		{[10] = 0xFF, [11] = 0xFF, 10, 1, 2, 3}, 56324},
	{OCTETS("PROXY TCP6 2001:db8::7 2001:db8::1 56324 995\r\n"), PROXY_ADDRESS,
		{0x20, 0x01, 0x0D, 0xB8, [15] = 7}, 56324},
	{OCTETS("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		PROXY_ADDRESS,
		{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
			0xFF, 0xFF, 0xFF, 0xFF},
		65535},
	{OCTETS("PROXY UNKNOWN\r\n"), PROXY_LOCAL, {0}, 0},
	{OCTETS("PROXY UNKNOWN ffff::1 and more of that 1 2\r\n"), PROXY_LOCAL, {0}, 0},
	{OCTETS(SIGNATURE "\x21\x11\x00\x0C" TCP4), PROXY_ADDRESS,
		{[10] = 0xFF, [11] = 0xFF, 10, 1, 2, 3}, 56324},
	{OCTETS(SIGNATURE "\x21\x11\x00\x10" TCP4 "\x04\x00\x01\x00"), PROXY_ADDRESS,
		{[10] = 0xFF, [11] = 0xFF, 10, 1, 2, 3}, 56324},
	{OCTETS(SIGNATURE "\x21\x21\x00\x24" TCP6), PROXY_ADDRESS,
		{0x20, 0x01, 0x0D, 0xB8, [15] = 7}, 56324},
	{OCTETS(SIGNATURE "\x20\x00\x00\x00"), PROXY_LOCAL, {0}, 0},
	{OCTETS(SIGNATURE "\x20\x11\x00\x0C" TCP4), PROXY_LOCAL, {0}, 0},
	{OCTETS(SIGNATURE "\x21\x00\x00\x03"
			  "abc"),
		PROXY_LOCAL, {0}, 0},
};

static void
headers_are_read_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
		const struct good *g = &goods[i];
		uint8_t in[PROXY_HEADER_MAX + 8];
		struct proxy_header h;
		memcpy(in, g->header.p, g->header.n);
		memcpy(in + g->header.n, "\r\nUSER x", 8);
		for (size_t n = 0; n < g->header.n; n++)
			assert_int_equal(
				proxy_header_read((struct view){in, n}, &h), PROXY_MORE);
		/* With or without what follows. */
		for (size_t more = 0; more <= 8; more++) {
			struct view all = {in, g->header.n + more};
			assert_int_equal(proxy_header_read(all, &h), g->outcome);
			assert_int_equal(h.octets, g->header.n);
			if (g->outcome != PROXY_ADDRESS)
				continue;
			assert_memory_equal(h.address, g->address, 16);
			assert_int_equal(h.port, g->port);
		}
	}
}

static void
others_are_refused(void **state)
{
	(void)state;
	static const struct view rows[] = {
		OCTETS("U"),
		OCTETS("USER anna\r\n"),
		OCTETS("proxy TCP4 10.1.2.3 192.0.2.1 1 2\r\n"),
		OCTETS("PROXY  TCP4 10.1.2.3 192.0.2.1 1 2\r\n"),
		OCTETS("PROXY TCP5 10.1.2.3 192.0.2.1 1 2\r\n"),
		OCTETS("PROXY TCP4\r\n"),
		OCTETS("PROXY \r\n"),
		OCTETS("PROXY TCP4 10.1.2.3 192.0.2.1 1\r\n"),
		OCTETS("PROXY TCP4 10.1.2.3 192.0.2.1 1 2 \r\n"),
		OCTETS("PROXY TCP4 10.1.2.3 192.0.2.1 1 2 3\r\n"),
		OCTETS("PROXY TCP4 10.1.2.3 192.0.2.1 1 65536\r\n"),
		OCTETS("PROXY TCP4 10.1.2.3 192.0.2.1 01 2\r\n"),
		OCTETS("PROXY TCP4 10.1.2.3 192.0.2.1 -1 2\r\n"),
		OCTETS("PROXY TCP4 10.1.2 192.0.2.1 1 2\r\n"),
		OCTETS("PROXY TCP4 ::1 ::1 1 2\r\n"),
		OCTETS("PROXY TCP6 10.1.2.3 192.0.2.1 1 2\r\n"),
		OCTETS("PROXY TCP4 10.1.2.3 192.0.2.x 1 2\r\n"),
		OCTETS("\r\n\r\nQUIT"),
		OCTETS(SIGNATURE "\x11"),	      /* version 1 in octets */
		OCTETS(SIGNATURE "\x22"),	      /* no such command */
		OCTETS(SIGNATURE "\x21\x11\x02\x09"), /* 537 octets */
		OCTETS(SIGNATURE "\x21\x11\xFF\xFF"),
		OCTETS(SIGNATURE "\x21\x11\x00\x0B"
				 "\x0A\x01\x02\x03\xC0\x00\x02\x01\xDC\x04\x00"),
		OCTETS(SIGNATURE "\x21\x21\x00\x0C" TCP4), /* too short for its family */
		OCTETS(SIGNATURE "\x21\x31\x00\x0C" TCP4),
		OCTETS(SIGNATURE "\x21\x12\x00\x0C" TCP4), /* datagrams */
		OCTETS(SIGNATURE "\x21\x41\x00\x0C" TCP4),
	};
	struct proxy_header h;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (proxy_header_read(rows[i], &h) != PROXY_BAD)
			fail_msg("row %zu", i);
}

/* Neither version waits for more than its limit. */
static void
there_is_an_end_to_waiting(void **state)
{
	(void)state;
	uint8_t in[PROXY_HEADER_MAX];
	struct proxy_header h;

	memset(in, ' ', sizeof(in));
	memcpy(in, "PROXY UNKNOWN", 13);
	assert_int_equal(proxy_header_read((struct view){in, 106}, &h), PROXY_MORE);
	assert_int_equal(proxy_header_read((struct view){in, 107}, &h), PROXY_BAD);
	memcpy(in + 105, "\r\n", 2);
	assert_int_equal(proxy_header_read((struct view){in, 107}, &h), PROXY_LOCAL);
	memcpy(in, SIGNATURE "\x21\x11\x02\x08", 16); /* the longest: 536 */
	assert_int_equal(
		proxy_header_read((struct view){in, sizeof(in) - 1}, &h), PROXY_MORE);
	assert_int_equal(
		proxy_header_read((struct view){in, sizeof(in)}, &h), PROXY_ADDRESS);
	assert_int_equal(h.octets, PROXY_HEADER_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_read_at_every_split),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(there_is_an_end_to_waiting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
