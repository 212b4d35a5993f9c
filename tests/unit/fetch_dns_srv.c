/* SRV questions and their answers: what is asked, what is believed, in which order. */
#include "unit.h"

#include "base/buf.h"
#include "fetch/dns_srv.h"

#include <stdlib.h>
#include <string.h>

#define NAME "_pop3s._tcp.example.org"
#define ID   0x1234

static uint8_t storage[DNS_MESSAGE_MAX + 16];
static struct buf m;

static void
u16(unsigned int v)
{
	buf_put_u8(&m, (uint8_t)(v >> 8));
	buf_put_u8(&m, (uint8_t)v);
}

static void
name(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, ".");
		buf_put_u8(&m, (uint8_t)n);
		buf_put(&m, text, n);
		text += n + (text[n] == '.');
	}
	buf_put_u8(&m, 0);
}

static void
begin(unsigned int flags, unsigned int answers)
{
	m = buf_over(storage, sizeof(storage));
	u16(ID);
	u16(flags);
	u16(1);
	u16(answers);
	u16(0);
	u16(0);
	name("_POP3S._tcp.Example.org");
	u16(33);
	u16(1);
}

/* A record of the question's name; its data is written between this and finish(). */
static size_t
record(unsigned int type)
{
	u16(0xC00C);
	u16(type);
	u16(1);
	u16(0);
	u16(60);
	u16(0);
	return m.n;
}

static void
finish(size_t from)
{
	storage[from - 2] = (uint8_t)((m.n - from) >> 8);
	storage[from - 1] = (uint8_t)(m.n - from);
}

static void
srv(unsigned int priority, unsigned int weight, unsigned int port, const char *target)
{
	size_t at = record(33);

	u16(priority);
	u16(weight);
	u16(port);
	name(target);
	finish(at);
}

static enum dns_verdict
read_answer(struct srv_answer *a)
{
	assert_false(m.full);
	return dns_srv_answer(buf_view(&m), NAME, ID, a);
}

static void
test_names(void **state)
{
	char label[70], text[300];

	(void)state;
	assert_true(dns_is_name("example.org"));
	assert_true(dns_is_name("_pop3s._tcp.xn--bcher-kva.example"));
	assert_false(dns_is_name(""));
	assert_false(dns_is_name(".org"));
	assert_false(dns_is_name("a..b"));
	assert_false(dns_is_name("example.org."));
	assert_false(dns_is_name("a b"));
	assert_false(dns_is_name("b\xC3\xBC"));
	memset(label, 'a', sizeof(label));
	label[63] = '\0';
	assert_true(dns_is_name(label));
	label[63] = 'a';
	label[64] = '\0';
	assert_false(dns_is_name(label));
	memset(text, 'a', sizeof(text));
	for (size_t i = 50; i < 253; i += 51)
		text[i] = '.';
	text[253] = '\0';
	assert_true(dns_is_name(text));
	text[253] = 'a';
	text[254] = '\0';
	assert_false(dns_is_name(text));
}

static void
test_query(void **state)
{
	static const uint8_t want[] =
		"\x12\x34\x01\0\0\1\0\0\0\0\0\0\6_pop3s\4_tcp\7example"
		"\3org\0\0\x21\0\1";
	uint8_t small[20];
	struct buf out = buf_over(small, sizeof(small));

	(void)state;
	m = buf_over(storage, sizeof(storage));
	assert_true(dns_srv_query(NAME, ID, &m));
	assert_int_equal(m.n, sizeof(want) - 1);
	assert_memory_equal(storage, want, m.n);
	assert_false(dns_srv_query(NAME, ID, &out));
	assert_false(dns_srv_query("a..b", ID, &m));
}

static void
test_answers(void **state)
{
	struct srv_answer a;

	(void)state;
	begin(0x8180, 2);
	srv(10, 5, 995, "Pop.Example.ORG");
	srv(0, 0, 1995, "other.example");
	assert_int_equal(read_answer(&a), DNS_ANSWER);
	assert_int_equal(a.n, 2);
	assert_false(a.refused);
	assert_string_equal(a.records[0].target, "pop.example.org");
	assert_int_equal(a.records[0].port, 995);
	assert_int_equal(a.records[0].priority, 10);
	assert_int_equal(a.records[0].weight, 5);

	begin(0x8180, 1);
	srv(0, 0, 0, "");
	assert_int_equal(read_answer(&a), DNS_ANSWER);
	assert_true(a.refused);
	assert_int_equal(a.n, 0);

	begin(0x8183, 0);
	assert_int_equal(read_answer(&a), DNS_ANSWER);
	assert_int_equal(a.n, 0);
	assert_false(a.refused);

	begin(0x8182, 0);
	assert_int_equal(read_answer(&a), DNS_FAILED);
	begin(0x8380, 0);
	assert_int_equal(read_answer(&a), DNS_TRUNCATED);
}

static void
test_aliases(void **state)
{
	struct srv_answer a;

	(void)state;
	begin(0x8180, 2);
	size_t at = record(5);
	size_t alias = m.n;
	name("real.example.org");
	finish(at);
	u16((unsigned int)(0xC000 | alias));
	u16(33);
	u16(1);
	u16(0);
	u16(60);
	u16(8);
	u16(1);
	u16(2);
	u16(995);
	u16((unsigned int)(0xC000 | alias));
	assert_int_equal(read_answer(&a), DNS_ANSWER);
	assert_int_equal(a.n, 1);
	assert_string_equal(a.records[0].target, "real.example.org");
	/* One that is its own alias ends too. */
	begin(0x8180, 1);
	at = record(5);
	u16(0xC00C);
	finish(at);
	assert_int_equal(read_answer(&a), DNS_ANSWER);
	assert_int_equal(a.n, 0);
}

static void
test_what_is_not_ours(void **state)
{
	struct srv_answer a;

	(void)state;
	begin(0x8180, 1);
	srv(0, 0, 995, "x.example");
	assert_int_equal(dns_srv_answer(buf_view(&m), NAME, ID + 1, &a), DNS_NOT_OURS);
	assert_int_equal(dns_srv_answer(buf_view(&m), "_pop3._tcp.example.org", ID, &a),
		DNS_NOT_OURS);
	storage[2] = 0x01; /* a question */
	assert_int_equal(read_answer(&a), DNS_NOT_OURS);
	storage[2] = 0x81 | 0x28; /* another operation */
	assert_int_equal(read_answer(&a), DNS_NOT_OURS);
	storage[2] = 0x81;
	assert_int_equal(read_answer(&a), DNS_ANSWER);
	storage[5] = 2; /* two questions */
	assert_int_equal(read_answer(&a), DNS_NOT_OURS);
	assert_int_equal(
		dns_srv_answer((struct view){storage, 0}, NAME, ID, &a), DNS_NOT_OURS);
}

static void
test_what_makes_no_sense(void **state)
{
	struct srv_answer a;

	(void)state;
	/* A target that points at itself, forward, or into the message's head. */
	static const unsigned int bad[] = {0, 2, UINT32_MAX};
	for (size_t i = 0; i < 3; i++) {
		begin(0x8180, 1);
		size_t at = record(33);
		u16(0);
		u16(0);
		u16(995);
		u16(bad[i] == UINT32_MAX ? 0xC004
					 : (unsigned int)(0xC000 | (m.n + bad[i])));
		finish(at);
		assert_int_equal(read_answer(&a), DNS_BROKEN);
	}
	/* Data that is longer or shorter than its fields. */
	for (int more = -1; more <= 1; more += 2) {
		begin(0x8180, 1);
		srv(0, 0, 995, "x.example");
		size_t length = (size_t)(17 + more);
		storage[m.n - 17 - 1] = (uint8_t)length;
		buf_put_u8(&m, 0);
		assert_int_equal(read_answer(&a), DNS_BROKEN);
	}
	begin(0x8180, 1);
	srv(0, 0, 995, "a b.example");
	assert_int_equal(read_answer(&a), DNS_BROKEN);
	begin(0x8180, 2);
	srv(0, 0, 995, "x.example");
	assert_int_equal(read_answer(&a), DNS_BROKEN);
	begin(0x8180, 257);
	assert_int_equal(read_answer(&a), DNS_BROKEN);
	/* Cut anywhere it is never an answer, whatever is behind it. */
	begin(0x8180, 1);
	srv(0, 0, 995, "x.example");
	for (size_t n = 0; n < m.n; n++) {
		uint8_t *copy = malloc(n + 1);
		assert_non_null(copy);
		memcpy(copy, storage, n);
		assert_int_not_equal(
			dns_srv_answer((struct view){copy, n}, NAME, ID, &a), DNS_ANSWER);
		free(copy);
	}
}

static void
test_limits(void **state)
{
	struct srv_answer a;
	char target[300];

	(void)state;
	begin(0x8180, 200);
	for (int i = 0; i < 200; i++)
		srv(0, 0, 995, "x.example");
	assert_int_equal(read_answer(&a), DNS_ANSWER);
	assert_int_equal(a.n, SRV_RECORDS_MAX);
	memset(target, 'a', sizeof(target));
	for (size_t i = 50; i < sizeof(target); i += 51)
		target[i] = '.';
	target[254] = '\0';
	begin(0x8180, 1);
	srv(0, 0, 995, target);
	assert_int_equal(read_answer(&a), DNS_ANSWER);
	target[254] = 'a';
	target[256] = '\0';
	begin(0x8180, 1);
	srv(0, 0, 995, target);
	assert_int_equal(read_answer(&a), DNS_BROKEN);
}

static void
test_order(void **state)
{
	uint32_t random[SRV_RECORDS_MAX] = {0}, seed = 1;
	unsigned int first[3] = {0};

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct srv_answer a = {.n = 4,
			.records = {{20, 0, 1, ""}, {10, 0, 2, ""}, {10, 99, 3, ""},
				{10, 299, 4, ""}}};
		for (size_t k = 0; k < SRV_RECORDS_MAX; k++) {
			seed = seed * 1664525u + 1013904223u;
			random[k] = seed >> 8;
		}
		dns_srv_order(&a, random);
		assert_int_equal(a.records[3].port, 1);
		assert_in_range(a.records[0].port, 2, 4);
		unsigned int sum = 0;
		for (size_t k = 0; k < 3; k++)
			sum += a.records[k].port;
		assert_int_equal(sum, 9);
		first[a.records[0].port - 2]++;
	}
	/* 1 : 100 : 300 */
	assert_in_range(first[0], 1, 40);
	assert_in_range(first[1], 600, 900);
	assert_in_range(first[2], 2000, 2500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_what_is_not_ours),
		cmocka_unit_test(test_what_makes_no_sense),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
