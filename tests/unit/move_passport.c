/*
 * The passport's text: what is written is read, and nothing else is.
 */
#include "unit.h"

#include "base/check.h"
#include "move/passport_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD                                                                             \
	"restante-passport 1\nmade 2026-11-22T10:00:00Z\nof maildir:/srv/anna\n"         \
	"digests header\nuidls yes\n"
#define HEX  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SEAL "sha256 " HEX "\n"

static bool
reads(const char *text, char *why, size_t why_n)
{
	struct view v = {(const uint8_t *)text, strlen(text)};
	struct passport p;
	struct gathered g;
	int r = passport_read(v, &g, &p, why, why_n);

	if (r == 0)
		gathered_free(&g);
	return r == 0;
}

static void
texts(void **state)
{
	static const struct {
		const char *text, *why; /* NULL: good */
	} rows[] = {
		{HEAD "messages 0 0\nend 0\n" SEAL, NULL},
		{HEAD "messages 1 7\n1 a 7 " HEX "\nend 1\n" SEAL, NULL},
		{HEAD "messages 2 9\n3 - 7 -\n9 % 2 -\nend 2\n" SEAL, NULL},
		{HEAD "messages 1 7\n1 %80%25- 7 " HEX "\nend 1\n" SEAL, NULL},
		{"", "line 1: this is no passport"},
		{"restante-passport 1", "line 1: this is no passport"},
		{"restante-passport 2\n", "line 1: this restante knows passports"},
		{"restante-passport 01\n", "line 1: this is no passport"},
		{"restante-passport 1\r\n", "line 1: this is no passport"},
		{"restante-passport 1\nmade yesterday\n", "line 2: the time"},
		{HEAD "messages 1 7\n", "line 7: the text ends"},
		{HEAD "messages 1 7\n1 a 7 -\n", "line 8: the text ends"},
		{HEAD "messages 1 7\n1 a 7 -\nend 1\n", "line 9: the text ends"},
		{HEAD "messages 1 7\n1 a 7 -\nend 1\n" SEAL "x", "line 9: something"},
		{HEAD "messages 1 7\n1 a 7 -\nend 2\n" SEAL, "line 8: the number"},
		{HEAD "messages 1 8\n1 a 7 -\nend 1\n" SEAL, "line 8: the sizes"},
		{HEAD "messages 2 7\n1 a 7 -\nend 1\n" SEAL, "line 8: the message's"},
		{HEAD "messages 1 7 \n", "line 6: the numbers"},
		{HEAD "messages 4000001 7\n", "line 6: the numbers"},
		{HEAD "messages 4000000 7\n1 a 7 -\n", "line 8: the text ends"},
		{HEAD "messages 2 9\n2 a 7 -\n2 b 2 -\n", "line 8: the message's"},
		{HEAD "messages 1 7\n0 a 7 -\n", "line 7: the message's"},
		{HEAD "messages 1 7\n1  a 7 -\n", "line 7: the UIDL"},
		{HEAD "messages 1 7\n1 %61 7 -\n", "line 7: the UIDL"},
		{HEAD "messages 1 7\n1 %8 7 -\n", "line 7: the UIDL"},
		{HEAD "messages 1 7\n1 x%2D 7 -\n", "line 7: the UIDL"},
		{HEAD "messages 1 7\n1 %ab 7 -\n", "line 7: the UIDL"},
		{HEAD "messages 1 7\n1 \x80 7 -\n", "line 7: the UIDL"},
		{HEAD "messages 1 7\n1 a +7 -\n", "line 7: the size"},
		{HEAD "messages 1 7\n1 a 7 00\n", "line 7: the digests"},
		{HEAD "messages 1 7\n1 a 7 - -\n", "line 7: the digests"},
		{HEAD "messages 1 7\n1 a 7\n", "line 7: the digests"},
		{HEAD "messages 2 7\n1 a 18446744073709551615 -\n2 b 1 -\n",
			"line 8: the size"},
		{HEAD "messages 0 0\nend 0\nmd5 " HEX "\n", "line 8: the seal"},
		{HEAD "messages 0 0\nend 0\ned25519 " HEX " " HEX "\n",
			"line 8: the seal"},
	};
	char why[256];
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		why[0] = '\0';
		assert_int_equal(
			reads(rows[i].text, why, sizeof(why)), rows[i].why == NULL);
		if (rows[i].why && !strstr(why, rows[i].why))
			fail_msg("row %zu: '%s' is not '%s'", i, why, rows[i].why);
	}
}

static void
sample(struct gathered *g)
{
	static const uint8_t odd[] = {0, ' ', '%', 0xFF, '\n'};
	static const char *const uidls[] = {"a", "", "-", "--", "a%b"};

	assert_int_equal(gathered_new(7, 0, g), 0);
	g->side.has_uidls = true;
	for (uint32_t i = 0; i < 7; i++) {
		struct compare_message *m = &g->side.messages[i];
		m->number = 10 * i + 1;
		m->size = UINT64_C(1) << (8 * i);
		m->has_header = m->has_whole = i != 3;
		m->refused = i == 3;
		memset(m->header, (int)(i + 1), sizeof(m->header));
		memset(m->whole, (int)(i + 100), sizeof(m->whole));
		if (i < 5)
			m->uidl = (struct view){
				(const uint8_t *)uidls[i], strlen(uidls[i])};
	}
	g->side.messages[5].uidl = (struct view){odd, sizeof(odd)};
}

static void
there_and_back(void **state)
{
	struct gathered a, b;
	struct passport p;
	char *text = NULL, why[256];
	size_t n = 0;
	(void)state;

	sample(&a);
	assert_int_equal(passport_write(&a, "mbox:/var/ m%", true, NULL, &text, &n), 0);
	struct view v = {(const uint8_t *)text, n};
	assert_int_equal(passport_read(v, &b, &p, why, sizeof(why)), 0);
	assert_int_equal(b.side.n, 7);
	for (uint32_t i = 0; i < 7; i++) {
		const struct compare_message *x = &a.side.messages[i];
		const struct compare_message *y = &b.side.messages[i];
		assert_int_equal(x->number, y->number);
		assert_int_equal(x->size, y->size);
		assert_int_equal(x->uidl.p == NULL, y->uidl.p == NULL);
		assert_int_equal(x->uidl.n, y->uidl.n);
		assert_memory_equal(x->uidl.n ? (const void *)x->uidl.p : "",
			y->uidl.n ? (const void *)y->uidl.p : "", x->uidl.n);
		assert_int_equal(x->has_header, y->has_header);
		if (x->has_header)
			assert_memory_equal(x->header, y->header, 32);
		if (x->has_whole)
			assert_memory_equal(x->whole, y->whole, 32);
	}
	assert_true(passport_seal_is_good(&p));
	gathered_free(&b);
	/* Any octet that is changed is seen, by the reader or the seal. */
	for (size_t i = 0; i < n; i++) {
		text[i] = (char)(text[i] ^ 1);
		int r = passport_read(v, &b, &p, why, sizeof(why));
		if (r == 0) {
			assert_false(passport_seal_is_good(&p));
			gathered_free(&b);
		}
		text[i] = (char)(text[i] ^ 1);
	}
	free(text);
	gathered_free(&a);
}

static void
keys(void **state)
{
	char dir[] = "/tmp/restante-key-XXXXXX", path[64], public[80], why[512];
	struct passport_key *key;
	struct gathered a, b;
	struct passport p;
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	(void)state;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/key", dir);
	(void)snprintf(public, sizeof(public), "%s.pub", path);
	assert_int_equal(passport_key_make(path, why, sizeof(why)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(passport_key_make(path, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "never written over"));
	assert_null(passport_key_read(public, false, why, sizeof(why)));
	key = passport_key_read(public, true, why, sizeof(why));
	assert_non_null(key);
	passport_key_free(&key);
	key = passport_key_read(path, false, why, sizeof(why));
	assert_non_null(key);

	sample(&a);
	assert_int_equal(passport_write(&a, "x", false, key, &text, &n), 0);
	struct view v = {(const uint8_t *)text, n};
	assert_int_equal(passport_read(v, &b, &p, why, sizeof(why)), 0);
	assert_true(p.is_signed);
	assert_true(passport_seal_is_good(&p));
	gathered_free(&b);
	char *size = strstr(text, "11 % 256 ");
	assert_non_null(size);
	memcpy(size, "12 % 256 ", 9);
	assert_int_equal(passport_read(v, &b, &p, why, sizeof(why)), 0);
	assert_false(passport_seal_is_good(&p));
	gathered_free(&b);
	gathered_free(&a);
	free(text);
	passport_key_free(&key);

	assert_int_equal(chmod(path, 0640), 0);
	assert_null(passport_key_read(path, false, why, sizeof(why)));
	assert_non_null(strstr(why, "chmod 600"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(public), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(keys),
	};

	return cmocka_run_group_tests_name("move_passport", tests, NULL, NULL);
}
