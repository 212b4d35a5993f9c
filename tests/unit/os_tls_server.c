/* Certificates by name, staples, tickets, client certificates, channel binding. */
#include "os_tls_talk.h"

#include <openssl/ocsp.h>
#include <poll.h>
#include <sys/ioctl.h>

static SSL_CTX *clients;
static uint8_t tickets[3 * TLS_TICKET_KEY_OCTETS];

enum { MAIN_RSA, MAIN_EC, WILD_EC, OTHER_RSA, CERTIFICATES };
static struct given given[CERTIFICATES];
static struct given person;

static int
set_up(void **state)
{
	(void)state;
	given[MAIN_RSA] = given_make(EVP_RSA_gen(2048U), "DNS:main.test,DNS:Second.test");
	given[MAIN_EC] = given_make(EVP_EC_gen("P-256"), "DNS:main.test");
	given[WILD_EC] = given_make(EVP_EC_gen("P-256"),
		"DNS:*.wild.test,DNS:*.com,DNS:f*.half.test,DNS:own.wild.test");
	given[OTHER_RSA] = given_make(EVP_RSA_gen(2048U), "DNS:own.wild.test");
	person = given_make(EVP_EC_gen("P-384"), NULL);
	clients = SSL_CTX_new(TLS_client_method());
	for (size_t i = 0; i < sizeof(tickets); i++)
		tickets[i] = (uint8_t)(i * 7 + i / 80);
	return clients ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < CERTIFICATES; i++)
		given_done(&given[i]);
	given_done(&person);
	SSL_CTX_free(clients);
	return 0;
}

static struct tls_context *
all_with(struct view ticket_keys, struct view ocsp, enum tls_added ocsp_outcome)
{
	/* In any order. */
	static const uint8_t order[] = {WILD_EC, MAIN_RSA, OTHER_RSA, MAIN_EC};
	char why[256] = "";
	struct tls_setup *s =
		tls_setup_new(3, CERTIFICATES, ticket_keys, NULL, why, sizeof(why));

	assert_non_null(s);
	assert_int_equal(tls_setup_generation(s), 3);
	for (size_t k = 0; k < CERTIFICATES; k++) {
		uint8_t i = order[k];
		assert_false(tls_setup_is_complete(s));
		enum tls_added got = tls_setup_add(s, i, given_text(given[i].cert_pem),
			given_text(given[i].key_pem), i == MAIN_EC ? ocsp : nothing(),
			why, sizeof(why));
		if (got != (i == MAIN_EC ? ocsp_outcome : TLS_ADDED))
			fail_msg("%u: %d %s", i, got, why);
	}
	assert_true(tls_setup_is_complete(s));
	struct tls_context *c = tls_setup_finish(&s, why, sizeof(why));
	if (!c)
		fail_msg("%s", why);
	return c;
}

static struct tls_context *
all(struct view ticket_keys)
{
	return all_with(ticket_keys, nothing(), TLS_ADDED);
}

/* ---- names ----------------------------------------------------------------------------
 */

static void
names_choose_certificates(void **state)
{
	/* What a client says, what it can verify, and what it gets. */
	static const struct {
		const char *name, *signatures;
		int gets;
		const char *is_known_as;
	} rows[] = {
		{NULL, NULL, MAIN_EC, ""},
		{NULL, "rsa_pss_rsae_sha256", MAIN_RSA, ""},
		{"unknown.test", NULL, MAIN_EC, ""},
		{"main.test", NULL, MAIN_EC, "main.test"},
		{"MAIN.test", "rsa_pss_rsae_sha256", MAIN_RSA, "main.test"},
		{"second.test", NULL, MAIN_RSA, "second.test"},
		{"a.wild.test", NULL, WILD_EC, "a.wild.test"},
		/* A wildcard is one label. */
		{"a.b.wild.test", NULL, MAIN_EC, ""},
		{"wild.test", NULL, MAIN_EC, ""},
		/* Too wide, and not a whole label: never matched. */
		{"example.com", NULL, MAIN_EC, ""},
		{"foo.half.test", NULL, MAIN_EC, ""},
		/* Two certificates of one name, in two types. */
		{"own.wild.test", NULL, WILD_EC, "own.wild.test"},
		{"own.wild.test", "rsa_pss_rsae_sha256", OTHER_RSA, "own.wild.test"},
		{"a/b.test", NULL, MAIN_EC, ""},
	};
	struct tls_context *c = all(nothing());

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct talk t;
			talk_begin(&t, clients, c, NULL);
			talk_version(&t, version);
			if (rows[i].signatures)
				assert_int_equal(SSL_set1_sigalgs_list(t.client,
							 plain_text(rows[i].signatures)),
					1);
			if (rows[i].name)
				assert_int_equal(SSL_set_tlsext_host_name(t.client,
							 plain_text(rows[i].name)),
					1);
			if (talk_shake(&t) != STREAM_OK)
				fail_msg("row %zu", i);
			X509 *got = SSL_get0_peer_certificate(t.client);
			if (X509_cmp(got, given[rows[i].gets].x) != 0)
				fail_msg("row %zu: another certificate", i);
			struct view name = stream_server_name(&t.server);
			assert_int_equal(name.n, strlen(rows[i].is_known_as));
			assert_memory_equal(name.p, rows[i].is_known_as, name.n);
			talk_end(&t);
		}
	tls_context_unref(&c);
}

static void
wrong_set_ups_are_refused(void **state)
{
	char why[256] = "";
	uint8_t odd[81] = {0};
	struct view cert = given_text(given[0].cert_pem),
		    key = given_text(given[0].key_pem);

	(void)state;
	assert_null(tls_setup_new(1, 1, (struct view){odd, 81}, NULL, why, sizeof(why)));
	assert_string_equal(why, "the ticket keys are not one to three of 80 octets");
	struct tls_setup *s = tls_setup_new(1, 2, nothing(), NULL, why, sizeof(why));
	assert_int_equal(tls_setup_add(s, 2, cert, key, nothing(), why, sizeof(why)),
		TLS_NOT_ADDED);
	assert_int_equal(
		tls_setup_add(s, 0, cert, key, nothing(), why, sizeof(why)), TLS_ADDED);
	assert_int_equal(tls_setup_add(s, 0, cert, key, nothing(), why, sizeof(why)),
		TLS_NOT_ADDED);
	assert_string_equal(why, "a certificate of this number has come already");
	assert_int_equal(tls_setup_add(s, 1, cert, given_text(given[1].key_pem),
				 nothing(), why, sizeof(why)),
		TLS_NOT_ADDED);
	assert_non_null(strstr(why, "does not belong"));
	tls_setup_free(&s);

	struct given odd_curve = given_make(EVP_EC_gen("P-521"), NULL);
	struct given short_rsa = given_make(EVP_RSA_gen(1024U), NULL);
	s = tls_setup_new(1, 2, nothing(), NULL, why, sizeof(why));
	assert_int_equal(
		tls_setup_add(s, 0, given_text(odd_curve.cert_pem),
			given_text(odd_curve.key_pem), nothing(), why, sizeof(why)),
		TLS_NOT_ADDED);
	assert_string_equal(why, "the certificate's curve is not P-256 or P-384");
	assert_int_equal(
		tls_setup_add(s, 1, given_text(short_rsa.cert_pem),
			given_text(short_rsa.key_pem), nothing(), why, sizeof(why)),
		TLS_NOT_ADDED);
	assert_non_null(strstr(why, "too small"));
	tls_setup_free(&s);
	given_done(&odd_curve);
	given_done(&short_rsa);
}

/* ---- OCSP -----------------------------------------------------------------------------
 */

/* A response about MAIN_EC (or another) in DER; ages in seconds from now. */
static struct view
response(int about, int status, long from, long until)
{
	static uint8_t der[4096];
	uint8_t *p = der;
	OCSP_BASICRESP *b = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), given[about].x, given[about].x);
	ASN1_TIME *begin = X509_gmtime_adj(NULL, from),
		  *end = X509_gmtime_adj(NULL, until);
	ASN1_TIME *revoked = X509_gmtime_adj(NULL, from);

	assert_non_null(OCSP_basic_add1_status(b, id, status, 0,
		status == V_OCSP_CERTSTATUS_REVOKED ? revoked : NULL, begin, end));
	assert_int_equal(OCSP_basic_sign(b, given[MAIN_EC].x, given[MAIN_EC].key,
				 EVP_sha256(), NULL, 0),
		1);
	OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, b);
	int n = i2d_OCSP_RESPONSE(r, NULL);
	assert_true(n > 0 && (size_t)n <= sizeof(der));
	(void)i2d_OCSP_RESPONSE(r, &p);
	OCSP_RESPONSE_free(r);
	OCSP_BASICRESP_free(b);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(begin);
	ASN1_TIME_free(end);
	ASN1_TIME_free(revoked);
	return (struct view){der, (size_t)n};
}

static long
stapled(struct tls_context *c, int version, const char *signatures)
{
	struct talk t;
	const uint8_t *p = NULL;

	talk_begin(&t, clients, c, NULL);
	talk_version(&t, version);
	if (signatures)
		assert_int_equal(
			SSL_set1_sigalgs_list(t.client, plain_text(signatures)), 1);
	assert_int_equal(SSL_set_tlsext_status_type(t.client, TLSEXT_STATUSTYPE_ocsp), 1);
	assert_int_equal(talk_shake(&t), STREAM_OK);
	long n = SSL_get_tlsext_status_ocsp_resp(t.client, &p);
	talk_end(&t);
	return n;
}

static void
good_responses_are_stapled(void **state)
{
	struct view der = response(MAIN_EC, V_OCSP_CERTSTATUS_GOOD, -60, 3600);
	struct tls_context *c = all_with(nothing(), der, TLS_ADDED);

	(void)state;
	assert_int_equal(stapled(c, TLS1_3_VERSION, NULL), der.n);
	assert_int_equal(stapled(c, TLS1_2_VERSION, NULL), der.n);
	/* It belongs to one certificate. */
	assert_int_equal(stapled(c, TLS1_3_VERSION, "rsa_pss_rsae_sha256"), -1);
	tls_context_unref(&c);
}

static void
bad_responses_are_not_stapled(void **state)
{
	static const struct {
		int about, status;
		long from, until;
	} rows[] = {
		{MAIN_EC, V_OCSP_CERTSTATUS_GOOD, -7200, -3600},
		{MAIN_RSA, V_OCSP_CERTSTATUS_GOOD, -60, 3600},
		{MAIN_EC, V_OCSP_CERTSTATUS_REVOKED, -60, 3600},
		{MAIN_EC, V_OCSP_CERTSTATUS_UNKNOWN, -60, 3600},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view der = response(
			rows[i].about, rows[i].status, rows[i].from, rows[i].until);
		struct tls_context *c = all_with(nothing(), der, TLS_ADDED_WITHOUT_OCSP);
		assert_int_equal(stapled(c, TLS1_3_VERSION, NULL), -1);
		tls_context_unref(&c);
	}
	struct view whole = response(MAIN_EC, V_OCSP_CERTSTATUS_GOOD, -60, 3600);
	struct tls_context *c = all_with(
		nothing(), (struct view){whole.p, whole.n - 1}, TLS_ADDED_WITHOUT_OCSP);
	tls_context_unref(&c);
}

/* One that is good when it is loaded is not sent once its time is over. */
static void
a_response_ends_with_its_time(void **state)
{
	struct view der = response(MAIN_EC, V_OCSP_CERTSTATUS_GOOD, -60, 4);
	struct tls_context *c = all_with(nothing(), der, TLS_ADDED);
	int seen = 0;

	(void)state;
	for (int i = 0; i < 500 && stapled(c, TLS1_3_VERSION, NULL) > 0; i++) {
		seen++;
		(void)poll(NULL, 0, 20);
	}
	assert_true(seen > 0);
	assert_int_equal(stapled(c, TLS1_3_VERSION, NULL), -1);
	tls_context_unref(&c);
}

/* ---- tickets
 * --------------------------------------------------------------------------- */

/* Whether *session is resumed; then it is the new one. */
static bool
resumes(struct tls_context *c, int version, const struct tls_rules *rules,
	const char *name, SSL_SESSION **session)
{
	struct talk t;

	talk_begin(&t, clients, c, rules);
	talk_version(&t, version);
	if (name)
		assert_int_equal(SSL_set_tlsext_host_name(t.client, plain_text(name)), 1);
	if (*session)
		assert_int_equal(SSL_set_session(t.client, *session), 1);
	assert_int_equal(talk_shake(&t), STREAM_OK);
	talk_echo(&t);
	bool resumed = stream_resumed(&t.server);
	assert_int_equal(resumed, SSL_session_reused(t.client));
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(t.client);
	talk_end(&t);
	return resumed;
}

static void
fronts_open_each_others_tickets(void **state)
{
	struct view keys = {tickets, TLS_TICKET_KEY_OCTETS};
	struct tls_context *a = all(keys), *b = all(keys);
	struct tls_rules here = {.listener = VIEW("pop3s")};

	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_SESSION *s = NULL;
		assert_false(resumes(a, v, &here, "main.test", &s));
		assert_true(resumes(b, v, &here, "main.test", &s));
		assert_true(resumes(a, v, &here, "main.test", &s));
		SSL_SESSION_free(s);
	}
	tls_context_unref(&a);
	tls_context_unref(&b);
}

static void
ticket_keys_rotate(void **state)
{
	/* The second generation seals with a new key and still opens the old one's. */
	struct tls_context *old = all((struct view){tickets, TLS_TICKET_KEY_OCTETS});
	uint8_t two[2 * TLS_TICKET_KEY_OCTETS];
	memcpy(two, tickets + 80, 80);
	memcpy(two + 80, tickets, 80);
	struct tls_context *both = all((struct view){two, sizeof(two)});
	struct tls_context *later = all((struct view){two, TLS_TICKET_KEY_OCTETS});
	struct tls_context *none = all(nothing());

	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_SESSION *s = NULL, *first = NULL;
		assert_false(resumes(old, v, NULL, NULL, &first));
		s = first;
		assert_true(SSL_SESSION_up_ref(s));
		assert_true(resumes(both, v, NULL, NULL, &s));
		/* What it was given now is sealed with the new key alone. */
		assert_true(resumes(later, v, NULL, NULL, &s));
		assert_false(resumes(later, v, NULL, NULL, &first));
		assert_false(resumes(none, v, NULL, NULL, &s));
		assert_false(SSL_SESSION_has_ticket(s));
		SSL_SESSION_free(s);
		SSL_SESSION_free(first);
	}
	tls_context_unref(&old);
	tls_context_unref(&both);
	tls_context_unref(&later);
	tls_context_unref(&none);
}

static void
tickets_belong_to_a_listener_and_a_name(void **state)
{
	struct tls_context *c = all((struct view){tickets, sizeof(tickets)});
	struct tls_rules here = {.listener = VIEW("inside")},
			 there = {.listener = VIEW("outside")};
	struct tls_rules ask = {.listener = VIEW("inside"), .client_certificates = 1};

	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_SESSION *s = NULL;
		assert_false(resumes(c, v, &here, "main.test", &s));
		assert_false(resumes(c, v, &there, "main.test", &s));
		assert_true(resumes(c, v, &there, "main.test", &s));
		assert_false(resumes(c, v, &there, "a.wild.test", &s));
		assert_false(resumes(c, v, &there, NULL, &s));
		assert_false(resumes(c, v, &here, NULL, &s));
		/* Where certificates count, none is taken and none is made. */
		assert_false(resumes(c, v, &ask, NULL, &s));
		assert_false(SSL_SESSION_has_ticket(s));
		SSL_SESSION_free(s);
	}
	tls_context_unref(&c);
}

/* ---- clients
 * ------------------------------------------------------------------------------ */

static void
client_certificates_are_proven(void **state)
{
	struct tls_context *c = all((struct view){tickets, sizeof(tickets)});
	struct tls_rules rules = {.client_certificates = 0};
	uint8_t want[32], got[32];
	unsigned int n;

	(void)state;
	assert_int_equal(X509_digest(person.x, EVP_sha256(), want, &n), 1);
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++)
		for (uint8_t how = 0; how <= 2; how++)
			for (int has = 0; has <= 1; has++) {
				struct talk t;
				rules.client_certificates = how;
				talk_begin(&t, clients, c, &rules);
				talk_version(&t, v);
				if (has)
					assert_int_equal(
						SSL_use_cert_and_key(t.client, person.x,
							person.key, NULL, 1),
						1);
				enum stream_result r = talk_shake(&t);
				assert_int_equal(
					r, how == 2 && !has ? STREAM_ERROR : STREAM_OK);
				bool known = stream_certificate(&t.server, got);
				assert_int_equal(known, how > 0 && has);
				if (known)
					assert_memory_equal(got, want, 32);
				talk_end(&t);
			}
	tls_context_unref(&c);
}

static void
binding_is_the_clients_too(void **state)
{
	struct tls_context *c = all((struct view){tickets, sizeof(tickets)});
	struct tls_rules old = {.floor = TLS_FLOOR_10};
	uint8_t got[TLS_BINDING_OCTETS_MAX], want[TLS_BINDING_OCTETS_MAX];
	size_t n = 0;
	struct talk t;

	(void)state;
	talk_begin(&t, clients, c, NULL);
	talk_version(&t, TLS1_3_VERSION);
	assert_int_equal(stream_binding(&t.server, got, &n), TLS_BINDING_NONE);
	assert_int_equal(talk_shake(&t), STREAM_OK);
	assert_int_equal(stream_binding(&t.server, got, &n), TLS_BINDING_EXPORTER);
	assert_int_equal(n, 32);
	assert_int_equal(SSL_export_keying_material(t.client, want, 32,
				 "EXPORTER-Channel-Binding", 24, NULL, 0, 0),
		1);
	assert_memory_equal(got, want, 32);
	assert_false(stream_is_old(&t.server));
	talk_end(&t);

	SSL_SESSION *session = NULL;
	for (int resumed = 0; resumed <= 1; resumed++) {
		talk_begin(&t, clients, c, NULL);
		talk_version(&t, TLS1_2_VERSION);
		if (session)
			assert_int_equal(SSL_set_session(t.client, session), 1);
		assert_int_equal(talk_shake(&t), STREAM_OK);
		assert_int_equal(stream_resumed(&t.server), resumed);
		assert_int_equal(stream_binding(&t.server, got, &n), TLS_BINDING_UNIQUE);
		size_t m = resumed ? SSL_get_peer_finished(t.client, want, sizeof(want))
				   : SSL_get_finished(t.client, want, sizeof(want));
		assert_int_equal(n, m);
		assert_memory_equal(got, want, n);
		talk_echo(&t);
		SSL_SESSION_free(session);
		session = SSL_get1_session(t.client);
		talk_end(&t);
	}
	SSL_SESSION_free(session);

	talk_begin(&t, clients, c, NULL);
	talk_version(&t, TLS1_2_VERSION);
	(void)SSL_set_options(t.client, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	assert_int_equal(talk_shake(&t), STREAM_OK);
	assert_int_equal(stream_binding(&t.server, got, &n), TLS_BINDING_NONE);
	talk_end(&t);

	talk_begin(&t, clients, c, &old);
	talk_version(&t, TLS1_1_VERSION);
	assert_int_equal(talk_shake(&t), STREAM_OK);
	assert_int_equal(stream_binding(&t.server, got, &n), TLS_BINDING_NONE);
	assert_true(stream_is_old(&t.server));
	talk_end(&t);
	tls_context_unref(&c);
}

/* The profile old is old in its hashes, not in its key exchange. */
static void
static_rsa_is_never_there(void **state)
{
	struct tls_context *c = all(nothing());
	struct tls_rules old = {.floor = TLS_FLOOR_10};
	struct talk t;

	(void)state;
	for (int v = TLS1_VERSION; v <= TLS1_2_VERSION; v++) {
		talk_begin(&t, clients, c, &old);
		talk_version(&t, v);
		SSL_set_security_level(t.client, 0);
		assert_int_equal(SSL_set_cipher_list(t.client, "kRSA:aNULL"), 1);
		assert_int_equal(talk_shake(&t), STREAM_ERROR);
		talk_end(&t);
	}
	tls_context_unref(&c);
}

/* A context goes with its last stream, not before. */
static void
standing_streams_keep_their_context(void **state)
{
	struct tls_context *c = all((struct view){tickets, sizeof(tickets)});
	struct talk t;

	(void)state;
	talk_begin(&t, clients, c, NULL);
	assert_int_equal(talk_shake(&t), STREAM_OK);
	tls_context_unref(&c);
	talk_echo(&t);
	talk_end(&t);
}

/* Octets that the server has not taken from its socket yet. */
static int
waiting(const struct talk *t)
{
	int n = -1;

	assert_int_equal(ioctl(t->server.fd, FIONREAD, &n), 0);
	return n;
}

/* Who says nothing in many records does not keep the others of its front waiting.
 */
static void
records_without_content_are_taken_in_turns(void **state)
{
	struct tls_context *c = all(nothing());
	struct talk t;
	char got[16];
	size_t n;
	int turns = 0;

	(void)state;
	talk_begin(&t, clients, c, NULL);
	talk_version(&t, TLS1_3_VERSION);
	assert_int_equal(talk_shake(&t), STREAM_OK);
	talk_echo(&t);
	/* In few writes, so that the socket takes many. */
	BIO *many = BIO_new(BIO_s_mem());
	assert_non_null(many);
	assert_int_equal(BIO_up_ref(SSL_get_wbio(t.client)), 1);
	BIO *own = SSL_get_wbio(t.client);
	SSL_set0_wbio(t.client, many);
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(
			SSL_key_update(t.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(t.client), 1);
	}
	struct view octets = given_text(many);
	assert_int_equal(send(t.client_fd, octets.p, octets.n, 0), octets.n);
	int before = waiting(&t);
	assert_true(before > 100000);
	do {
		assert_int_equal(
			stream_read(&t.server, got, sizeof(got), &n), STREAM_AGAIN);
		assert_false(stream_has_pending(&t.server));
		assert_true(before - waiting(&t) <= 80000);
		before = waiting(&t);
		turns++;
	} while (before > 0);
	assert_true(turns > 1);
	SSL_set0_wbio(t.client, own);
	talk_echo(&t);
	talk_end(&t);
	tls_context_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_choose_certificates),
		cmocka_unit_test(wrong_set_ups_are_refused),
		cmocka_unit_test(good_responses_are_stapled),
		cmocka_unit_test(bad_responses_are_not_stapled),
		cmocka_unit_test(a_response_ends_with_its_time),
		cmocka_unit_test(fronts_open_each_others_tickets),
		cmocka_unit_test(ticket_keys_rotate),
		cmocka_unit_test(tickets_belong_to_a_listener_and_a_name),
		cmocka_unit_test(client_certificates_are_proven),
		cmocka_unit_test(binding_is_the_clients_too),
		cmocka_unit_test(static_rsa_is_never_there),
		cmocka_unit_test(standing_streams_keep_their_context),
		cmocka_unit_test(records_without_content_are_taken_in_turns),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
