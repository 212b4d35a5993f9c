#include "unit.h"

#include "ipc/message.h"
#include "ipc/slice.h"

static void
login_comes_back_as_it_went(void **state)
{
	(void)state;
	uint8_t storage[MESSAGE_OCTETS_MAX];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_login in = {.session = 0x1122334455667788,
		.mechanism = 2,
		.tls = 1,
		.address = VIEW("0123456789abcdef"),
		.port = 995,
		.name = VIEW("u"),
		.response = VIEW("\0u\0p")};
	struct msg_login got;
	struct view payload;

	msg_login_put(&in, &out);
	assert_false(out.full);
	assert_int_equal(message_number(buf_view(&out), &payload), MSG_LOGIN);
	assert_true(msg_login_get(&got, payload));
	assert_int_equal(got.session, in.session);
	assert_int_equal(got.response.n, 4);
	/* One octet less or more is no message. */
	assert_false(msg_login_get(&got, (struct view){payload.p, payload.n - 1}));
	assert_false(msg_login_get(&got, (struct view){payload.p, payload.n + 1}));
}

static void
octets_beyond_the_row_are_refused(void **state)
{
	(void)state;
	uint8_t storage[2048], name[65] = {'n'};
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_front_listener m = {.name = {name, sizeof(name)}};

	msg_front_listener_put(&m, &out);
	assert_true(out.full);
	m.name.n = 64;
	out = buf_over(storage, sizeof(storage));
	msg_front_listener_put(&m, &out);
	assert_false(out.full);
}

static void
every_number_has_one_name(void **state)
{
	(void)state;
	assert_string_equal(message_name(MSG_GRANT), "GRANT");
	assert_string_equal(message_name(0), "?");
	assert_int_equal(message_fds_max(MSG_SLICES), SLICES_BATCH_MAX);
	assert_int_equal(message_fds_max(0xFFFF), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(login_comes_back_as_it_went),
		cmocka_unit_test(octets_beyond_the_row_are_refused),
		cmocka_unit_test(every_number_has_one_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
