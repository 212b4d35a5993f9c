#include "move/compare_user.h"

#include "move/gathered.h"
#include "os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* One server, in a thread of its own: the other one is not to wait so long for its next
 * command that it closes. */
struct asked {
	struct live *l;
	const char *user, *password;
	struct gathered list;
	bool bytes;
	int err;
};

static void *
ask_list(void *arg)
{
	struct asked *a = arg;

	a->err = live_open(a->l);
	if (a->err == 0)
		a->err = live_login(a->l, a->user, a->password);
	if (a->err == 0)
		a->err = gathered_list(a->l, &a->list);
	return NULL;
}

static void *
ask_digests(void *arg)
{
	struct asked *a = arg;

	a->err = gathered_digests(a->l, &a->list, a->bytes);
	return NULL;
}

static void
both(struct asked *old, struct asked *new, void *(*what)(void *arg))
{
	pthread_t thread;
	bool apart = pthread_create(&thread, NULL, what, new) == 0;

	(void)what(old);
	if (apart)
		(void)pthread_join(thread, NULL);
	else
		(void)what(new);
}

struct comparing {
	const struct compare_task *t;
	struct asked old, new;
	struct compare_pair pair;
	struct compare_report report;
	int *status;
};

/* Either server failed: nothing can be said of this user. */
static bool
failed(struct comparing *c)
{
	const struct asked *a = c->old.err < 0 ? &c->old : &c->new;
	char why[LIVE_WHY_MAX + 16];

	if (a->err == 0)
		return false;
	(void)snprintf(why, sizeof(why), "%s: %s", a == &c->old ? "OLD" : "NEW",
		live_why(a->l)[0] ? live_why(a->l) : strerror(-a->err));
	compare_report_failed(&c->report, why);
	*c->status = live_exit_status(a->err);
	return true;
}

static void
match(struct comparing *c)
{
	c->pair.old = c->old.list.side;
	c->pair.new = c->new.list.side;
	compare_match(&c->pair);
}

/* False: a server failed. */
static bool
fetch(struct comparing *c, bool all)
{
	uint64_t n = compare_want(&c->pair, c->t->sample, clock_unix_ns(), all);

	if (n > 0 || c->t->bytes)
		both(&c->old, &c->new, ask_digests);
	if (c->old.err < 0 || c->new.err < 0)
		return false;
	match(c);
	return true;
}

/* A UIDL that names another message makes the others doubtful too. */
static bool
compare(struct comparing *c)
{
	bool all = c->t->all || c->t->bytes;

	match(c);
	if (!fetch(c, all))
		return false;
	return all || c->pair.reused == 0 || fetch(c, true);
}

static enum compare_result
ask(struct comparing *c)
{
	both(&c->old, &c->new, ask_list);
	if (c->old.err == 0 && c->new.err == -EACCES) {
		compare_report_tell(
			&c->report, DIFFERENCE_LOGIN, NULL, NULL, live_why(c->new.l));
		c->pair.old.n = c->old.list.side.n;
		compare_report_end(&c->report, &c->pair, 0, 0);
		return COMPARE_NOT_SAFE;
	}
	if (failed(c))
		return COMPARE_NOT_ASKED;
	if (!compare(c)) {
		(void)failed(c);
		return COMPARE_NOT_ASKED;
	}
	compare_capabilities(&c->report, live_facts(c->old.l), live_facts(c->new.l),
		!c->t->old.url.tls && !c->t->new.url.tls);
	compare_tell(&c->pair, &c->report.sink);
	compare_report_end(
		&c->report, &c->pair, c->old.list.digests, c->new.list.digests);
	return c->report.serious == 0 ? COMPARE_SAFE : COMPARE_NOT_SAFE;
}

static const char *
name_of(const struct live_options *o, const char *user)
{
	return o->url.user[0] ? o->url.user : user;
}

enum compare_result
compare_user(const struct compare_task *t, const char *user, const char *password,
	FILE *out, int *ret_status)
{
	struct comparing c = {
		.t = t,
		.old = {.l = live_new(&t->old),
			.user = name_of(&t->old, user),
			.password = t->old_password ? t->old_password : password,
			.bytes = t->bytes},
		.new = {.l = live_new(&t->new),
			.user = name_of(&t->new, user),
			.password = t->new_password ? t->new_password : password,
			.bytes = t->bytes},
		.status = ret_status,
	};
	enum compare_result result = COMPARE_NOT_ASKED;

	compare_report_init(&c.report, out, user, t->json);
	c.report.quiet = t->quiet;
	c.report.ignore = t->ignore;
	c.report.lines_max = t->lines_max;
	*ret_status = live_exit_status(-ENOMEM);
	if (c.old.l && c.new.l)
		result = ask(&c);
	else
		compare_report_failed(&c.report, "there is no memory");
	live_free(&c.old.l);
	live_free(&c.new.l);
	gathered_free(&c.old.list);
	gathered_free(&c.new.list);
	return result;
}
