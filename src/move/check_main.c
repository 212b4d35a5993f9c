/*
 * restante check: whether a maildrop's identity log and index are sound, and what to do
 * where they are not.
 */
#include "base/check.h"
#include "base/num.h"
#include "ipc/permit.h"
#include "move/import_drop.h"
#include "move/move.h"
#include "move/show.h"
#include "move/tool_options.h"
#include "move/watched.h"
#include "os/fd.h"
#include "store/identity.h"
#include "store/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <xxhash.h>

#define LOG_OCTETS_MAX	 ((size_t)2000 << 20)
#define INDEX_OCTETS_MAX ((size_t)2000 << 20)
#define TIMEOUT_S_MAX	 3600

struct command {
	struct who who;
	bool repair, help;
	uint32_t silence_ms;
	char why[512];
};

struct check {
	struct drop_work work; /* first */
	const struct command *c;
};

static const char help[] =
	"usage: restante check [--repair] --maildrop MAILDROP | --user NAME | --all\n\n"
	"Reads the identity log and the index of maildrops, and says what is damaged and "
	"what\n"
	"to do. A damaged log closes its maildrop, since UIDLs must not change in "
	"silence.\n\n"
	"  --repair             write damaged logs anew with all that is sound in them; "
	"what\n"
	"                       was there stays beside it as NAME.damaged\n"
	"  --maildrop MAILDROP  maildir:PATH or mbox:PATH\n"
	"  --user NAME          the maildrop of this user\n"
	"  --all                those of all users\n"
	"  --config FILE        the configuration, for --user and --all\n"
	"  --timeout SECONDS    of a maildrop without progress (default 60)\n"
	"  --help               this text\n\n"
	"Exit status: 0 all is sound, or was repaired; 65 there is damage; 66 no input; "
	"67 no\n"
	"such user; 75 try again later; 77 no permission; 78 configuration.\n";

/* ---- the identity log
 * ---------------------------------------------------------------------- */

static int
said(const struct import_drop *d, int code, const char *what, const char *why)
{
	(void)fprintf(stderr, "restante check: %s: %s: %s\n", d->label, what, why);
	return code;
}

static int
repair_log(const struct import_drop *d, const struct drop_opened *o)
{
	size_t kept = 0;
	uint64_t lost = 0;
	const char *damaged = "";
	int r = identity_repair(o->dir, o->log, &kept, &lost, &damaged);

	if (r < 0)
		return said(d, drop_exit_status(r), d->log_path, strerrordesc_np(-r));
	printf("%s: repaired: %zu records kept, %llu octets left out; what was there is "
	       "%s%s\n",
		d->label, kept, (unsigned long long)lost, d->log_path, damaged);
	if (lost > 0)
		printf("%s: messages whose records were lost get other UIDLs, "
		       "unless its index still has them: clients "
		       "may "
		       "fetch them once more; importing again brings back what another "
		       "server's list still has\n",
			d->label);
	return EX_OK;
}

/* How far it is sound, for people. */
static void
tell_damage(const struct import_drop *d, const struct drop_opened *o)
{
	AUTO_FREE uint8_t *octets = NULL;
	size_t n = 0, rows = 0, sound = 0;
	AUTO_FD fd =
		openat(o->dir, o->log, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fd_read_file(fd, LOG_OCTETS_MAX, &octets, &n) < 0)
		return;
	(void)!identity_decode((struct view){octets, n}, &rows, &sound);
	(void)fprintf(stderr,
		"restante check: %s: %s: damaged at octet %zu of %zu, behind %zu sound "
		"records; POP3 is refused until restante check --repair writes it anew "
		"without what is damaged; a copy from a backup loses nothing\n",
		d->label, d->log_path, sound, n, rows);
}

static int
check_log(const struct check *k, const struct import_drop *d, const struct drop_opened *o)
{
	struct identity *log = NULL;
	size_t imported = 0, assigned = 0, used = 0;
	int r = identity_open(o->dir, o->log, &log);

	if (r == -EBADMSG) {
		if (k->c->repair)
			return repair_log(d, o);
		tell_damage(d, o);
		return EX_DATAERR;
	}
	if (r == -EPROTONOSUPPORT)
		return said(d, EX_CONFIG, d->log_path,
			"a newer restante wrote it; run that one");
	if (r < 0)
		return said(d, drop_exit_status(r), d->log_path, strerrordesc_np(-r));
	for (size_t i = 0; i < identity_count(log); i++) {
		uint8_t source = identity_at(log, i).source;
		imported += source == IDENTITY_IMPORTED;
		assigned += source == IDENTITY_ASSIGNED;
		used += source == IDENTITY_USED_UP;
	}
	identity_close(&log);
	printf("%s: identity log sound: %zu imported, %zu assigned, %zu used up\n",
		d->label, imported, assigned, used);
	return EX_OK;
}

/* ---- the index
 * --------------------------------------------------------------------------------- */

/* A Maildir's depends on the folders that are shown: here only whether it is whole. */
static int
maildir_index_whole(struct view octets)
{
	uint64_t said;

	if (octets.n <= sizeof(said))
		return -EINVAL;
	uint64_t is = XXH3_64bits(octets.p + sizeof(said), octets.n - sizeof(said));
	memcpy(&said, octets.p, sizeof(said));
	return said == is ? 0 : -EINVAL;
}

static int
decode_index(const struct import_drop *d, struct view octets)
{
	struct mbox_table *t = NULL;

	if (d->kind != STORE_MBOX)
		return maildir_index_whole(octets);
	int r = mbox_index_decode(octets, &t);
	if (t)
		mbox_table_unref(&t);
	return r;
}

static int
check_index(
	const struct check *k, const struct import_drop *d, const struct drop_opened *o)
{
	char name[NAME_MAX + 1];
	AUTO_FREE uint8_t *octets = NULL;
	size_t n = 0;

	if (d->kind == STORE_MBOX)
		(void)snprintf(name, sizeof(name), ".%.230s.restante-index", o->name);
	else
		(void)snprintf(name, sizeof(name), "restante-index");
	AUTO_FD fd = openat(o->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd_read_file(fd, INDEX_OCTETS_MAX, &octets, &n);
	if (r == -ENOENT) {
		printf("%s: no index; the next session writes one\n", d->label);
		return EX_OK;
	}
	if (r == 0)
		r = decode_index(d, (struct view){octets, n});
	if (r == 0) {
		printf("%s: index sound\n", d->label);
		return EX_OK;
	}
	if (r != -EINVAL && r != -EBADMSG && r != -EPROTONOSUPPORT)
		return said(d, drop_exit_status(r), name, strerrordesc_np(-r));
	if (k->c->repair && unlinkat(o->dir, name, 0) < 0)
		return said(d, drop_exit_status(-errno), name, strerrordesc_np(errno));
	printf("%s: %s: %s\n", d->label, name,
		k->c->repair
			? "damaged, or of another version; removed, the next session "
			  "writes a new one"
			: "damaged, or of another version; nothing is lost, the next "
			  "session writes a new one");
	return EX_OK;
}

static int
run(struct drop_work *w, struct import_drop *d)
{
	struct check *k = (struct check *)(void *)w;
	struct drop_opened o;
	int code = drop_open(d, "check", &o);

	if (code == EX_OK) {
		int log = check_log(k, d, &o);
		int index = check_index(k, d, &o);
		code = log > index ? log : index;
	}
	drop_close(&o);
	return code;
}

/* ---- options
 * ------------------------------------------------------------------------------------ */

#define SET(name, assignment)                                                            \
	static const char *set_##name(void *into, const char *value)                     \
	{                                                                                \
		struct command *c = into;                                                \
		(void)value;                                                             \
		assignment;                                                              \
		return NULL;                                                             \
	}

SET(maildrop, c->who.maildrop = value)
SET(user, c->who.user = value)
SET(all, c->who.all = true)
SET(config, c->who.config = value)
SET(repair, c->repair = true)
SET(help, c->help = true)
#undef SET

static const char *
set_timeout(void *into, const char *value)
{
	struct command *c = into;
	uint64_t s;

	if (!num_decimal(show_view(value), TIMEOUT_S_MAX, &s) || s == 0)
		return "a timeout is a number of seconds from 1 to 3600";
	c->silence_ms = (uint32_t)s * 1000;
	return NULL;
}

static const struct tool_option options[] = {
	{"--maildrop", true, set_maildrop},
	{"--user", true, set_user},
	{"--all", false, set_all},
	{"--config", true, set_config},
	{"--repair", false, set_repair},
	{"--timeout", true, set_timeout},
	{"--help", false, set_help},
	{"-h", false, set_help},
};

struct checks {
	struct who_sink sink; /* first */
	const struct command *c;
};

static int
each(struct who_sink *s, struct import_drop *d)
{
	struct checks *x = (struct checks *)(void *)s;
	struct check k = {
		.work = {.work = run, .program = "check", .silence_ms = x->c->silence_ms},
		.c = x->c};

	return drop_run(d, &k.work);
}

int
move_check_main(int argc, char **argv)
{
	static struct command c;
	struct checks x = {{each}, &c};

	c.who.program = "check";
	c.silence_ms = WATCHED_SILENCE_MS;
	for (int i = 1; i < argc;) {
		int r = tool_option_take(options, ARRAY_SIZE(options), &c, argc, argv, &i,
			c.why, sizeof(c.why));
		if (r > 0)
			continue;
		(void)fprintf(stderr, "restante check: %s\ntry: restante check --help\n",
			r < 0 ? c.why : "there is no such option");
		return EX_USAGE;
	}
	if (c.help) {
		(void)fputs(help, stdout);
		return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
	}
	return who_each(&c.who, &x.sink);
}
