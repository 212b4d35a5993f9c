/*
 * compare_main.c: options, and several users side by side.
 */
#include "base/check.h"
#include "base/num.h"
#include "move/compare.h"
#include "move/compare_user.h"
#include "move/compare_users.h"
#include "move/show.h"
#include "move/tool_options.h"
#include "os/mutex.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>

#define JOBS_MAX 64

struct command {
	struct compare_task task;
	const char *users_file;
	const char *old_file, *new_file; /* with a password */
	const char *urls[2];
	size_t urls_n;
	uint32_t jobs;
	bool help;
	char passwords[2][LIVE_PASSWORD_MAX + 1];
	char why[256];
};

static const char help[] =
	"usage: restante compare OLD NEW --users FILE [OPTIONS]\n\n"
	"Asks both servers as a client would and prints each difference that would make\n"
	"clients download mail again or miss it. Deletes nothing. OLD and NEW are\n"
	"pop3s://[USER@]HOST[:PORT] or pop3://[USER@]HOST[:PORT] (STLS).\n\n"
	"  --users FILE         lines NAME:PASSWORD or NAME PASSWORD\n"
	"  --password-file FILE of the master, or of the USER in the URLs; - is standard "
	"input\n"
	"  --jobs N             users at a time (default 4)\n"
	"  --sample N           headers compared where UIDLs agree (default 20)\n"
	"  --all                every header\n"
	"  --all-bytes          every message, by RETR, which may mark it as seen\n"
	"  --ignore WORD,...    kinds of differences that do not count\n"
	"  --max-lines N        lines of each kind for a user (default: all)\n"
	"  --json               one object a line\n"
	"  --quiet              nothing of what is harmless\n"
	"These hold for both servers, with --old- or --new- in front for one:\n";

/* ---- options ---- */

static const char *
set_number(const char *value, uint32_t min, uint32_t max, uint32_t *ret)
{
	uint64_t n;

	if (!num_decimal(show_view(value), max, &n) || n < min)
		return "the number is not one, or out of range";
	*ret = (uint32_t)n;
	return NULL;
}

static const char *
set_users(void *into, const char *value)
{
	((struct command *)into)->users_file = value;
	return NULL;
}

static const char *
set_passwords(void *into, const char *value)
{
	struct command *c = into;

	c->old_file = c->new_file = value;
	return NULL;
}

static const char *
set_old_password(void *into, const char *value)
{
	((struct command *)into)->old_file = value;
	return NULL;
}

static const char *
set_new_password(void *into, const char *value)
{
	((struct command *)into)->new_file = value;
	return NULL;
}

static const char *
set_jobs(void *into, const char *value)
{
	return set_number(value, 1, JOBS_MAX, &((struct command *)into)->jobs);
}

static const char *
set_sample(void *into, const char *value)
{
	return set_number(
		value, 0, LIVE_MAILS_MAX, &((struct command *)into)->task.sample);
}

static const char *
set_lines(void *into, const char *value)
{
	return set_number(
		value, 1, LIVE_MAILS_MAX, &((struct command *)into)->task.lines_max);
}

static const char *
set_all(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->task.all = true;
	return NULL;
}

static const char *
set_bytes(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->task.bytes = true;
	return NULL;
}

static const char *
set_json(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->task.json = true;
	return NULL;
}

static const char *
set_quiet(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->task.quiet = true;
	return NULL;
}

static const char *
set_help(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->help = true;
	return NULL;
}

static const char *
set_ignore(void *into, const char *value)
{
	struct command *c = into;

	return compare_ignore_read(value, c->task.ignore, c->why, sizeof(c->why))
		? NULL
		: c->why;
}

static const struct tool_option rows[] = {
	{"--users", true, set_users},
	{"--password-file", true, set_passwords},
	{"--old-password-file", true, set_old_password},
	{"--new-password-file", true, set_new_password},
	{"--jobs", true, set_jobs},
	{"--sample", true, set_sample},
	{"--max-lines", true, set_lines},
	{"--all", false, set_all},
	{"--all-bytes", false, set_bytes},
	{"--json", false, set_json},
	{"--quiet", false, set_quiet},
	{"--ignore", true, set_ignore},
	{"--help", false, set_help},
};

/* --old-ca is --ca of OLD. */
static int
take_live(struct command *c, int argc, char **argv, int *i, char *why, size_t why_n)
{
	bool old = strncmp(argv[*i], "--old-", 6) == 0;
	bool new = strncmp(argv[*i], "--new-", 6) == 0;
	int at = *i;

	if (!old && !new) {
		int r = live_option(&c->task.old, argc, argv, i, why, why_n);
		return r != 1 ? r
			      : live_option(&c->task.new, argc, argv, &at, why, why_n);
	}
	argv[at][4] = '-';
	argv[at] += 4;
	return live_option(old ? &c->task.old : &c->task.new, argc, argv, i, why, why_n);
}

static bool
wrong_usage(const char *why)
{
	fprintf(stderr,
		"restante compare: %s; 'restante compare --help' tells the options\n",
		why);
	return false;
}

static bool
take_words(struct command *c, int argc, char **argv)
{
	char why[512];

	for (int i = 1; i < argc;) {
		if (argv[i][0] != '-') {
			if (c->urls_n == 2)
				return wrong_usage("more than two servers");
			c->urls[c->urls_n++] = argv[i++];
			continue;
		}
		int r = tool_option_take(
			rows, ARRAY_SIZE(rows), c, argc, argv, &i, why, sizeof(why));
		if (r == 0)
			r = take_live(c, argc, argv, &i, why, sizeof(why));
		if (r < 0)
			return wrong_usage(why);
		if (r == 0) {
			(void)snprintf(
				why, sizeof(why), "unknown option %.100s", argv[i]);
			return wrong_usage(why);
		}
	}
	return true;
}

static bool
read_url(const char *text, struct live_options *o)
{
	char line[512];
	const char *why;

	if (live_url_read(text, &o->url, &why))
		return true;
	(void)snprintf(line, sizeof(line), "%.100s: %s", text, why);
	return wrong_usage(line);
}

/* The same file is read once: it may be standard input. */
static bool
read_passwords(struct command *c)
{
	char why[512];

	if (c->old_file &&
		tool_read_secret(c->old_file, c->passwords[0], sizeof(c->passwords[0]),
			why, sizeof(why)) < 0)
		return wrong_usage(why);
	if (c->old_file && c->new_file == c->old_file)
		memcpy(c->passwords[1], c->passwords[0], sizeof(c->passwords[1]));
	else if (c->new_file &&
		tool_read_secret(c->new_file, c->passwords[1], sizeof(c->passwords[1]),
			why, sizeof(why)) < 0)
		return wrong_usage(why);
	c->task.old_password = c->old_file ? c->passwords[0] : NULL;
	c->task.new_password = c->new_file ? c->passwords[1] : NULL;
	return true;
}

static bool
check(struct command *c)
{
	struct compare_task *t = &c->task;

	if (c->urls_n < 2)
		return wrong_usage("two servers are needed, OLD and NEW");
	if (!read_url(c->urls[0], &t->old) || !read_url(c->urls[1], &t->new))
		return false;
	if (!c->users_file && !t->old.url.user[0])
		return wrong_usage("--users FILE is missing (or a USER in OLD's URL)");
	if (c->users_file && (t->old.url.user[0] || t->new.url.user[0]))
		return wrong_usage("a USER in a URL and --users exclude each other");
	if (!c->users_file && (!c->old_file || !c->new_file))
		return wrong_usage("--password-file is missing");
	if ((t->old.master && !c->old_file) || (t->new.master && !c->new_file))
		return wrong_usage("--master needs --password-file");
	if (c->users_file &&
		((c->old_file && !t->old.master) || (c->new_file && !t->new.master)))
		return wrong_usage("--password-file with --users needs --master");
	return read_passwords(c);
}

/* ---- running ---- */

struct run {
	const struct compare_task *task;
	const struct compare_users *users;
	pthread_mutex_t lock;
	size_t next;
	size_t counts[COMPARE_NOT_ASKED + 1];
	int status; /* of those who could not be asked */
};

/* What matters more to who reads it: unreachable, protocol, later, refused. */
static int
graver(int a, int b)
{
	static const int order[] = {
		EX_OSERR, EX_UNAVAILABLE, EX_PROTOCOL, EX_TEMPFAIL, EX_NOPERM};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return a;
}

/* Its lines come together, whatever the others do. */
static void
run_one(struct run *r, const struct compare_user *u)
{
	char *text = NULL;
	size_t n = 0;
	int status = EX_OSERR;
	enum compare_result result = COMPARE_NOT_ASKED;
	FILE *out = open_memstream(&text, &n);

	if (out) {
		result = compare_user(r->task, u->name, u->password, out, &status);
		if (fclose(out) != 0)
			result = COMPARE_NOT_ASKED;
	}
	mutex_lock(&r->lock);
	if (text)
		(void)fwrite(text, 1, n, stdout);
	(void)fflush(stdout);
	r->counts[result]++;
	if (result == COMPARE_NOT_ASKED)
		r->status = graver(r->status, status);
	mutex_unlock(&r->lock);
	free(text);
}

static void *
work(void *arg)
{
	struct run *r = arg;

	for (;;) {
		mutex_lock(&r->lock);
		size_t i = r->next++;
		mutex_unlock(&r->lock);
		if (i >= r->users->n)
			return NULL;
		run_one(r, &r->users->list[i]);
	}
}

static void
print_end(const struct run *r, bool json)
{
	fprintf(stdout,
		json ? "{\"users\":%zu,\"safe\":%zu,\"not_safe\":%zu,\"not_asked\":%zu}\n"
		     : "%zu users: %zu safe, %zu not safe, %zu could not be asked\n",
		r->users->n, r->counts[COMPARE_SAFE], r->counts[COMPARE_NOT_SAFE],
		r->counts[COMPARE_NOT_ASKED]);
}

static int
run(const struct command *c, const struct compare_users *users)
{
	struct run r = {.task = &c->task, .users = users};
	pthread_t threads[JOBS_MAX];
	size_t started = 0;

	mutex_init(&r.lock);
	if (c->task.bytes)
		fprintf(stderr,
			"restante compare: --all-bytes uses RETR: servers may mark mail "
			"as "
			"seen\n");
	while (started + 1 < c->jobs && started + 1 < users->n &&
		pthread_create(&threads[started], NULL, work, &r) == 0)
		started++;
	(void)work(&r);
	for (size_t i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	mutex_destroy(&r.lock);
	print_end(&r, c->task.json);
	if (fflush(stdout) != 0)
		return EX_IOERR;
	if (r.counts[COMPARE_NOT_SAFE] > 0)
		return EX_DATAERR;
	return r.counts[COMPARE_NOT_ASKED] > 0 ? r.status : EX_OK;
}

int
move_compare_main(int argc, char **argv)
{
	static struct command c;
	struct compare_user one;
	struct compare_users users = {.list = &one, .n = 1};

	(void)prctl(PR_SET_DUMPABLE, 0); /* passwords are in here */
	c = (struct command){.jobs = 4, .task = {.sample = COMPARE_SAMPLE}};
	live_options_init(&c.task.old);
	live_options_init(&c.task.new);
	if (!take_words(&c, argc, argv))
		return EX_USAGE;
	if (c.help) {
		printf("%s%s", help, live_options_help());
		return EX_OK;
	}
	if (!check(&c))
		return EX_USAGE;
	one = (struct compare_user){c.task.old.url.user, ""};
	bool own = !c.task.old_password || !c.task.new_password;
	if (c.users_file && compare_users_read(c.users_file, own, &users) < 0)
		return EX_NOINPUT;
	if (users.n == 0) {
		fprintf(stderr, "restante compare: %s: there is no user in it\n",
			c.users_file);
		compare_users_free(&users);
		return EX_NOINPUT;
	}
	int status = run(&c, &users);
	if (c.users_file)
		compare_users_free(&users);
	explicit_bzero(c.passwords, sizeof(c.passwords));
	return status;
}
