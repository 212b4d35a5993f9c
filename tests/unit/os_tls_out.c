/* Buffers that streams share, and how last words leave. */
#include "os/tls_out.h"
#include "os_tls_talk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h> /* the one of glibc lacks what was counted */
#include <netinet/in.h>
#include <poll.h>

/* ---- OpenSSL's buffers ----------------------------------------------------------- */

#define TALKS (STREAMS_WARM + 2)

static struct {
	struct given given;
	SSL_CTX *clients;
	struct tls_context *context;
	uint8_t octets[65536];
	struct stream_room room;
} world;

static int
set_up(void **state)
{
	char why[256] = "";

	(void)state;
	world.given = given_make(EVP_EC_gen("P-256"), NULL);
	world.clients = SSL_CTX_new(TLS_client_method());
	world.context = tls_context_new(given_text(world.given.cert_pem),
		given_text(world.given.key_pem), NULL, why, sizeof(why));
	world.room = (struct stream_room){.p = world.octets, .n = sizeof(world.octets)};
	CHECK(world.clients && world.context);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	tls_context_unref(&world.context);
	SSL_CTX_free(world.clients);
	given_done(&world.given);
	return 0;
}

static void
begin(struct talk *t)
{
	const struct tls_rules rules = {.listener = {NULL, 0}};

	talk_begin(t, world.clients, world.context, &rules);
	t->server.room = &world.room;
	assert_int_equal(talk_shake(t), STREAM_OK);
	talk_echo(t);
}

static bool
is_warm(const struct talk *t)
{
	bool keeps = !(SSL_get_mode((SSL *)t->server.ssl) & SSL_MODE_RELEASE_BUFFERS);
	bool known = false;

	for (size_t i = 0; i < STREAMS_WARM; i++)
		known = known || world.room.warm[i] == t->server.ssl;
	assert_int_equal(keeps, known);
	return keeps;
}

static void
who_spoke_last_keeps_buffers(void **state)
{
	struct talk t[TALKS];

	(void)state;
	if (!tls_out_can_give_back(OpenSSL_version_num()))
		skip();
	for (size_t i = 0; i < TALKS; i++)
		begin(&t[i]);
	for (size_t i = 0; i < TALKS; i++)
		assert_int_equal(is_warm(&t[i]), i >= TALKS - STREAMS_WARM);
	/* Who speaks again comes first, and the one silent for longest goes. */
	talk_echo(&t[2]);
	talk_echo(&t[0]);
	assert_true(is_warm(&t[0]) && is_warm(&t[2]));
	assert_false(is_warm(&t[3]));
	assert_ptr_equal(world.room.warm[0], t[0].server.ssl);
	/* Nobody whose memory is gone is remembered, and the others are not forgotten. */
	talk_end(&t[5]);
	assert_null(world.room.warm[STREAMS_WARM - 1]);
	talk_echo(&t[1]);
	for (size_t i = 0; i < TALKS; i++)
		assert_true(i == 5 || is_warm(&t[i]) == (i != 3));
	for (size_t i = 0; i < TALKS; i++)
		if (i != 5)
			talk_end(&t[i]);
	for (size_t i = 0; i < STREAMS_WARM; i++)
		assert_null(world.room.warm[i]);
}

/* A part of a record waits in the buffer of one that has to give it back: nothing is
 * lost. */
static void
goes_on_after(int part)
{
	struct talk t[TALKS];
	BIO *gather = BIO_new(BIO_s_mem());
	uint8_t record[256];
	char got[16];
	size_t n = 0;

	for (size_t i = 0; i < TALKS; i++)
		begin(&t[i]);
	talk_echo(&t[0]);
	CHECK(gather);
	SSL_set0_wbio(t[0].client, gather);
	assert_int_equal(SSL_write(t[0].client, "UIDL\r\n", 6), 6);
	int octets = BIO_read(gather, record, sizeof(record));
	assert_true(octets > 10);
	assert_int_equal(send(t[0].client_fd, record, (size_t)part, 0), part);
	assert_int_equal(stream_read(&t[0].server, got, sizeof(got), &n), STREAM_AGAIN);
	for (size_t i = 1; i < TALKS; i++)
		talk_echo(&t[i]);
	assert_false(is_warm(&t[0]));
	assert_int_equal(send(t[0].client_fd, record + part, (size_t)(octets - part), 0),
		octets - part);
	assert_int_equal(stream_read(&t[0].server, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 6);
	assert_memory_equal(got, "UIDL\r\n", 6);
	for (size_t i = 0; i < TALKS; i++)
		talk_end(&t[i]);
}

static void
who_goes_in_the_middle_of_a_record_goes_on(void **state)
{
	(void)state;
	/* In its header, behind it, in its body. */
	goes_on_after(1);
	goes_on_after(3);
	goes_on_after(5);
	goes_on_after(9);
}

static void
an_openssl_that_cannot_has_none_warm(void **state)
{
	(void)state;
	assert_false(tls_out_can_give_back(0x300000d0)); /* 3.0.13 */
	assert_true(tls_out_can_give_back(0x300000e0));
	assert_false(tls_out_can_give_back(0x30100050));
	assert_true(tls_out_can_give_back(0x30100060));
	assert_false(tls_out_can_give_back(0x30200010));
	assert_true(tls_out_can_give_back(0x30200020));
	assert_false(tls_out_can_give_back(0x30300000));
	assert_true(tls_out_can_give_back(0x30300010));
	assert_true(tls_out_can_give_back(0x30400000));
	assert_true(tls_out_can_give_back(0x40000000));
	assert_false(tls_out_can_give_back(0x1010117f)); /* 1.1.1w */
}

/* ---- last words ------------------------------------------------------------------ */

/* A connection of TCP on loopback: ret[0] is the server's end. */
static void
connection(int ret[2])
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	AUTO_FD door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(door, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(door, 1), 0);
	assert_int_equal(getsockname(door, (struct sockaddr *)&a, &n), 0);
	ret[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ret[1], (struct sockaddr *)&a, n), 0);
	ret[0] = accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(ret[0] >= 0);
}

static unsigned int
segments(int fd)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n), 0);
	return info.tcpi_segs_in;
}

/* What comes until the end, or a reset. */
static size_t
read_all(int fd, char *p, size_t room)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(fd, p + n, room - n, 0);
		if (got <= 0)
			return n;
		n += (size_t)got;
	}
}

static void
say_bye(struct stream *s, bool shut)
{
	stream_last(s);
	assert_int_equal(stream_send(s, "+OK bye\r\n", 9), STREAM_OK);
	assert_int_equal(stream_unsent(s), 0);
	if (shut)
		assert_int_equal(stream_shutdown(s), STREAM_OK);
	stream_done(s);
}

static void
last_words_and_the_end_are_one_packet(void **state)
{
	(void)state;
	for (int shut = 0; shut < 2; shut++) {
		struct stream s;
		char got[16];
		int pair[2];
		connection(pair);
		stream_init(&s, pair[0]);
		unsigned int before = segments(pair[1]);
		say_bye(&s, shut == 1);
		assert_int_equal(read_all(pair[1], got, sizeof(got)), 9);
		assert_memory_equal(got, "+OK bye\r\n", 9);
		assert_int_equal(segments(pair[1]) - before, 1);
		fd_close(&pair[1]);
	}
}

static void
octets_unread_do_not_cost_the_last_words(void **state)
{
	struct stream s;
	char got[16];
	int pair[2];

	(void)state;
	connection(pair);
	stream_init(&s, pair[0]);
	assert_int_equal(send(pair[1], "QUIT\r\nNOOP\r\n", 12, 0), 12);
	assert_int_equal(
		poll(&(struct pollfd){.fd = pair[0], .events = POLLIN}, 1, 10000), 1);
	say_bye(&s, false);
	assert_int_equal(read_all(pair[1], got, sizeof(got)), 9);
	fd_close(&pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_spoke_last_keeps_buffers),
		cmocka_unit_test(who_goes_in_the_middle_of_a_record_goes_on),
		cmocka_unit_test(an_openssl_that_cannot_has_none_warm),
		cmocka_unit_test(last_words_and_the_end_are_one_packet),
		cmocka_unit_test(octets_unread_do_not_cost_the_last_words),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
