/*
 * krb5_kpop.c: one AP-REQ of KPOP. Nothing after it proves that the client is the one who
 * made it, so one that is sent again is refused: all that were seen are remembered for as
 * long as their time counts, and what is older than this process is refused at first.
 */
#include "base/check.h"
#include "helper/krb5_parts.h"
#include "os/clock.h"

#include <string.h>

/* ---- one request ---------------------------------------------------------------------
 */

struct request {
	krb5_auth_context auth;
	krb5_ticket *ticket;
	krb5_authenticator *authenticator;
	krb5_flags options;
	char *server, *client;
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* pop/HOST, or host/HOST as old clients ask for; the keytab says which hosts are ours. */
static bool
is_our_service(krb5_const_principal server)
{
	static const char *const services[] = {KRB5_SERVICE, "host"};

	for (size_t i = 0; server->length == 2 && i < ARRAY_SIZE(services); i++)
		if (server->data[0].length == strlen(services[i]) &&
			memcmp(server->data[0].data, services[i], strlen(services[i])) ==
				0)
			return true;
	return false;
}

static bool
read_request(struct krb5_helper *k, struct view octets, struct request *r)
{
	krb5_data in = {
		.length = (unsigned int)octets.n, .data = (char *)(uintptr_t)octets.p};
	krb5_context c = k->context;

	return krb5_auth_con_init(c, &r->auth) == 0 &&
		krb5_rd_req(c, &r->auth, &in, NULL, k->keytab, &r->options, &r->ticket) ==
		0 &&
		r->ticket->enc_part2 &&
		krb5_auth_con_getauthenticator(c, r->auth, &r->authenticator) == 0 &&
		krb5_unparse_name(c, r->ticket->server, &r->server) == 0 &&
		krb5_unparse_name(c, r->ticket->enc_part2->client, &r->client) == 0;
}

static void
request_done(struct krb5_helper *k, struct request *r)
{
	krb5_free_unparsed_name(k->context, r->server);
	krb5_free_unparsed_name(k->context, r->client);
	if (r->authenticator)
		krb5_free_authenticator(k->context, r->authenticator);
	if (r->ticket)
		krb5_free_ticket(k->context, r->ticket);
	if (r->auth)
		(void)krb5_auth_con_free(k->context, r->auth);
}

/*
 * The checksum of GSSAPI (RFC 4121 s.4.1.1) says that the request was made for GSSAPI,
 * where a last step proves who sent it. Who overheard it there must not come with it
 * here.
 */
#define CHECKSUM_GSSAPI 0x8003

static bool
is_of_gssapi(const struct request *r)
{
	const krb5_checksum *sum = r->authenticator->checksum;

	return sum && sum->checksum_type == CHECKSUM_GSSAPI;
}

/* ---- its time ------------------------------------------------------------------------
 */

static enum ask_outcome
check_fresh(struct krb5_helper *k, const struct request *r, const char **ret_reason)
{
	/* Times of Kerberos are 32 bits without a sign beyond 2038. */
	uint64_t stamp_s = (uint32_t)r->authenticator->ctime, now_s = clock_unix_s();
	uint32_t part = (uint32_t)r->authenticator->cusec;

	if (stamp_s > now_s + KRB5_SKEW_S || now_s > stamp_s + KRB5_SKEW_S) {
		*ret_reason = "the client's clock is off by more than five minutes";
		return ANSWER_WRONG;
	}
	if (stamp_s * 1000000 + part < k->start_us) {
		*ret_reason = "the request is older than this process: the client may "
			      "try again";
		return ANSWER_TEMPORARY;
	}
	uint64_t hash =
		krb5_replay_hash(view_of(r->server), view_of(r->client), stamp_s, part);
	switch (krb5_replay_add(&k->replays, hash, stamp_s, now_s)) {
	case KRB5_NEW: return ANSWER_NAME;
	case KRB5_NO_ROOM:
		*ret_reason = "too many logins with tickets in ten minutes";
		return ANSWER_TEMPORARY;
	case KRB5_SEEN: break;
	}
	*ret_reason = "the request was sent before";
	return ANSWER_WRONG;
}

/* RFC 4120 s.3.2.4: what proves to the client that we could read its ticket. */
static bool
put_reply(struct krb5_helper *k, const struct request *r, struct buf *ret)
{
	krb5_data out = {.data = NULL};

	if ((r->options & AP_OPTS_MUTUAL_REQUIRED) == 0)
		return true;
	if (krb5_mk_rep(k->context, r->auth, &out) != 0)
		return false;
	buf_put(ret, out.data, out.length);
	krb5_free_data_contents(k->context, &out);
	return !ret->full;
}

static void
judge(struct krb5_helper *k, struct request *r, struct helper_answer *ret)
{
	ret->outcome = ANSWER_WRONG;
	if (!is_our_service(r->ticket->server)) {
		ret->reason =
			"the ticket is for another service than " KRB5_SERVICE " or host";
		return;
	}
	if (is_of_gssapi(r)) {
		ret->reason = "the request was made for GSSAPI, not for KPOP";
		return;
	}
	ret->reason = krb5_user_of(k, r->ticket->enc_part2->client, &ret->name);
	if (ret->reason)
		return;
	ret->outcome = check_fresh(k, r, &ret->reason);
	if (ret->outcome == ANSWER_NAME && !put_reply(k, r, &ret->octets)) {
		ret->outcome = ANSWER_TEMPORARY;
		ret->reason = "the answer to the ticket cannot be made";
	}
}

void
krb5_kpop(struct krb5_helper *k, const struct helper_ask *a, struct helper_answer *ret)
{
	struct request r = {.auth = NULL};

	if (read_request(k, a->secret, &r)) {
		judge(k, &r, ret);
	} else {
		ret->outcome = ANSWER_WRONG;
		ret->reason = "the ticket is no good: it has run out, is for another "
			      "service or "
			      "key, or the clocks differ";
	}
	if (ret->outcome != ANSWER_NAME)
		ret->name.n = ret->octets.n = 0;
	request_done(k, &r);
}
