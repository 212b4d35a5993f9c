#include "unit.h"

#include "conf_loading.h"

#include <string.h>

#define TLS    "tls_certificate = /c\ntls_key = /k\n"
#define OPEN   "plaintext = always\n[listener a]\naddress = 127.0.0.1:110\n"
#define SECURE TLS "[listener a]\naddress = 127.0.0.1:110\n"

static const struct {
	const char *text, *error;
} errors[] = {
	{"databases = fil\n" OPEN,
		"f:1: databases: fil is not known, did you mean file?"},
	{"databases = xxxxxx\n" OPEN, "f:1: databases: xxxxxx is not known, see"},
	{"databases = file file\n" OPEN, "f:1: databases: file is there twice"},
	{"databases = command file\n" OPEN, "f:1: databases: command answers for every"},
	{"databases = file sql\n" OPEN,
		"f:1: databases: sql needs sql_database (sqlite:PATH"},
	{"databases = ldap\nldap_base = dc=x\n" OPEN,
		"f:1: databases: ldap needs ldap_uri"},
	{"databases = ldap\nldap_uri = ldap://h\n" OPEN,
		"f:1: databases: ldap needs ldap_base"},
	{"databases = command\n" OPEN, "f:1: databases: command needs command_path"},
	{"ldap_bind_dn = cn=x\n" OPEN,
		"f:1: ldap_bind_dn and ldap_bind_password_file belong together"},
	{"ldap_bind_password_file = /p\n" OPEN, "f:1: ldap_bind_dn and ldap_bind_passw"},
	{"pam_service = ../x\n" OPEN, "f:1: pam_service = ../x: must be the name of a"},
	{"pam_service = .x\n" OPEN, "f:1: pam_service = .x: must be the name of a file"},
	{"pam_service = a b\n" OPEN, "f:1: pam_service = a b: must be the name of a"},
	{"sql_stores = hsh\n" OPEN, "f:1: sql_stores: hsh is not known, did you mean"},
	{"sql_stores = plain plain\n" OPEN, "f:1: sql_stores: plain is there twice"},
	{"ldap_auth_bind = no\nldap_stores = md5\n" OPEN,
		"f:2: ldap_stores: md5 is not known"},
	{"ldap_stores = hash\n" OPEN, "f:1: ldap_stores counts only where passwords"},
	{"oauth_jwks = /k\noauth_introspection = https://h\n" OPEN,
		"f:2: oauth_jwks and oauth_introspection are two ways"},
	{"oauth_jwks = /k\noauth_issuer = i\n" OPEN,
		"f:1: oauth_jwks needs oauth_issuer and oauth_audience"},
	{"oauth_jwks = /k\noauth_audience = a\n" OPEN,
		"f:1: oauth_jwks needs oauth_issuer and oauth_audience"},
	{"oauth_introspection = https://h\n" OPEN,
		"f:1: oauth_introspection needs oauth_audience or oauth_scope"},
	{"oauth_client_id = x\n" OPEN, "f:1: oauth_client_id and oauth_secret_file"},
	{"oauth_secret_file = /s\n" OPEN, "f:1: oauth_client_id and oauth_secret_file"},
	{"oauth_issuer = i\n" OPEN, "f:1: oauth_issuer is of tokens: set oauth_jwks"},
	{"krb5_keytab = /k\n" OPEN, "f:1: krb5_keytab and krb5_realm belong together"},
	{"krb5_realm = R\n" OPEN, "f:1: krb5_keytab and krb5_realm belong together"},
	{"mechanisms = PLIAN\n" OPEN,
		"f:1: mechanisms: PLIAN is not known, did you mean PLAIN?"},
	{"mechanisms = KPOP\n" OPEN, "f:1: mechanisms: KPOP is not known"},
	{"mechanisms = plain PLAIN\n" OPEN, "f:1: mechanisms: PLAIN is there twice"},
	{"mechanisms = GSSAPI\n" OPEN, "f:1: mechanisms: GSSAPI needs krb5_keytab"},
	{"mechanisms = XOAUTH2\n" OPEN, "f:1: mechanisms: OAUTHBEARER and XOAUTH2 need"},
	{"mechanisms = EXTERNAL\n" OPEN, "f:1: mechanisms: EXTERNAL needs a listener"},
	{SECURE "mechanisms = EXTERNAL\n", "f:5: mechanisms: EXTERNAL needs a listener"},
	{SECURE "mechanisms = APOP\n",
		"f:5: mechanisms: APOP on listener a needs `apop = yes`"},
	{"trusted_networks = 10.0.0.1/8\n" OPEN,
		"f:1: trusted_networks: 10.0.0.1/8: must"},
	{"old_tls_networks = all\n" OPEN, "f:1: old_tls_networks: all: must be"},
	{OPEN "proxy_networks = 1.2.3\n", "f:4: proxy_networks: 1.2.3: must be"},
	{OPEN "xclient_networks = ::1/129\n", "f:4: xclient_networks: ::1/129: must be"},
	{OPEN "client_certificates = ask\n", "f:4: client_certificates come with TLS"},
	{"language = fr\n" OPEN, "f:1: language = fr: must be en or de"},
	{OPEN "protocol = kpop\n", "f:2: listener a speaks kpop: set krb5_keytab"},
	{OPEN "protocol = kpop\napop = yes\n", "f:5: apop is for `protocol = pop3`"},
	{"tls_ocsp = /o\n" OPEN, "f:1: tls_ocsp is of tls_certificate"},
	{OPEN "[certificate b]\ncertificate = /c\n", "f:4: certificate b needs"},
	{SECURE "[certificate b]\n[certificate b]\n",
		"f:6: certificate b is there since"},
	{SECURE "[certificate b c]\n", "f:5: a certificate's name has 1 to 64"},
	{SECURE "[certificate b]\naddress = 1\n",
		"f:6: address is no option of a certif"},
	{SECURE "[certificate b]\nkee = /k\n",
		"f:6: kee: no such option, did you mean key"},
	{OPEN "protocol = lmtp\napop = yes\n",
		"f:5: apop is for `protocol = pop3`: nobody"},
};

static void
every_error_says_what_to_do(void **state)
{
	(void)state;
	struct loading l;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		assert_true(loading(&l, errors[i].text) > 0);
		if (!strstr(l.text, errors[i].error))
			print_error("wanted: %s\ngot: %s", errors[i].error, l.text);
		assert_non_null(strstr(l.text, errors[i].error));
		conf_free(&l.conf);
	}
}

static void
lists_become_what_messages_carry(void **state)
{
	(void)state;
	struct loading l;

	assert_int_equal(
		loading(&l,
			"databases = sql file\nsql_database = sqlite:/d\n"
			"sql_stores = Scram-SHA-256, hash\nmechanisms = user "
			"scram-sha-256\n"
			"trusted_networks = 10.0.0.0/8\n" SECURE
			"client_certificates = require\n"
			"proxy_networks = 192.0.2.1, ::1\nmechanisms = EXTERNAL\n"
			"[listener b]\naddress = 127.0.0.1:995\ntls = implicit\n"),
		0);
	assert_int_equal(l.conf->backends_n, 2);
	assert_int_equal(l.conf->backends[0], 3);
	assert_int_equal(l.conf->backends[1], 1);
	assert_int_equal(l.conf->stores[0], 3);
	assert_int_equal(l.conf->stores[1], 0);
	assert_int_equal(l.conf->mechanism_bits, 1u << 1 | 1u << 7);
	assert_int_equal(l.conf->trusted.n, CONF_NETWORK_OCTETS);
	assert_int_equal(l.conf->trusted.octets[16], 104);
	assert_int_equal(l.conf->listeners[0].proxies.n, 2 * CONF_NETWORK_OCTETS);
	assert_int_equal(l.conf->listeners[0].mechanism_bits, 1u << 9);
	assert_int_equal(l.conf->listeners[1].mechanism_bits, 1u << 1 | 1u << 7);
	assert_int_equal(
		l.conf->listeners[0].client_certificates, CONF_CERTIFICATES_REQUIRE);
	assert_true(l.conf->has_tls);
	conf_free(&l.conf);
	/* Nothing said: all that can work. */
	assert_int_equal(
		loading(&l, SECURE "[certificate b]\ncertificate = /d\nkey = /e\n"), 0);
	assert_int_equal(l.conf->listeners[0].mechanism_bits, UINT32_MAX);
	assert_int_equal(l.conf->certificates_n, 1);
	assert_string_equal(l.conf->certificates[0].key, "/e");
	conf_free(&l.conf);
	/* A section alone is a certificate too. */
	assert_int_equal(loading(&l,
				 "[listener a]\naddress = 127.0.0.1:995\ntls = implicit\n"
				 "[certificate b]\ncertificate = /d\nkey = /e\n"),
		0);
	conf_free(&l.conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_says_what_to_do),
		cmocka_unit_test(lists_become_what_messages_carry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
