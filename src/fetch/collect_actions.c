/*
 * collect_actions.c: what a session asks for, done: logins, letters, words.
 */
#include "fetch/collect.h"

#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static struct view
text_view(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static struct view
secret_view(const struct secret *s)
{
	return (struct view){s->octets, s->n};
}

/* ---- login
 * ------------------------------------------------------------------------------ */

static const struct secret *
secret_for(const struct collect *c, const char *mechanism)
{
	bool token = strcmp(mechanism, "OAUTHBEARER") == 0 ||
		strcmp(mechanism, "XOAUTH2") == 0;

	return token ? &c->token : &c->password;
}

static void
login_sasl(struct collect *c, const char *mechanism)
{
	struct fetch_session *s = c->session;
	char why[LETTER_WHY_MAX];
	struct view initial;
	bool two_line = false;

	login_free(&c->login);
	if (login_start(mechanism, c->account, secret_for(c, mechanism), &c->stream,
		    (struct view){s->stamp, s->stamp_n}, &c->login, why,
		    sizeof(why)) != 0) {
		session_login_impossible(s, why);
		return;
	}
	if (s->exchange)
		login_two_lines(c->login);
	switch (login_next(c->login, NULL, &initial, &two_line, why, sizeof(why))) {
	case LOGIN_SEND:
		session_login_sasl(s, mechanism, two_line ? NULL : &initial);
		return;
	case LOGIN_EMPTY: session_login_sasl(s, mechanism, NULL); return;
	case LOGIN_FAILED: session_login_impossible(s, why); return;
	}
}

/* Gmail: as `recent:USER` every client sees all of the last 30 days. */
static struct view
user_of(const struct collect *c, char *storage, size_t cap)
{
	if (!c->account->recent)
		return text_view(c->account->user);
	snprintf(storage, cap, "recent:%s", c->account->user);
	return text_view(storage);
}

void
collect_login(struct collect *c)
{
	struct fetch_session *s = c->session;
	const char *mechanism = s->choice.mechanism;
	char digest[33], storage[512];
	struct view user = user_of(c, storage, sizeof(storage));

	if (strcmp(mechanism, "USER") == 0) {
		session_login_user(s, user, secret_view(&c->password));
	} else if (strcmp(mechanism, "APOP") == 0) {
		if (login_apop((struct view){s->stamp, s->stamp_n}, &c->password,
			    digest) != 0)
			session_login_impossible(
				s, "MD5, which APOP needs, cannot be had");
		else
			session_login_apop(s, user, text_view(digest));
		explicit_bzero(digest, sizeof(digest));
	} else {
		login_sasl(c, mechanism);
	}
}

void
collect_challenge(struct collect *c, struct view challenge, bool answered)
{
	char why[LETTER_WHY_MAX];
	struct view response = {0};
	enum login_step step;
	bool two_line;

	if (!c->login) {
		session_cancel(
			c->session, "the server asks on although nothing was begun");
		return;
	}
	step = login_next(c->login, &challenge, &response, &two_line, why, sizeof(why));
	session_login_words(c->session, login_words(c->login));
	if (answered)
		return;
	switch (step) {
	case LOGIN_SEND: session_respond(c->session, response); return;
	case LOGIN_EMPTY: session_respond(c->session, (struct view){0}); return;
	case LOGIN_FAILED: session_cancel(c->session, why); return;
	}
}

void
collect_proof(struct collect *c)
{
	char why[LETTER_WHY_MAX];
	bool proved = !c->login || login_complete(c->login, why, sizeof(why));

	login_free(&c->login);
	session_login_proved(c->session, proved, proved ? "" : why);
}

/* ---- TOP
 * -------------------------------------------------------------------------------- */

struct top_sink {
	struct header_sink sink;
	EVP_MD_CTX *ctx;
};

static void
top_take(struct header_sink *sink, struct view octets)
{
	EVP_MD_CTX *ctx = ((struct top_sink *)sink)->ctx;

	CHECK(EVP_DigestUpdate(ctx, octets.p, octets.n) == 1);
}

static void
keep_header(struct collect *c, struct view data)
{
	if (!c->account->filter || data.n == 0 ||
		c->header_n + data.n > HEADER_OCTETS_MAX)
		return;
	if (c->header_n + data.n > c->header_cap) {
		size_t cap = 2 * c->header_cap + data.n;
		uint8_t *p = realloc(c->header, cap);

		if (!p)
			return;
		c->header = p;
		c->header_cap = cap;
	}
	memcpy(c->header + c->header_n, data.p, data.n);
	c->header_n += data.n;
}

/* One that was cut off is not the beginning of the next. */
void
collect_top_drop(struct collect *c)
{
	EVP_MD_CTX_free(c->top_digest);
	c->top_digest = NULL;
	free(c->header);
	c->header = NULL;
	c->header_n = c->header_cap = 0;
}

static void
top_begin(struct collect *c)
{
	c->top_digest = EVP_MD_CTX_new();
	if (c->top_digest && EVP_DigestInit_ex(c->top_digest, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(c->top_digest);
		c->top_digest = NULL;
	}
	header_init(&c->top);
	c->header_n = 0;
}

static void
top_data(struct collect *c, struct view data)
{
	struct top_sink sink;

	if (!c->top_digest)
		top_begin(c);
	if (!c->top_digest) {
		session_fail(c->session, OUTCOME_LOCAL, "SHA-256 cannot be had");
		return;
	}
	sink = (struct top_sink){{top_take}, c->top_digest};
	header_take(&c->top, data, &sink.sink);
	keep_header(c, data);
}

static void
top_end(struct collect *c, struct mail *m)
{
	uint8_t digest[EVP_MAX_MD_SIZE];

	top_data(c, (struct view){0}); /* also where there was no octet */
	if (!c->top_digest)
		return;
	CHECK(EVP_DigestFinal_ex(c->top_digest, digest, NULL) == 1);
	EVP_MD_CTX_free(c->top_digest);
	c->top_digest = NULL;
	m->weak = !c->top.names_one;
	session_header(c->session, m, digest);
}

/* ---- letters
 * ---------------------------------------------------------------------------- */

static void
local_failure(struct collect *c, const char *what, int r)
{
	char why[LETTER_WHY_MAX];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(-r));
	session_fail(c->session, OUTCOME_LOCAL, why);
}

static int
set_letter_uid(struct collect *c, struct letter *l, const struct mail *m)
{
	struct view uid = mail_uid(&c->mails, m);
	uint8_t *octets = realloc(l->uid_octets, uid.n ? uid.n : 1);

	if (!octets)
		return -ENOMEM;
	memcpy(octets, uid.p, uid.n);
	l->uid_octets = octets;
	l->uid = (struct view){octets, uid.n};
	return 0;
}

void
collect_letter_free(struct letter *l)
{
	if (l)
		free(l->uid_octets);
	free(l);
}

void
collect_letter(struct collect *c, struct mail *m)
{
	struct letter *l = calloc(1, sizeof(*l));
	int r = 0;

	CHECK(!c->letter);
	if (!l) {
		local_failure(c, "no memory", -ENOMEM);
		return;
	}
	l->fd = -1;
	l->msgno = m->number;
	l->listed = m->size;
	if (m->uid_n > 0)
		r = set_letter_uid(c, l, m);
	if (r == 0)
		r = spool_begin(c->spool, l);
	c->letter = l;
	if (r != 0) {
		collect_letter_free(l);
		c->letter = NULL;
		local_failure(c, "a message cannot be written", r);
		return;
	}
	collect_stock(c);
}

void
collect_letter_data(struct collect *c, struct view data)
{
	int r;

	if (!c->letter)
		return;
	c->run->come_octets += data.n;
	r = spool_write(c->spool, c->letter, data);
	if (r != 0)
		local_failure(c, "a message cannot be written", r);
}

void
collect_letter_cut(struct collect *c, struct mail *m, bool last_try)
{
	struct report_facts f = REPORT_NOTHING;
	char path[512];

	if (!c->letter)
		return;
	f.account = c->account->name;
	f.why = c->session->outcome.why;
	if (m) {
		f.uid = mail_uid(&c->mails, m);
		f.msgno = m->number;
	}
	if (m && last_try &&
		spool_quarantine(c->spool, c->letter, f.why, path, sizeof(path)) == 0) {
		f.target = path;
		report_tell(c->run->report, REPORT_QUARANTINED, &f);
		m->told = true;
	} else {
		spool_abort(c->spool, c->letter);
	}
	collect_letter_free(c->letter);
	c->letter = NULL;
}

void
collect_letter_drop(struct collect *c)
{
	if (!c->letter)
		return;
	spool_abort(c->spool, c->letter);
	collect_letter_free(c->letter);
	c->letter = NULL;
}

static void
batch_drop(struct collect *c, struct batch **b)
{
	for (size_t i = 0; *b && i < (*b)->n; i++) {
		spool_abort(c->spool, (*b)->letters[i]);
		collect_letter_free((*b)->letters[i]);
	}
	free(*b);
	*b = NULL;
}

void
collect_batch_drop(struct collect *c)
{
	batch_drop(c, &c->batch);
	batch_drop(c, &c->synced);
}

static int
finish_letter(struct collect *c, struct mail *m)
{
	struct letter *l = c->letter;
	int r = spool_finish(c->spool, l);

	if (r != 0)
		return r;
	if (!c->batch)
		c->batch = calloc(1, sizeof(*c->batch));
	if (!c->batch || !session_name(c->session, m, l->header))
		return -ENOMEM;
	r = set_letter_uid(c, l, m);
	if (r == 0)
		l->same = session_same(c->session, m, l->digest);
	return r;
}

void
collect_letter_end(struct collect *c, struct mail *m)
{
	struct letter *l = c->letter;
	struct report_facts f = REPORT_NOTHING;
	int r;

	if (!l)
		return;
	r = finish_letter(c, m);
	if (r != 0) {
		collect_letter_drop(c);
		local_failure(c, "a message cannot be written", r);
		return;
	}
	f.account = c->account->name;
	f.uid = l->uid;
	f.msgno = l->msgno;
	f.octets = l->octets;
	report_tell(c->run->report, REPORT_RETRIEVED, &f);
	c->letter = NULL;
	c->batch->c = c;
	if (c->batch->n == 0)
		c->batch->since_ms = c->session->now_ms;
	c->batch->letters[c->batch->n] = l;
	c->batch->mails[c->batch->n++] = m;
	c->batch->octets += l->stored;
	c->run->come++;
	c->on_the_way++;
	if (c->on_the_way >= collect_share(c->run))
		session_hold(c->session, true);
	collect_commit(c, false);
}

/* ---- all
 * -------------------------------------------------------------------------------- */

void
collect_perform(struct collect *c, const struct session_action *a)
{
	switch (a->kind) {
	case SESSION_LOGIN: collect_login(c); return;
	case SESSION_CHALLENGE: collect_challenge(c, a->data, a->answered); return;
	case SESSION_LOGGED_IN: collect_proof(c); return;
	case SESSION_LOAD: collect_load(c); return;
	case SESSION_HEADER: top_data(c, a->data); return;
	case SESSION_HEADER_END: top_end(c, a->mail); return;
	case SESSION_FILTER: collect_filter(c, a->mail); return;
	case SESSION_MARK: collect_mark(c); return;
	case SESSION_PLANNED: collect_planned(c); return;
	case SESSION_LETTER: collect_letter(c, a->mail); return;
	case SESSION_DATA: collect_letter_data(c, a->data); return;
	case SESSION_LETTER_END: collect_letter_end(c, a->mail); return;
	case SESSION_LETTER_CUT: collect_letter_cut(c, a->mail, a->last_try); return;
	case SESSION_COMMIT: collect_commit(c, true); return;
	case SESSION_TELL: report_tell(c->run->report, a->event, &a->facts); return;
	case SESSION_FINISH: c->over = true; return;
	case SESSION_WAIT:
	case SESSION_START_TLS: return;
	}
}
