/*
 * What comes before the session: whose connection it is (PROXY header, XCLIENT), what it
 * may do, TLS as the listener wants it, and the Kerberos ticket of KPOP.
 */
#include "front/opening.h"

#include "base/check.h"
#include "os/clock.h"
#include "stat/stat.h"
#include "wire/proxy_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PROXY_MS 5000U	/* for the whole header */
#define CLOSE_MS 30000U /* for the client to take our last words */

#define BIT(mechanism) (UINT32_C(1) << (mechanism))
#define PLUS_BITS      (BIT(MECHANISM_SCRAM_SHA_1_PLUS) | BIT(MECHANISM_SCRAM_SHA_256_PLUS))

/* What has come of a header. */
struct proxy_part {
	uint16_t n;
	uint8_t octets[PROXY_HEADER_MAX];
};

/* ---- what is true of a connection ----------------------------------------- */

static bool
is_loopback(const uint8_t a[FRONT_ADDRESS_OCTETS])
{
	static const uint8_t v6[FRONT_ADDRESS_OCTETS] = {[15] = 1};
	static const uint8_t v4[13] = {[10] = 0xFF, [11] = 0xFF, [12] = 127};

	return memcmp(a, v6, sizeof(v6)) == 0 || memcmp(a, v4, sizeof(v4)) == 0;
}

static uint32_t
mechanisms_of(const struct conn *c)
{
	uint32_t m = c->front->offer.mechanisms & c->rules->mechanisms;

	return c->rules->apop ? m : m & ~BIT(MECHANISM_APOP);
}

struct session_peer
opening_peer(const struct conn *c)
{
	const struct rules *r = c->rules;
	/* Who only says that he is this machine is not. */
	bool loopback = is_loopback(c->address) && is_loopback(c->via);

	return (struct session_peer){
		.tls = r->implicit_tls,
		.tls_available = c->front->tls && !r->implicit_tls,
		.plaintext = r->plaintext == 2 || (r->plaintext == 1 && loopback),
		.xclient = c->may_xclient,
		.mechanisms = mechanisms_of(c),
	};
}

void
opening_session(struct conn *c, bool kpop)
{
	c->may_xclient = networks_have(&c->rules->xclients, c->address);
	struct session_peer peer = opening_peer(c);
	peer.kpop = kpop;
	session_init(&c->session, &c->options->session, &peer, c->begun_ms);
	/* Without -PLUS to be offered, binding data would make GNU SASL refuse plain
	 * SCRAM.
	 */
	c->has_plus = peer.mechanisms & PLUS_BITS;
}

/* ---- TLS ------------------------------------------------------------------- */

enum stream_result
opening_tls(struct conn *c)
{
	const struct rules *r = c->rules;
	struct tls_rules tls = {.floor = r->tls_profile,
		.client_certificates = r->client_certificates,
		.listener = {r->name, r->name_n}};

	if (!c->front->tls)
		return STREAM_ERROR;
	if (networks_have(&r->old_tls, c->address))
		tls.floor = TLS_FLOOR_10;
	return stream_start_server(&c->stream, c->front->tls, &tls);
}

void
opening_bound(struct conn *c)
{
	uint8_t print[TLS_FINGERPRINT_OCTETS];
	bool binding = c->has_plus && stream_may_bind(&c->stream);
	bool certificate = (c->rules->asserts & ASSERT_CERTIFICATE) &&
		stream_certificate(&c->stream, print);

	session_bound(&c->session, binding, certificate);
}

int
opening_begin(struct conn *c)
{
	if (!c->rules->implicit_tls) {
		c->at = c->rules->kpop ? CONN_KPOP : CONN_RUN;
		return 0;
	}
	c->at = CONN_HANDSHAKE;
	return opening_tls(c) == STREAM_OK ? 0 : -EPROTO;
}

/* ---- whose connection it is ------------------------------------------------ */

static enum step
away(struct conn *c, enum turned_away why)
{
	report_away(c->front, why, c->via);
	return STEP_DEAD;
}

/* Exactly the header is taken from the socket: what follows belongs to TLS or POP3. */
static ssize_t
take_header(struct conn *c, struct proxy_header *h, enum proxy_outcome *ret)
{
	struct proxy_part *p = c->proxy;
	ssize_t got = recv(c->source.fd, p->octets + p->n, sizeof(p->octets) - p->n,
		MSG_PEEK | MSG_DONTWAIT);

	if (got < 0)
		return -errno;
	if (got == 0)
		return -EPIPE;
	*ret = proxy_header_read((struct view){p->octets, p->n + (size_t)got}, h);
	if (*ret == PROXY_BAD)
		return -EPROTO;
	CHECK(*ret == PROXY_MORE || h->octets > p->n);
	size_t take = *ret == PROXY_MORE ? (size_t)got : (size_t)(h->octets - p->n);
	if (recv(c->source.fd, p->octets + p->n, take, MSG_DONTWAIT) != (ssize_t)take)
		return -EPIPE;
	p->n = (uint16_t)(p->n + take);
	return 0;
}

static enum step
proxied(struct conn *c, const struct proxy_header *h, enum proxy_outcome o)
{
	free(c->proxy);
	c->proxy = NULL;
	if (o == PROXY_ADDRESS) {
		memcpy(c->address, h->address, sizeof(c->address));
		c->port = h->port;
		c->is_proxied = true;
	}
	if (!accept_admit(c->front, c->rules, c->source.fd, c->address, &c->peer_hash))
		return STEP_DEAD;
	opening_session(c, false);
	return opening_begin(c) == 0 ? STEP_GO : STEP_DEAD;
}

enum step
opening_proxy(struct conn *c, struct turn *t)
{
	struct proxy_header h;
	enum proxy_outcome o;

	if (!c->proxy) {
		c->proxy = calloc(1, sizeof(*c->proxy));
		c->close_by_ms = c->begun_ms + PROXY_MS;
		return c->proxy ? STEP_WAIT : STEP_DEAD;
	}
	if (!t->readable)
		return STEP_WAIT;
	ssize_t r = take_header(c, &h, &o);
	if (r == -EAGAIN || r == -EINTR || (r == 0 && o == PROXY_MORE)) {
		t->readable = false;
		return STEP_WAIT;
	}
	if (r == -EPROTO)
		return away(c, AWAY_NO_HEADER);
	return r < 0 ? STEP_DEAD : proxied(c, &h, o);
}

enum step
opening_peer_said(struct conn *c)
{
	struct pop3_peer said = session_new_peer(&c->session);
	uint8_t address[FRONT_ADDRESS_OCTETS];
	uint64_t hash;

	memcpy(address, said.has_address ? said.address : c->address, sizeof(address));
	c->at = CONN_RUN;
	/* The place of the old address is free before the new one is counted. */
	peers_remove(&c->front->peers, c->peer_hash);
	c->peer_hash = 0;
	if (!accept_admit(c->front, c->rules, -1, address, &hash)) {
		session_end(&c->session, SESSION_TURNED_AWAY);
		return STEP_GO;
	}
	c->peer_hash = hash;
	memcpy(c->address, address, sizeof(address));
	c->port = said.has_port ? said.port : c->port;
	c->is_proxied = true;
	/* Once: behind a proxy that hands on all that follows speaks its client. */
	c->may_xclient = false;
	struct session_peer peer = opening_peer(c);
	session_peer_changed(&c->session, &peer);
	return STEP_GO;
}

/* ---- Kerberos, then POP3 ---------------------------------------------------- */

static enum step
close_unserved(struct conn *c, enum session_reason why)
{
	session_end(&c->session, why);
	c->at = CONN_CLOSING;
	c->close_by_ms = loop_now_ms(c->front->loop) + CLOSE_MS;
	return STEP_GO;
}

void
opening_kpop_refused(struct conn *c, uint8_t code, uint32_t delay_ms)
{
	c->number = 0;
	report_refusal(code);
	c->at = CONN_KPOP_NO;
	c->close_by_ms = loop_now_ms(c->front->loop) + delay_ms;
}

enum step
opening_kpop(struct conn *c, struct turn *t)
{
	struct front *f = c->front;
	struct buf out = {f->out, t->out.n, FRONT_REPLY_OCTETS, false};
	struct view request = {NULL, 0};
	enum kpop_outcome o = kpop_read(&c->kpop, &t->in, &out, &request);

	t->out.n = out.n;
	if (o == KPOP_BAD) {
		stat_add(STAT_KPOP_BAD, 1);
		return close_unserved(c, SESSION_BAD_COMMANDS);
	}
	if (o == KPOP_REQUEST) {
		c->at = CONN_KPOP_LOGIN;
		uint8_t code = auth_ask_kpop(c, request);
		if (code == 0)
			return STEP_WAIT;
		opening_kpop_refused(c, code, 0);
		return STEP_GO;
	}
	switch (conn_in_more(c, t)) {
	case IO_OK: return STEP_GO;
	case IO_WAIT: return STEP_WAIT;
	case IO_END:
	case IO_LOST: break;
	}
	return STEP_DEAD;
}

enum step
opening_kpop_yes(struct conn *c, struct turn *t)
{
	struct front *f = c->front;
	struct buf out = {f->out, t->out.n, FRONT_REPLY_OCTETS, false};

	kpop_put_yes((struct view){c->challenge, c->challenge_n}, &out);
	CHECK(!out.full);
	t->out.n = out.n;
	auth_drop_challenge(c);
	opening_session(c, true);
	if (c->stream.ssl)
		opening_bound(c);
	session_set_id(&c->session, c->id);
	c->at = CONN_RUN;
	return STEP_GO;
}

enum step
opening_kpop_no(struct conn *c, struct turn *t)
{
	struct front *f = c->front;
	struct buf out = {f->out, t->out.n, FRONT_REPLY_OCTETS, false};

	if (loop_now_ms(f->loop) < c->close_by_ms)
		return STEP_WAIT;
	kpop_put_no(clock_unix_s(), VIEW("login refused"), &out);
	t->out.n = out.n;
	return close_unserved(c, SESSION_LOGIN_FAILURES);
}
