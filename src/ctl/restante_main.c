/*
 * restante: the face. It runs restante-NAME, found beside itself (a build tree) or where
 * the programs are installed, as git does.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define ARGUMENTS_MAX 4096

static const struct subcommand {
	const char *name;
	const char *program;
	bool names_itself; /* the program has several subcommands and gets the name too */
	const char *help;
} subcommands[] = {
	{"sandbox", "restante-sandbox", false, "a throwaway post office on loopback"},
	{"fetch", "restante-fetch", false, "collect mail from POP3 accounts"},
	{"deliver", "restante-deliver", false,
		"put one message into a maildrop, for mail servers"},
	{"import", "restante-move", true, "take over the UIDLs of another server"},
	{"check", "restante-move", true, "find damage in maildrops, and repair it"},
	{"passwd", "restante-passwd", false, "set a password in a users file"},
	{"compare", "restante-move", true,
		"ask two servers whether a move would be noticed"},
	{"passport", "restante-move", true,
		"the signed list of a maildrop, to hold against another"},
	{"torture", "restante-torture", false,
		"try a POP3 server with all that RFCs demand, and all that attackers "
		"send"},
	{"stat", "restante-ctl", true, "the counters of the running server"},
	{"who", "restante-ctl", true, "who is logged in"},
	{"kick", "restante-ctl", true, "end sessions"},
	{"why", "restante-ctl", true, "why a login is, or would be, refused"},
	{"last", "restante-ctl", true, "when users logged in last, and from where"},
	{"reload", "restante-ctl", true, "read the configuration again"},
	{"drain", "restante-ctl", true,
		"take no new connections, finish the others, end"},
	{"conf", "restante-ctl", true, "show the configuration in force"},
};
#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static void
print_help(FILE *to)
{
	fprintf(to, "usage: restante COMMAND [ARGUMENTS]\n\ncommands:\n");
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		fprintf(to, "  %-10s %s\n", subcommands[i].name, subcommands[i].help);
	fprintf(to,
		"\n'restante COMMAND --help' tells more. The server itself is "
		"restanted.\n");
}

/* ---- which one was meant ---------------------------------------------------------- */

#define NAME_OCTETS_MAX 32

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Insertions, removals and replacements between two short names. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[NAME_OCTETS_MAX + 1];
	size_t n = strlen(b);

	if (strlen(a) > NAME_OCTETS_MAX || n > NAME_OCTETS_MAX)
		return NAME_OCTETS_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t replaced = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			row[j + 1] = least(replaced, least(row[j], row[j + 1]) + 1);
		}
	}
	return row[n];
}

static const char *
nearest(const char *name)
{
	const char *best = NULL;
	size_t best_distance = 3; /* further away is not a slip of the finger */

	for (size_t i = 0; i < SUBCOMMANDS; i++) {
		size_t d = distance(name, subcommands[i].name);

		if (d < best_distance && d < strlen(subcommands[i].name)) {
			best = subcommands[i].name;
			best_distance = d;
		}
	}
	return best;
}

static int
unknown(const char *name)
{
	const char *near = nearest(name);

	fprintf(stderr, "restante: there is no command '%s'", name);
	if (near)
		fprintf(stderr, "; did you mean '%s'?\n", near);
	else
		fprintf(stderr, "; 'restante --help' lists them\n");
	return EX_USAGE;
}

/* ---- running it ---------------------------------------------------------------------
 */

/* Beside this executable. False where that cannot be told. */
static bool
path_beside(const char *program, char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (n <= 0 || n >= PATH_MAX - 1)
		return false;
	path[n] = 0;
	char *slash = strrchr(path, '/');
	if (!slash)
		return false;

	size_t room = PATH_MAX - (size_t)(slash + 1 - path);
	int put = snprintf(slash + 1, room, "%s", program);
	return put > 0 && (size_t)put < room;
}

static int
run(const struct subcommand *s, int argc, char **argv)
{
	static char program[64];
	static char *arguments[ARGUMENTS_MAX];
	char path[PATH_MAX];
	int skip = s->names_itself ? 1 : 2, n = 0;

	if (argc >= ARGUMENTS_MAX) {
		fprintf(stderr, "restante: more than %d arguments\n", ARGUMENTS_MAX - 2);
		return EX_USAGE;
	}
	(void)snprintf(program, sizeof(program), "%s", s->program);
	arguments[n++] = program;
	for (int i = skip; i < argc; i++)
		arguments[n++] = argv[i];

	if (path_beside(s->program, path))
		(void)execv(path, arguments); /* where it fails the next place is tried */
	int beside = errno;
	(void)snprintf(path, sizeof(path), "%s/%s", RESTANTE_LIBEXECDIR, s->program);
	(void)execv(path, arguments);
	int error = errno == ENOENT ? beside : errno;

	fprintf(stderr,
		"restante: cannot run %s, neither beside this program nor in %s: %s; "
		"is the installation complete?\n",
		s->program, RESTANTE_LIBEXECDIR, strerror(error));
	return EX_UNAVAILABLE;
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EX_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return EX_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("restante %s\n", RESTANTE_VERSION);
		return EX_OK;
	}
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return run(&subcommands[i], argc, argv);
	return unknown(argv[1]);
}
