#include "keys/keys.h"

#include "base/check.h"
#include "ipc/log.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define SEND_TRIES   3
#define SAY_EVERY_MS 1000

struct keys_front {
	struct source source;
	struct keys *keys;
	struct keys_front *next, **link;
	uint64_t incarnation;
	struct keys_bucket bucket;
	/* Refusals: told once a second, with their number. */
	uint64_t told_ms, refused;
};

void
keys_fault(const char *who, uint64_t incarnation, const char *what)
{
	struct log_record r;

	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_begin(&r, LOG_LEVEL_WARNING, "bad_message");
	log_str(&r, "from", who);
	if (incarnation)
		log_number(&r, "incarnation", incarnation);
	log_str(&r, "error", what);
	log_send(&r);
}

static void
front_free(struct keys_front *f)
{
	struct keys *k = f->keys;

	loop_remove(k->loop, &f->source);
	fd_close(&f->source.fd);
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	k->fronts_n--;
	loop_defer_free(k->loop, f);
}

static const char *
verdict_text(enum keys_verdict v)
{
	switch (v) {
	case KEYS_SIGN: return "signed";
	case KEYS_BAD_CONTENT: return "what it wants signed is not of a handshake";
	case KEYS_BAD_SCHEME: return "its scheme does not fit the key or the version";
	case KEYS_NO_KEY: return "there is no such key";
	case KEYS_TOO_MANY: return "it asks for too many signatures";
	case KEYS_FAILED: return "the signature could not be computed";
	}
	return "?";
}

static void
tell_refusal(struct keys_front *f, enum keys_verdict v)
{
	struct log_record r;
	uint64_t now = loop_now_ms(f->keys->loop);

	stat_add(STAT_SIGNATURES_REFUSED, 1);
	f->refused++;
	if (f->told_ms && now - f->told_ms < SAY_EVERY_MS)
		return;
	log_begin(&r, LOG_LEVEL_WARNING, "signature_refused");
	log_number(&r, "front", f->incarnation);
	log_str(&r, "reason", verdict_text(v));
	log_number(&r, "refused", f->refused);
	log_send(&r);
	f->told_ms = now;
	f->refused = 0;
}

/*
 * The monitor gives a key to us before its certificate to the fronts, but over another
 * channel: a question may be read before the key it is about.
 */
static struct keys_key *
find_key(struct keys *k, const struct msg_sign *m)
{
	struct keys_key *key = keys_find(&k->shelves, m->generation, m->index);

	if (key)
		return key;
	keys_hear_monitor(k);
	return keys_find(&k->shelves, m->generation, m->index);
}

static enum keys_verdict
answer(struct keys_front *f, const struct msg_sign *m, uint8_t *sig, size_t *n)
{
	bool legacy = false;
	enum keys_verdict v = KEYS_TOO_MANY;

	if (keys_bucket_take(&f->bucket, loop_now_ms(f->keys->loop))) {
		struct keys_key *key = find_key(f->keys, m);
		v = key ? keys_sign(key, m->scheme, m->content, sig, n, &legacy)
			: KEYS_NO_KEY;
	}
	if (v != KEYS_SIGN) {
		tell_refusal(f, v);
		return v;
	}
	stat_add(STAT_SIGNATURES, 1);
	if (!keys_is_trial(m->content))
		keys_has_signed(&f->keys->shelves, m->generation);
	if (legacy)
		stat_add(STAT_SIGNATURES_LEGACY, 1);
	return v;
}

/* False: the channel is to end. */
static bool
take_question(struct keys_front *f, const struct received *r)
{
	uint8_t sig[KEYS_SIGNATURE_MAX], octets[KEYS_SIGNATURE_MAX + 16];
	struct buf b = buf_over(octets, sizeof(octets));
	struct view payload;
	struct msg_sign m;
	size_t n = sizeof(sig);

	if (r->truncated || message_number(r->message, &payload) != MSG_SIGN ||
		!msg_sign_get(&m, payload)) {
		keys_fault("front", f->incarnation, "not a question for a signature");
		return false;
	}
	enum keys_verdict v = answer(f, &m, sig, &n);
	if (f->source.fd < 0)
		return true; /* the monitor has just said that it is gone */
	struct msg_signed s = {.question = m.question, .error = (uint8_t)v};
	if (v == KEYS_SIGN)
		s.signature = (struct view){sig, n};
	msg_signed_put(&s, &b);
	CHECK(!b.full);
	/* A front that does not take its answers gets none: it has a deadline. Its queue
	 * is empty, though, so that what lacks may be there at once. */
	int e = -EAGAIN;
	for (int i = 0; i < SEND_TRIES && e == -EAGAIN; i++)
		e = channel_send(f->source.fd, buf_view(&b), NULL, 0);
	return e == 0 || e == -EAGAIN;
}

static void
front_ready(struct source *s, uint32_t events)
{
	struct keys_front *f = (struct keys_front *)(void *)((char *)s -
		offsetof(struct keys_front, source));
	struct received *r = &f->keys->question;

	(void)events;
	/* One a round: a front has one question at a time, and all have their turn. */
	int e = channel_recv(s->fd, r, 0);
	if (e == -EAGAIN || (e == 0 && take_question(f, r)))
		return;
	if (f->source.fd >= 0)
		front_free(f);
}

void
keys_front_gone(struct keys *k, uint64_t incarnation)
{
	for (struct keys_front *f = k->fronts; f; f = f->next) {
		if (f->incarnation != incarnation)
			continue;
		front_free(f);
		return;
	}
}

int
keys_front_add(struct keys *k, uint64_t incarnation, int fd)
{
	AUTO_FD channel = fd;

	keys_front_gone(k, incarnation);
	if (k->fronts_n >= KEYS_FRONTS_MAX)
		return -ENFILE;
	struct keys_front *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->keys = k;
	f->incarnation = incarnation;
	f->source = (struct source){.fd = channel, .ready = front_ready};
	keys_bucket_fill(&f->bucket, loop_now_ms(k->loop));
	int e = loop_add(k->loop, &f->source, EPOLLIN);
	if (e < 0) {
		free(f);
		return e;
	}
	(void)fd_take(&channel);
	f->next = k->fronts;
	f->link = &k->fronts;
	if (f->next)
		f->next->link = &f->next;
	k->fronts = f;
	k->fronts_n++;
	return 0;
}
