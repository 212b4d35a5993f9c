/*
 * restante-deliver: one message from standard input into one maildrop, for MTAs that
 * pipe. It runs as the recipient; its exit status is 0 only after the message is durable.
 */
#include "deliver/deliver_one.h"
#include "ipc/permit.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/deposit_write.h"
#include "store/store.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define CONF_FILE RESTANTE_SYSCONFDIR "/restante.conf"

static const char help[] =
	"usage: restante deliver [--maildrop maildir:PATH|mbox:PATH] [-f SENDER]\n"
	"                        [-a RECIPIENT] [-d USER] [--config FILE]\n"
	"\n"
	"Puts the message on standard input into one maildrop, as the caller. It is for\n"
	"mail servers that pipe; see restante-deliver(1).\n"
	"\n"
	"  --maildrop WHERE  maildir:PATH or mbox:PATH; by default what the option "
	"maildrop\n"
	"                    of the configuration says\n"
	"  -f SENDER         of the envelope; by default $SENDER\n"
	"  -a RECIPIENT      as the sender wrote it; by default $RECIPIENT\n"
	"  -d USER           whose mail it is; by default the caller's. Run as root: "
	"becomes\n"
	"                    that user first\n"
	"  --config FILE     by default " CONF_FILE ", if it is there\n"
	"\n"
	"Exit status: 0 it is stored durably; 64 wrong usage; 65 no message, or one that "
	"is\n"
	"too large; 67 no such user; 69 or 73 it cannot be stored; 75 try again later.\n";

static int
read_wish(int argc, char **argv, struct wish *w)
{
	static const struct option options[] = {
		{"maildrop", required_argument, NULL, 'm'},
		{"config", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static char name[] = "restante deliver";
	int which;

	argv[0] = name; /* getopt's own messages begin with it */
	while ((which = getopt_long(argc, argv, "a:d:f:h", options, NULL)) != -1)
		switch (which) {
		case 'm': w->maildrop = optarg; break;
		case 'c': w->config = optarg; break;
		case 'a': w->recipient = optarg; break;
		case 'd': w->user = optarg; break;
		case 'f': w->sender = optarg; break;
		case 'h': w->help = true; break;
		default: return EX_USAGE;
		}
	if (optind < argc)
		return deliver_fail(EX_USAGE, "5.3.5",
			"%s: no argument is expected here; 'restante deliver --help' "
			"tells more",
			argv[optind]);
	return EX_OK;
}

/* What MTAs say by the environment, where the command line says nothing. */
static void
read_environment(struct wish *w)
{
	if (!w->sender)
		w->sender = getenv("SENDER");
	if (!w->recipient)
		w->recipient = getenv("RECIPIENT");
	if (!w->recipient)
		w->recipient = getenv("ORIGINAL_RECIPIENT");
}

static void
tell(struct conf_sink *s, const char *line)
{
	(void)s;
	(void)fprintf(stderr, "4.3.5 restante deliver: %s\n", line);
}

/* Defaults; a server that listens nowhere would be an error. */
static int
conf_without_file(struct conf_sink *sink, struct conf *c)
{
	static const char text[] = "plaintext = loopback\n"
				   "[listener none]\n"
				   "address = 127.0.0.1:110\n";
	char host[256] = "";
	struct conf_facts facts = {.processors = 1, .hostname = host};

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	return conf_load((struct view){(const uint8_t *)text, sizeof(text) - 1},
		       "(defaults)", &facts, sink, c) > 0
		? EX_TEMPFAIL
		: EX_OK;
}

/*
 * A configuration that cannot be read may say where mail belongs: only who names the
 * maildrop can do without it.
 */
static int
read_conf(const struct wish *w, struct conf *c)
{
	struct conf_sink sink = {.error = tell};
	const char *file = w->config ? w->config : CONF_FILE;

	if (!w->config && access(file, R_OK) < 0 && (errno == ENOENT || w->maildrop))
		return conf_without_file(&sink, c);
	return conf_load_file(file, &sink, c) > 0 ? EX_TEMPFAIL : EX_OK;
}

/* NULL: nobody said; an empty one is <> (RFC 5321 s.4.5.5). */
static struct view
sender_of(const char *text)
{
	struct view v = {(const uint8_t *)text, text ? strlen(text) : 0};

	if (v.n >= 2 && v.p[0] == '<' && v.p[v.n - 1] == '>') {
		v.p++;
		v.n -= 2;
	}
	/* So some MTAs write the empty one for programs. */
	if (v.n == 13 && memcmp(v.p, "MAILER-DAEMON", 13) == 0)
		v.n = 0;
	return v;
}

static const struct outcome {
	int error, status;
	const char *code, *what;
} outcomes[] = {
	{EDQUOT, EX_TEMPFAIL, "4.2.2", "the quota is used up"},
	{ENOSPC, EX_TEMPFAIL, "4.3.1", "no space on the disk"},
	{EFBIG, EX_UNAVAILABLE, "5.3.4", "larger than the file system takes"},
	{EAGAIN, EX_TEMPFAIL, "4.2.0", "another program holds its lock"},
	{EROFS, EX_TEMPFAIL, "4.2.0", NULL},
	{EACCES, EX_CANTCREAT, "5.2.0", NULL},
	{EPERM, EX_CANTCREAT, "5.2.0", NULL},
	{ELOOP, EX_CANTCREAT, "5.2.0", "a symbolic link is in the way"},
	{EXDEV, EX_CANTCREAT, "5.2.0", "the path leads elsewhere"},
	{ENOTDIR, EX_CANTCREAT, "5.2.0", NULL},
	{EISDIR, EX_CANTCREAT, "5.2.0", NULL},
	{EINVAL, EX_CANTCREAT, "5.2.0", "it is not what it should be"},
	{ENAMETOOLONG, EX_CANTCREAT, "5.2.0", NULL},
};

static int
say_outcome(const struct place *p, int result)
{
	static const struct outcome other = {0, EX_TEMPFAIL, "4.3.0", NULL};
	const struct outcome *o = &other;

	if (result == 0)
		return EX_OK;
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		if (outcomes[i].error == -result)
			o = &outcomes[i];
	return deliver_fail(o->status, o->code, "%s: %s", p->path,
		o->what ? o->what : strerrordesc_np(-result));
}

/* Some MTAs bounce what was for a program that a signal ended. */
static void
give_up(int number)
{
	static const char words[] = "4.3.2 restante deliver: ended by a signal\n";

	(void)number;
	(void)!write(STDERR_FILENO, words, sizeof(words) - 1);
	_exit(EX_TEMPFAIL);
}

static void
set_signals(const int *list, size_t n, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};

	for (size_t i = 0; i < n; i++)
		(void)sigaction(list[i], &action, NULL); /* these numbers are legal */
}

static const int ends[] = {SIGHUP, SIGINT, SIGTERM};

/* What an mbox has grown to becomes less again: only a message that is too large by
 * itself never fits. */
static int
of_an_mbox(int result, const struct place *p, const struct input *in)
{
	struct rlimit limit;

	if (result != -EFBIG || p->kind != STORE_MBOX)
		return result;
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || in->length >= limit.rlim_cur)
		return result;
	return -EDQUOT;
}

static int
put_in(const struct wish *w, const struct conf *c, const struct place *p,
	const struct input *in)
{
	const struct store_ops *ops = store_ops_of(p->kind);
	char host[DEPOSIT_HOST_MAX];
	struct store *s;

	if (!ops)
		return deliver_fail(EX_UNAVAILABLE, "5.3.5",
			"%s: mail of this kind is not "
			"known here",
			p->path);
	deposit_hostname(
		(struct view){(const uint8_t *)c->hostname, strlen(c->hostname)}, host);
	struct store_options o = {.hostname = host,
		.folders = {(const uint8_t *)c->folders, c->folders_n},
		.mbox_unquote = c->mbox_unquote,
		.mbox_lengths = c->mbox_lengths,
		.mbox_rename = c->mbox_rename};
	struct store_deposit d = {.fd = in->fd,
		.length = in->length,
		.now_s = clock_unix_s(),
		.result = -EIO};
	if (!in->has_return_path)
		d.sender = sender_of(w->sender);
	if (!in->has_recipient && w->recipient)
		d.recipient = (struct view){
			(const uint8_t *)w->recipient, strlen(w->recipient)};
	int r = ops->open(p->root, p->path, &o, &s);
	if (r < 0)
		return say_outcome(p, r);
	/* From here on the answer is what became of the message. */
	set_signals(ends, sizeof(ends) / sizeof(ends[0]), SIG_IGN);
	ops->deposit(s, &d, 1);
	ops->close(&s);
	return say_outcome(p, of_an_mbox(d.result, p, in));
}

static int
deliver(const struct wish *w, const struct conf *c)
{
	struct place p = {.root = -1};
	struct input in = {.fd = -1};
	struct view recipient = {
		(const uint8_t *)w->recipient, w->recipient ? strlen(w->recipient) : 0};

	int status = deliver_where(w, c, &p);
	if (status == EX_OK)
		status = deliver_input(c->message_size_max, p.root, recipient, &in);
	if (status == EX_OK)
		status = put_in(w, c, &p, &in);
	fd_close(&in.fd);
	fd_close(&p.root);
	return status;
}

int
main(int argc, char **argv)
{
	struct wish w = {.help = false};
	int status = read_wish(argc, argv, &w);

	if (status != EX_OK)
		return status;
	if (w.help)
		return fputs(help, stdout) < 0 || fflush(stdout) != 0 ? EX_IOERR : EX_OK;
	/* A write beyond a limit, or to an MTA that is gone, answers with its error. */
	static const int errors[] = {SIGPIPE, SIGXFSZ};
	set_signals(errors, sizeof(errors) / sizeof(errors[0]), SIG_IGN);
	set_signals(ends, sizeof(ends) / sizeof(ends[0]), give_up);
	(void)umask(077);
	read_environment(&w);
	struct conf *c = conf_new();
	if (!c)
		return deliver_fail(EX_TEMPFAIL, "4.3.0", "no memory");
	status = read_conf(&w, c);
	if (status == EX_OK)
		status = deliver(&w, c);
	conf_free(&c);
	return status;
}
