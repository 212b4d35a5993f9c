#include "keeper/encoded_word.h"
#include "keeper/heads.h"
#include "keeper/utf8_head.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct row {
	const char *in, *out;
} rows[] = {
	/* What is ASCII stays to the octet. */
	{"Subject: plain =?x?q?y?=\r\nTo: a@b\r\n\r\n",
		"Subject: plain =?x?q?y?=\r\nTo: a@b\r\n\r\n"},
	{"Subject: a gr\xC3\xBC\xC3\x9F b\n\n", "Subject: a =?utf-8?B?Z3LDvMOf?= b\n\n"},
	/* A run keeps its blanks within the words; the fold within it is none of its
	   text. */
	{"Subject: \xC3\xA4 \xC3\xB6\n \xC3\xBC x\n\n",
		"Subject: =?utf-8?B?w6Qgw7Ygw7w=?= x\n\n"},
	{"X-Any: \xFF!\r\n\r\n", "X-Any: =?unknown-8bit?B?/yE=?=\r\n\r\n"},
	{"From: J\xC3\xB6rg <j@example.org>\n\n",
		"From: =?utf-8?B?SsO2cmc=?= <j@example.org>\n\n"},
	{"From: \"J\xC3\xB6rg, X\" <j@example.org>, b@c\n\n",
		"From: =?utf-8?B?SsO2cmcsIFg=?= <j@example.org>,\n b@c\n\n"},
	{"To: j\xC3\xB6rg@example.org\n\n",
		"To: =?utf-8?B?asO2cmdAZXhhbXBsZS5vcmc=?= "
		"<invalid@internationalized-address.invalid>\n\n"},
	{"To: J <j\xC3\xB6rg@example.org>\n\n",
		"To: =?utf-8?B?SiA8asO2cmdAZXhhbXBsZS5vcmc+?= "
		"<invalid@internationalized-address.invalid>\n\n"},
	{"Cc: gr\xC3\xBC\xC3\x9F: a@b, c@d;\n\n",
		"Downgraded-Cc: =?utf-8?B?Z3LDvMOfOg==?= a@b, c@d;\n\n"},
	{"Message-ID: <\xC3\xB6@x>\n\n",
		"Downgraded-Message-ID: =?utf-8?B?PMO2QHg+?=\n\n"},
	{"Content-Type: text/plain; charset=utf-8;\n name=\"\xC3\xA4 b.txt\"\n\n",
		"Content-Type: text/plain;\n charset=utf-8;\n "
		"name*=utf-8''%C3%A4%20b.txt\n\n"},
	/* No field. */
	{"\xC3\xA4 no field\nA: b\n\n", "?? no field\nA: b\n\n"},
	{"S\xC3\xA4: b\n\n", "S??: b\n\n"},
	/* No blank line, no line end. */
	{"Subject: \xC3\xA4", "Subject: =?utf-8?B?w6Q=?=\n"},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t room[4096];
		struct buf out = buf_over(room, sizeof(room));
		struct view in = {(const uint8_t *)rows[i].in, strlen(rows[i].in)};
		utf8_head_put(in, &out);
		assert_false(out.full);
		room[out.n] = 0;
		assert_string_equal((char *)room, rows[i].out);
	}
}

/* Emptied by its owner after it was looked at: an answer, whichever, and no end of us. */
static void
test_message_that_was_emptied(void **state)
{
	(void)state;
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	struct store_slice stored = {.fd = fd}, got = {.fd = -1};

	assert_true(fd >= 0);
	if (heads_rewrite(&stored, &got) == 0) {
		assert_int_equal(got.length, 0);
		(void)close(got.fd);
	}
	(void)close(fd);
}

static void
test_head_ends_at_blank_line(void **state)
{
	(void)state;
	assert_int_equal(utf8_head_octets(VIEW("A: b\r\n\r\n\xC3")), 8);
	assert_int_equal(utf8_head_octets(VIEW("A: b\n\nx")), 6);
	assert_int_equal(utf8_head_octets(VIEW("\nx")), 1);
	assert_int_equal(utf8_head_octets(VIEW("A: b")), 4);
	assert_int_equal(utf8_head_octets((struct view){NULL, 0}), 0);
}

/* Whatever comes: ASCII goes out, in words of at most 75 octets, within the room. */
static void
test_any_octets(void **state)
{
	uint32_t seed = 12345;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		static const char *const starts[] = {
			"Subject:", "To:", "Content-Type:", "X:", "", "Date:"};
		uint8_t in[256];
		const char *start = starts[round % 6];
		size_t n = strlen(start);
		memcpy(in, start, n);
		while (n < sizeof(in)) {
			seed = seed * 1103515245 + 12345;
			static const uint8_t some[] = " \t\n\"\\<>(),;:=@a\xC3\xA4\xFF";
			in[n++] = some[(seed >> 16) % (sizeof(some) - 1)];
		}
		size_t room = UTF8_HEAD_ROOM(n);
		uint8_t *octets = malloc(room);
		assert_non_null(octets);
		struct buf out = buf_over(octets, room);
		utf8_head_put((struct view){in, n}, &out);
		assert_false(out.full);
		assert_false(encoded_word_is_raw(buf_view(&out)));
		const uint8_t *word = octets;
		size_t left = out.n;
		while ((word = memmem(word, left, "?B?", 3))) {
			const uint8_t *start_of =
				memrchr(octets, '=', (size_t)(word - octets));
			left = out.n - (size_t)(word + 3 - octets);
			word += 3;
			const uint8_t *end = memmem(word, left, "?=", 2);
			assert_non_null(end);
			assert_true(end + 2 - start_of <= 75);
		}
		free(octets);
	}
}

/* The most that an octet becomes: an address of one each. */
static void
test_many_addresses_fit_their_room(void **state)
{
	static uint8_t in[UTF8_HEAD_MAX] = "To: ", out[UTF8_HEAD_ROOM(UTF8_HEAD_MAX)];

	(void)state;
	for (size_t i = 4; i < sizeof(in) - 2; i++)
		in[i] = i % 2 ? ',' : 0x80;
	memcpy(in + sizeof(in) - 2, "\r\n", 2);
	struct buf b = buf_over(out, sizeof(out));
	utf8_head_put((struct view){in, sizeof(in)}, &b);
	assert_false(b.full);
	assert_false(encoded_word_is_raw(buf_view(&b)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_message_that_was_emptied),
		cmocka_unit_test(test_head_ends_at_blank_line),
		cmocka_unit_test(test_any_octets),
		cmocka_unit_test(test_many_addresses_fit_their_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
