/*
 * passport_main.c: options, and export, verify, key.
 */
#include "base/check.h"
#include "move/compare_report.h"
#include "move/passport.h"
#include "move/passport_parts.h"
#include "move/show.h"
#include "move/tool_options.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define FOLDERS_MAX	 4096
#define HIDDEN_SHOWN_MAX 20
#define UIDL_SHOWN_MAX	 300

struct command {
	struct live_options live;
	struct passport_drop drop;
	const char *maildrop, *from, *key, *password_file;
	const char *file;
	bool bytes, json, quiet, help;
	bool ignore[DIFFERENCES];
	size_t folders_n;
	char folders[FOLDERS_MAX];
	char password[LIVE_PASSWORD_MAX + 1];
	char why[PASSPORT_WHY_MAX];
};

static const char help[] =
	"usage: restante passport key FILE\n"
	"       restante passport export SOURCE [--key FILE] [--bytes] > PASSPORT\n"
	"       restante passport verify PASSPORT SOURCE [--key FILE.pub] [OPTIONS]\n\n"
	"A passport lists UIDLs, order, sizes and digests of a maildrop. SOURCE is one "
	"of\n"
	"  --maildrop DROP      maildir:PATH or mbox:PATH, read as its owner\n"
	"  --from URL           pop3s://USER@HOST[:PORT] or pop3:// (STLS)\n"
	"and then\n"
	"  --key FILE           Ed25519, PEM; without it export puts a digest at the "
	"end,\n"
	"                       which shows accidental damage only\n"
	"  --bytes              digests of whole messages too; --from then uses RETR,\n"
	"                       which may mark mail as seen\n"
	"  --folder NAME        a Maildir++ folder that POP3 shows; may be given again\n"
	"  --mbox-unquote       take the > off that stands before From in an mbox\n"
	"  --password-file FILE of the user, or the master; - is standard input\n"
	"  --ignore WORD,...    kinds of differences that do not count (verify)\n"
	"  --json, --quiet      of verify\n";

/* ---- options ---- */

static const char *
set_maildrop(void *into, const char *value)
{
	struct command *c = into;
	const char *why;

	c->maildrop = value;
	return passport_drop_read(value, &c->drop, &why) ? NULL : why;
}

static const char *
set_from(void *into, const char *value)
{
	struct command *c = into;
	const char *why;

	c->from = value;
	return live_url_read(value, &c->live.url, &why) ? NULL : why;
}

static const char *
set_key(void *into, const char *value)
{
	((struct command *)into)->key = value;
	return NULL;
}

static const char *
set_password(void *into, const char *value)
{
	((struct command *)into)->password_file = value;
	return NULL;
}

static const char *
set_bytes(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->bytes = true;
	return NULL;
}

static const char *
set_unquote(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->drop.unquote = true;
	return NULL;
}

static const char *
set_folder(void *into, const char *value)
{
	struct command *c = into;
	size_t n = strlen(value) + 1;

	if (n == 1 || strchr(value, '/') || n > sizeof(c->folders) - c->folders_n)
		return "a folder has a name without a slash";
	memcpy(c->folders + c->folders_n, value, n);
	c->folders_n += n;
	return NULL;
}

static const char *
set_ignore(void *into, const char *value)
{
	struct command *c = into;

	return compare_ignore_read(value, c->ignore, c->why, sizeof(c->why)) ? NULL
									     : c->why;
}

static const char *
set_json(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->json = true;
	return NULL;
}

static const char *
set_quiet(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->quiet = true;
	return NULL;
}

static const char *
set_help(void *into, const char *value)
{
	(void)value;
	((struct command *)into)->help = true;
	return NULL;
}

static const struct tool_option rows[] = {
	{"--maildrop", true, set_maildrop},
	{"--from", true, set_from},
	{"--key", true, set_key},
	{"--password-file", true, set_password},
	{"--bytes", false, set_bytes},
	{"--folder", true, set_folder},
	{"--mbox-unquote", false, set_unquote},
	{"--ignore", true, set_ignore},
	{"--json", false, set_json},
	{"--quiet", false, set_quiet},
	{"--help", false, set_help},
};

static int
say(int status, const char *what, const char *why)
{
	fprintf(stderr, "restante passport: %s%s%s\n", what, why[0] ? ": " : "", why);
	return status;
}

static int
wrong_usage(const char *why)
{
	return say(EX_USAGE, why, "'restante passport --help' tells the options");
}

static bool
take_words(struct command *c, int argc, char **argv)
{
	char why[PASSPORT_WHY_MAX];

	for (int i = 2; i < argc;) {
		if (argv[i][0] != '-' && !c->file) {
			c->file = argv[i++];
			continue;
		}
		int r = tool_option_take(
			rows, ARRAY_SIZE(rows), c, argc, argv, &i, why, sizeof(why));
		if (r == 0)
			r = live_option(&c->live, argc, argv, &i, why, sizeof(why));
		if (r == 0)
			(void)snprintf(why, sizeof(why), "unknown word %.100s", argv[i]);
		if (r <= 0) {
			(void)wrong_usage(why);
			return false;
		}
	}
	return true;
}

/* 0, or the exit status. */
static int
check_source(struct command *c)
{
	if (!c->maildrop == !c->from)
		return wrong_usage("one of --maildrop and --from is needed");
	c->drop.folders = (struct view){(const uint8_t *)c->folders, c->folders_n};
	if (!c->from)
		return 0;
	if (!c->live.url.user[0])
		return wrong_usage("the URL needs a USER@");
	if (!c->password_file)
		return wrong_usage("--password-file is missing");
	return tool_read_secret(c->password_file, c->password, sizeof(c->password),
		       c->why, sizeof(c->why)) < 0
		? say(EX_NOINPUT, c->why, "")
		: 0;
}

/* ---- the list, wherever it is ---- */

static int
list_live(struct command *c, bool whole, struct gathered *ret)
{
	struct live *l = live_new(&c->live);
	int r = l ? live_open(l) : -ENOMEM;

	if (r == 0)
		r = live_login(l, c->live.url.user, c->password);
	if (r == 0)
		r = gathered_list(l, ret);
	for (uint32_t i = 0; r == 0 && i < ret->side.n; i++)
		ret->side.messages[i].want = true;
	if (r == 0)
		r = gathered_digests(l, ret, whole);
	if (r < 0) {
		(void)say(0, l && live_why(l)[0] ? live_why(l) : strerror(-r), "");
		gathered_free(ret);
	}
	live_free(&l);
	return live_exit_status(r);
}

static int
list(struct command *c, bool whole, struct gathered *ret)
{
	if (c->from)
		return list_live(c, whole, ret);
	c->drop.whole = whole;
	c->drop.silence_ms = c->live.timeout_ms;
	int status = passport_drop_list(&c->drop, ret, c->why, sizeof(c->why));
	return status == 0 ? 0 : say(status, c->why, "");
}

static const char *
source(const struct command *c)
{
	return c->from ? c->from : c->maildrop;
}

/* ---- export ---- */

/* Status 0 says that it is there, also after a crash: the old server may be gone by then.
 * Whether its name is, is whose shell made the file. */
static int
sync_output(void)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && fsync(STDOUT_FILENO) < 0 ? -errno : 0;
}

/* What a later verify cannot tell is to be known while OLD runs still. How many. */
static uint32_t
tell_hidden(const struct gathered *g)
{
	uint32_t hidden = 0;

	for (uint32_t i = 0; i < g->side.n; i++) {
		const struct compare_message *m = &g->side.messages[i];
		char uidl[UIDL_SHOWN_MAX + 8];
		struct buf b = buf_over(uidl, sizeof(uidl));

		if (m->has_header || hidden++ >= HIDDEN_SHOWN_MAX)
			continue;
		show_printable(
			&b, m->uidl.p ? m->uidl : show_view("no UIDL"), UIDL_SHOWN_MAX);
		fprintf(stderr,
			"restante passport: message %" PRIu32 " (%.*s, %" PRIu64
			" octets) was not shown\n",
			m->number, (int)b.n, uidl, m->size);
	}
	if (hidden > HIDDEN_SHOWN_MAX)
		fprintf(stderr, "restante passport: and %" PRIu32 " more\n",
			hidden - HIDDEN_SHOWN_MAX);
	if (hidden > 0)
		fprintf(stderr,
			"restante passport: the passport is not whole: %" PRIu32
			" of %" PRIu32 " messages were not shown: of these it has UIDL "
			"and size alone\n",
			hidden, g->side.n);
	return hidden;
}

static int export(struct command *c)
{
	struct passport_key *key = NULL;
	struct gathered g = {0};
	char *text = NULL;
	size_t n = 0;
	int status = c->file ? wrong_usage("export writes to standard output")
			     : check_source(c);

	if (status == 0 && c->key) {
		key = passport_key_read(c->key, false, c->why, sizeof(c->why));
		status = key ? 0 : say(EX_NOINPUT, c->why, "");
	}
	if (status == 0)
		status = list(c, c->bytes, &g);
	int r = status == 0 ? passport_write(&g, source(c), c->bytes, key, &text, &n) : 0;
	if (r == 0 && status == 0)
		r = fd_write_all(STDOUT_FILENO, text, n);
	if (r == 0 && status == 0)
		r = sync_output();
	if (r < 0)
		status = say(EX_IOERR, "cannot write the passport", strerror(-r));
	if (status == 0 && !key)
		(void)say(0, "no --key: the passport is not signed",
			"its digest shows accidental damage, no forgery");
	if (status == 0 && tell_hidden(&g) > 0)
		status = EX_DATAERR;
	free(text);
	gathered_free(&g);
	passport_key_free(&key);
	return status;
}

/* ---- verify ---- */

/* Whose word it is. */
static int
check_seal(struct command *c, const struct passport *p)
{
	uint8_t public[PASSPORT_KEY_OCTETS];

	if (!passport_seal_is_good(p))
		return say(EX_PROTOCOL, c->file,
			p->is_signed ? "the signature does not fit: the text was changed"
				     : "the digest does not fit: the text is damaged");
	if (!c->key) {
		(void)say(0, c->file,
			p->is_signed ? "the signature fits the key that it names; whose "
				       "key that is only --key tells"
				     : "not signed: the digest shows accidental damage "
				       "only");
		return 0;
	}
	if (!p->is_signed)
		return say(EX_PROTOCOL, c->file, "it is not signed, and --key was given");
	struct passport_key *key =
		passport_key_read(c->key, true, c->why, sizeof(c->why));
	if (!key)
		return say(EX_NOINPUT, c->why, "");
	passport_key_public(key, public);
	passport_key_free(&key);
	if (memcmp(public, p->key, sizeof(public)) != 0)
		return say(EX_PROTOCOL, c->file, "it was signed with another key");
	return 0;
}

static int
compare_with(struct command *c, const struct passport *p, struct gathered *old)
{
	struct compare_report report;
	struct gathered new = {0};
	bool whole = p->whole && (c->maildrop || c->bytes);
	int status = list(c, whole, &new);

	if (status != 0)
		return status;
	if (p->whole && !whole)
		(void)say(0, "only headers are compared",
			"--bytes asks for whole messages, by RETR");
	compare_report_init(&report, stdout, source(c), c->json);
	report.quiet = c->quiet;
	report.ignore = c->ignore;
	struct compare_pair pair = {.old = old->side, .new = new.side};
	compare_match(&pair);
	compare_tell(&pair, &report.sink);
	compare_report_end(&report, &pair, old->digests, new.digests);
	gathered_free(&new);
	if (fflush(stdout) != 0)
		return EX_IOERR;
	return report.serious == 0 ? EX_OK : EX_DATAERR;
}

static int
verify(struct command *c)
{
	struct gathered old = {0};
	struct passport p;
	uint8_t *text = NULL;
	size_t n = 0;
	int status = c->file ? check_source(c)
			     : wrong_usage("the file with the passport is missing");

	if (status != 0)
		return status;
	AUTO_FD fd = open(c->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r = fd < 0 ? -errno : fd_read_file(fd, PASSPORT_OCTETS_MAX, &text, &n);
	if (r < 0)
		return say(EX_NOINPUT, c->file, strerror(-r));
	r = passport_read((struct view){text, n}, &old, &p, c->why, sizeof(c->why));
	if (r < 0)
		status = say(r == -EBADMSG ? EX_PROTOCOL : EX_OSERR, c->file,
			r == -EBADMSG ? c->why : strerror(-r));
	if (status == 0)
		status = check_seal(c, &p);
	if (status == 0)
		status = compare_with(c, &p, &old);
	gathered_free(&old);
	free(text);
	return status;
}

/* ---- key ---- */

static int
make_key(struct command *c)
{
	if (!c->file)
		return wrong_usage("where to? restante passport key FILE");
	if (passport_key_make(c->file, c->why, sizeof(c->why)) < 0)
		return say(EX_CANTCREAT, c->why, "");
	printf("%s signs: keep it secret. %s.pub verifies.\n", c->file, c->file);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static const struct {
	const char *name;
	int (*run)(struct command *c);
} tasks[] = {
	{"export", export},
	{"verify", verify},
	{"key", make_key},
};

int
move_passport_main(int argc, char **argv)
{
	static struct command c;
	size_t i = 0;

	(void)prctl(PR_SET_DUMPABLE, 0); /* passwords are in here */
	c = (struct command){0};
	live_options_init(&c.live);
	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		fprintf(argc < 2 ? stderr : stdout, "%s%s", help, live_options_help());
		return argc < 2 ? EX_USAGE : EX_OK;
	}
	while (i < ARRAY_SIZE(tasks) && strcmp(argv[1], tasks[i].name) != 0)
		i++;
	if (i == ARRAY_SIZE(tasks))
		return wrong_usage("the task is one of key, export and verify");
	if (!take_words(&c, argc, argv))
		return EX_USAGE;
	if (c.help) {
		printf("%s%s", help, live_options_help());
		return EX_OK;
	}
	int status = tasks[i].run(&c);
	explicit_bzero(c.password, sizeof(c.password));
	return status;
}
