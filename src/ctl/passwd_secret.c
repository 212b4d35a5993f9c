#include "ctl/passwd_secret.h"
#include "base/check.h"
#include "os/fd.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

/* What libxcrypt calls them and what Dovecot users say. */
struct secret_scheme {
	const char *name, *prefix;
	bool scram;
	enum scram_hash hash;
};

static const struct secret_scheme schemes[] = {
	{"yescrypt", "$y$", false, 0},
	{"gost-yescrypt", "$gy$", false, 0},
	{"scrypt", "$7$", false, 0},
	{"bcrypt", "$2b$", false, 0},
	{"sha512-crypt", "$6$", false, 0},
	{"sha256-crypt", "$5$", false, 0},
	{"scram-sha-256", "{SCRAM-SHA-256}", true, SCRAM_SHA_256},
	{"scram-sha-1", "{SCRAM-SHA-1}", true, SCRAM_SHA_1},
};

static volatile sig_atomic_t stopped;

static void
on_signal(int signal_number)
{
	stopped = signal_number;
}

const char *
secret_schemes(void)
{
	return "yescrypt gost-yescrypt scrypt bcrypt sha512-crypt sha256-crypt "
	       "scram-sha-256 scram-sha-1";
}

static const struct secret_scheme *
find_scheme(const char *scheme)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strcmp(schemes[i].name, scheme) == 0)
			return &schemes[i];
	return NULL;
}

bool
secret_scheme_known(const char *scheme)
{
	return find_scheme(scheme) != NULL;
}

bool
secret_scheme_is_scram(const char *scheme)
{
	const struct secret_scheme *found = find_scheme(scheme);

	return found && found->scram;
}

static bool
hash_scram(const struct secret *s, const struct secret_scheme *scheme, uint32_t rounds,
	struct buf *out)
{
	struct scram_keys k = {
		.hash = scheme->hash, .rounds = rounds, .salt_n = SCRAM_SALT_N};

	if (getrandom(k.salt, k.salt_n, 0) != (ssize_t)k.salt_n ||
		!scram_derive((struct view){(const uint8_t *)s->text, s->n}, &k))
		return false;
	buf_put_str(out, scheme->prefix);
	scram_write(&k, out);
	explicit_bzero(&k, sizeof(k));
	return !out->full;
}

static bool
hash_crypt(const struct secret *s, const char *prefix, struct buf *out)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data *data = calloc(1, sizeof(*data));

	bool ok = data && crypt_gensalt_rn(prefix, 0, NULL, 0, setting, sizeof(setting));
	const char *hash = ok ? crypt_rn(s->text, setting, data, sizeof(*data)) : NULL;
	if (hash && hash[0] != '*') {
		buf_put_str(out, "{CRYPT}");
		buf_put_str(out, hash);
	}
	ok = hash && hash[0] != '*' && !out->full;
	if (data)
		explicit_bzero(data, sizeof(*data));
	free(data);
	return ok;
}

bool
secret_hash(const struct secret *s, const char *scheme, uint32_t rounds, struct buf *out)
{
	const struct secret_scheme *found = find_scheme(scheme);

	CHECK(found);
	return found->scram ? hash_scram(s, found, rounds, out)
			    : hash_crypt(s, found->prefix, out);
}

/*
 * The signals that end the question come only in here: one that came between a look at
 * `stopped` and the read would be slept over.
 */
static ssize_t
read_octet(int fd, const sigset_t *open_mask, char *ret)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (ppoll(&p, 1, NULL, open_mask) < 0)
		if (errno != EINTR || stopped)
			return -1;
	return read(fd, ret, 1);
}

/* One line without its end, octet by octet: nothing may stay in a buffer of stdio. */
static int
read_line(int fd, const sigset_t *open_mask, struct secret *ret)
{
	ret->n = 0;
	for (;;) {
		char c;
		ssize_t n = read_octet(fd, open_mask, &c);
		if (n < 0 && errno == EINTR && !stopped)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 || c == '\n')
			break;
		if (c == 0)
			return -EILSEQ;
		if (ret->n == SECRET_MAX)
			return -E2BIG;
		ret->text[ret->n++] = c;
	}
	ret->text[ret->n] = 0;
	return ret->n > 0 ? 0 : -ENODATA;
}

static int
complain(int error)
{
	const char *why = strerrordesc_np(-error);

	switch (error) {
	case -ENODATA: why = "the password is empty"; break;
	case -E2BIG: why = "the password is longer than 511 octets"; break;
	case -EILSEQ: why = "the password holds a NUL octet"; break;
	case -EKEYREJECTED: why = "the two passwords differ; nothing was changed"; break;
	default: break;
	}
	(void)fprintf(stderr, "restante passwd: %s\n", why);
	return error == -EINTR ? EX_TEMPFAIL : EX_DATAERR;
}

static int
ask(int tty, const sigset_t *open_mask, const char *question, struct secret *ret)
{
	int r = fd_write_all(tty, question, strlen(question));

	if (r == 0)
		r = read_line(tty, open_mask, ret);
	(void)!fd_write_all(tty, "\n", 1);
	return r;
}

static int
ask_twice(int tty, const sigset_t *open_mask, struct secret *ret)
{
	struct secret again = {.n = 0};
	int r = ask(tty, open_mask, "New password: ", ret);

	if (r == 0)
		r = ask(tty, open_mask, "Once more: ", &again);
	if (r == 0 && (again.n != ret->n || memcmp(again.text, ret->text, ret->n) != 0))
		r = -EKEYREJECTED;
	explicit_bzero(&again, sizeof(again));
	return r;
}

/* With the echo off; it is on again whatever comes, a signal too. */
static int
from_terminal(struct secret *ret)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
	struct sigaction action = {
		.sa_handler = on_signal}; /* no SA_RESTART: read must end */
	struct termios before;
	AUTO_FD tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (tty < 0 || tcgetattr(tty, &before) < 0) {
		(void)fputs("restante passwd: there is no terminal to ask; "
			    "use --stdin to give the password on standard input\n",
			stderr);
		return EX_USAGE;
	}
	sigset_t ours;
	sigset_t before_mask;
	(void)sigemptyset(&ours);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		(void)sigaddset(&ours, signals[i]);
		(void)sigaction(signals[i], &action, NULL);
	}
	(void)sigprocmask(SIG_BLOCK, &ours, &before_mask);
	struct termios silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	int r = tcsetattr(tty, TCSAFLUSH, &silent) < 0
		? -errno
		: ask_twice(tty, &before_mask, ret);
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	if (stopped)
		r = -EINTR;
	return r < 0 ? complain(r) : 0;
}

int
secret_read(bool from_stdin, struct secret *ret)
{
	if (!from_stdin)
		return from_terminal(ret);
	int r = read_line(STDIN_FILENO, NULL, ret);
	return r < 0 ? complain(r) : 0;
}
