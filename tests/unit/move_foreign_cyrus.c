/* cyrus.index: headers and records as Cyrus 3.6 wrote them in version 17, and with
 * `reconstruct -V` in those before. */
#include "move_foreign_help.h"

struct index {
	uint8_t octets[1024];
	size_t n;
	uint32_t start, record, count;
};

static void
put_at(struct index *x, size_t at, uint32_t n)
{
	for (size_t i = 0; i < 4; i++)
		x->octets[at + i] = (uint8_t)(n >> (24 - 8 * i));
}

static struct index
make(uint32_t version, uint32_t start, uint32_t record)
{
	struct index x = {.n = start, .start = start, .record = record};

	put_at(&x, 8, version);
	put_at(&x, 12, start);
	put_at(&x, 16, record);
	put_at(&x, 44, 1700000000);
	put_at(&x, 60, 1);
	return x;
}

static void
add(struct index *x, uint32_t uid, uint32_t size, uint32_t flags)
{
	put_at(x, x->n, uid);
	put_at(x, x->n + 12, size);
	put_at(x, x->n + 32, flags);
	x->n += x->record;
	put_at(x, 20, ++x->count);
}

static void
check(const struct index *x, enum foreign_cyrus form, const char *want)
{
	char storage[2048];
	struct said s = said_into(storage, sizeof(storage));

	foreign_cyrus_read((struct view){x->octets, x->n}, form, &s.sink);
	assert_said(&s, want);
}

static void
forms(void **state)
{
	struct index x = make(17, 0xa0, 0x70);

	(void)state;
	add(&x, 1, 383, 0);
	add(&x, 2, 384, 0x80000004U);
	add(&x, 3, 385, 0x40000000U);
	add(&x, 12, 386, 0x10);
	check(&x, FOREIGN_CYRUS_CYRUS,
		"1/0/383/1.=1700000000.1;12/3/386/12.=1700000000.12;");
	check(&x, FOREIGN_CYRUS_UIDONLY, "1/0/383/1.=1;12/3/386/12.=12;");
	check(&x, FOREIGN_CYRUS_COURIER,
		"1/0/383/1.=1700000000-1;12/3/386/12.=1700000000-12;");
	check(&x, FOREIGN_CYRUS_DOVECOT,
		"1/0/383/1.=000000016553f100;12/3/386/12.=0000000c6553f100;");
	put_at(&x, 60, 0);
	for (int form = 0; form < FOREIGN_CYRUS_FORMS; form++)
		check(&x, (enum foreign_cyrus)form, "1/0/383/1.=1;12/3/386/12.=12;");
}

static void
versions(void **state)
{
	static const struct {
		uint32_t version, start, record;
	} all[] = {{6, 0x4c, 60}, {8, 0x5c, 80}, {9, 0x60, 80}, {10, 0x60, 88},
		{12, 0x80, 96}, {13, 0x80, 104}, {14, 0xa0, 104}, {15, 0xa0, 104},
		{16, 0xa0, 112}};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct index x = make(all[i].version, all[i].start, all[i].record);
		add(&x, 4, 10, 0);
		add(&x, 6, 11, 0);
		check(&x, FOREIGN_CYRUS_UIDONLY, "4/0/10/4.=4;6/1/11/6.=6;");
	}
}

static void
check_field(size_t at, uint32_t n, const char *want)
{
	struct index x = make(17, 0xa0, 0x70);

	add(&x, 1, 10, 0);
	put_at(&x, at, n);
	check(&x, FOREIGN_CYRUS_UIDONLY, want);
}

static void
damaged(void **state)
{
	struct index x = make(17, 0xa0, 0x70);

	(void)state;
	check_field(8, 17, "1/0/10/1.=1;");
	check_field(8, 5, "!0;");
	check_field(8, 18, "!0;");
	check_field(4, 1, "!0;");
	check_field(12, 60, "!0;");
	check_field(12, 5000, "!0;");
	check_field(16, 59, "!0;");
	check_field(16, 4097, "!0;");
	check_field(16, 0x71, "!0;");
	check_field(20, 2, "!0;");
	check_field(20, UINT32_MAX, "!0;");
	check_field(44, 0, "!0;");
	check_field(0xa0, 0, "!1;");
	add(&x, 7, 1, 0);
	add(&x, 7, 1, 0);
	check(&x, FOREIGN_CYRUS_UIDONLY, "7/0/1/7.=7;!2;");
	x.n = 63;
	check(&x, FOREIGN_CYRUS_UIDONLY, "!0;");
	x.n = 0;
	check(&x, FOREIGN_CYRUS_UIDONLY, "!0;");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(versions),
		cmocka_unit_test(damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
