/* A server's context that is made where memory ends: refused with a reason, or used, and
 * never a crash. */
#include "no_memory.h"
#include "os_tls_talk.h"

#define STEP	    2 /* each table that is made takes two at least */
#define SCHEMES_MAX 8

static SSL_CTX *clients;
static struct given given;
static uint8_t tickets[TLS_TICKET_KEY_OCTETS];

static int
set_up(void **state)
{
	(void)state;
	given = given_make(EVP_EC_gen("P-256"), "DNS:main.test");
	clients = SSL_CTX_new(TLS_client_method());
	return clients ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	given_done(&given);
	SSL_CTX_free(clients);
	return 0;
}

/* NULL and a reason where allocation n, counted from here, fails; 0: none does. */
static struct tls_context *
made_without(size_t n, size_t *ret_count)
{
	char why[256] = "";
	struct tls_context *c = NULL;

	allocations = 0;
	failing = n;
	struct tls_setup *s = tls_setup_new(
		1, 1, (struct view){tickets, sizeof(tickets)}, NULL, why, sizeof(why));
	if (s &&
		tls_setup_add(s, 0, given_text(given.cert_pem), given_text(given.key_pem),
			nothing(), why, sizeof(why)) != TLS_NOT_ADDED)
		c = tls_setup_finish(&s, why, sizeof(why));
	failing = 0;
	*ret_count = allocations;
	if (s)
		tls_setup_free(&s);
	if (!c && why[0] == '\0')
		fail_msg("without allocation %zu: refused, and no reason", n);
	return c;
}

/* Whether a handshake comes to its end; it asks the context for a ticket, too. */
static bool
serves(struct tls_context *c)
{
	struct talk t;

	talk_begin(&t, clients, c, NULL);
	bool met = talk_shake(&t) == STREAM_OK;
	if (met)
		talk_echo(&t);
	talk_end(&t);
	return met;
}

static void
each_allocation_of_a_context(void **state)
{
	size_t count = 0, refused = 0, deaf = 0, scratch;
	struct tls_context *c = made_without(0, &count);

	(void)state;
	assert_non_null(c);
	assert_true(serves(c));
	tls_context_unref(&c);
	/* What OpenSSL makes once stands now; the count is that of a reload. */
	c = made_without(0, &count);
	assert_non_null(c);
	tls_context_unref(&c);
	assert_true(count > 100);
	for (size_t n = 1; n <= count; n += STEP) {
		c = made_without(n, &scratch);
		refused += !c;
		if (!c)
			continue;
		deaf += !serves(c);
		tls_context_unref(&c);
	}
	assert_true(refused > 10);
	/* Where OpenSSL has no memory to look whether it knows a signature scheme, it
	 * leaves the scheme out, and says nothing. */
	assert_in_range(deaf, 0, SCHEMES_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_of_a_context),
	};

	/* Before anything of OpenSSL's. */
	if (!no_memory_here())
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
