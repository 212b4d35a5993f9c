/*
 * restante-torture: what RFCs demand of a POP3 server, and what attackers try on one,
 * tried on any.
 */
#include "os/clock.h"
#include "torture/torture_facts.h"
#include "torture/torture_run.h"
#include "torture/torture_talk.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* base64 of the response of AUTH PLAIN (RFC 4616). */
static bool
make_plain(struct torture *all)
{
	uint8_t response[TORTURE_NAME_MAX + SECRET_OCTETS_MAX + 2];
	size_t user = strlen(all->options.user), n = user + all->password.n + 2;

	if (n > sizeof(response) || (n + 2) / 3 * 4 + 1 > sizeof(all->plain))
		return false;
	response[0] = '\0';
	memcpy(response + 1, all->options.user, user);
	response[1 + user] = '\0';
	memcpy(response + 2 + user, all->password.octets, all->password.n);
	(void)EVP_EncodeBlock((uint8_t *)all->plain, response, (int)n);
	explicit_bzero(response, sizeof(response));
	return true;
}

static bool
read_password(struct torture *all)
{
	struct torture_options *o = &all->options;
	char why[512];

	if (!o->user)
		return true;
	if (secret_read(&o->from, "Password: ", &all->password, why, sizeof(why)) < 0) {
		fprintf(stderr, "restante torture: %s\n", why);
		return false;
	}
	if (memchr(all->password.octets, '\r', all->password.n) || !make_plain(all)) {
		fprintf(stderr, "restante torture: no login can carry that password\n");
		return false;
	}
	return true;
}

static bool
make_tls(struct torture *all)
{
	const struct torture_options *o = &all->options;
	SSL_CTX *c = all->tls = SSL_CTX_new(TLS_client_method());
	X509_VERIFY_PARAM *rules = c ? SSL_CTX_get0_param(c) : NULL;

	if (!c || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1)
		return false;
	if (o->insecure)
		return true;
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	bool believed = o->ca ? SSL_CTX_load_verify_file(c, o->ca) == 1
			      : SSL_CTX_set_default_verify_paths(c) == 1;
	if (!believed) {
		fprintf(stderr, "restante torture: %s: no certificates can be read\n",
			o->ca ? o->ca : "the system's store");
		return false;
	}
	bool number = strspn(o->host, "0123456789.:") == strlen(o->host);
	return number ? X509_VERIFY_PARAM_set1_ip_asc(rules, o->host) == 1
		      : X509_VERIFY_PARAM_set1_host(rules, o->host, 0) == 1;
}

static bool
survey(struct torture *all)
{
	static const struct torture_case none = {.id = NULL};
	struct trial t = {.all = all, .c = &none, .link.fd = -1};

	t.until_ms = clock_ms() + all->options.timeout_ms;
	bool good = torture_survey(&t);
	link_close(&t.link);
	if (!good)
		fprintf(stderr, "restante torture: %s port %u cannot be tried: %s\n",
			all->options.host, all->options.port, t.why);
	return good;
}

int
main(int argc, char **argv)
{
	static struct torture all;
	bool end;

	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	int status = torture_options_read(&all.options, argc, argv, &end);
	if (status != 0 || end)
		return status;
	if (all.options.list)
		return torture_run(&all);
	status = 2;
	if (make_tls(&all) && read_password(&all) && survey(&all))
		status = torture_run(&all);
	secret_wipe(&all.password);
	explicit_bzero(all.plain, sizeof(all.plain));
	SSL_CTX_free(all.tls);
	free(all.mails);
	return status;
}
