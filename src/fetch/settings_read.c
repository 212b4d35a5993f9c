#include "fetch/settings_reader.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define CHUNK_OCTETS ((size_t)16 * 1024)

struct settings_chunk {
	struct settings_chunk *next;
	size_t n;
	char text[];
};

static void
to_stderr(struct conf_sink *s, const char *line)
{
	(void)s;
	(void)fprintf(stderr, "%s\n", line);
}

/* Both the file and the line keep their texts here: one pool follows the other. */
static bool
more_memory(struct ini *ini, size_t n)
{
	struct settings_reader *r = (struct settings_reader *)(void *)((char *)ini->sink -
		offsetof(struct settings_reader, sink));
	size_t cap = n > CHUNK_OCTETS ? n : CHUNK_OCTETS;
	struct settings_chunk *c = malloc(sizeof(*c) + cap);

	if (!c) {
		r->no_memory = true;
		return false;
	}
	c->next = r->memory->chunks;
	c->n = cap;
	r->memory->chunks = c;
	ini->pool = c->text;
	ini->pool_cap = cap;
	ini->pool_n = 0;
	return true;
}

bool
settings_add(struct settings_reader *r, const struct fetch_account *a)
{
	struct fetch_settings *s = &r->command->settings;
	struct settings_memory *m = r->memory;

	if (s->accounts_n == m->accounts_cap) {
		size_t cap = m->accounts_cap ? 2 * m->accounts_cap : 4;
		struct fetch_account *more =
			reallocarray(m->accounts, cap, sizeof(*more));
		if (!more) {
			r->no_memory = true;
			ini_report(&r->line, 0, "out of memory for %zu accounts", cap);
			return false;
		}
		m->accounts = s->accounts = more;
		m->accounts_cap = cap;
	}
	s->accounts[s->accounts_n++] = *a;
	return true;
}

static void
learn_paths(struct settings_reader *r)
{
	const char *home = getenv("HOME");
	struct passwd pw, *found = NULL;
	char text[2048];

	if ((!home || home[0] != '/') &&
		getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) == 0 && found)
		home = pw.pw_dir;
	if (home && home[0] == '/' && strlen(home) < sizeof(r->home)) {
		memcpy(r->home, home, strlen(home) + 1);
		r->file_paths.home = r->line_paths.home = r->home;
	}
	if (getcwd(r->here, sizeof(r->here)) && r->here[0] == '/')
		r->line_paths.here = r->here;
	r->ini.paths = &r->file_paths;
	r->line.paths = &r->line_paths;
}

/* Below the directory of the base directory specification; NULL: there is no home. */
static const char *
below(struct settings_reader *r, const char *variable, const char *usual,
	const char *rest)
{
	const char *base = getenv(variable);

	if (base && base[0] == '/' && strlen(base) < CONF_PATH_OCTETS_MAX - 64)
		return settings_printf(&r->line, "%s/%s", base, rest);
	if (!r->line_paths.home)
		return NULL;
	return settings_printf(&r->line, "%s/%s/%s", r->home, usual, rest);
}

/* Only its owner (we, or root for us) may read and write it. */
static bool
is_private(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & 077) == 0 &&
		(st.st_uid == geteuid() || st.st_uid == 0);
}

/* The file that was named must be there; the usual one only where accounts are needed. */
static void
read_file(struct settings_reader *r, const char *path, bool must)
{
	AUTO_FREE uint8_t *octets = NULL;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t n = 0;
	int rc =
		fd < 0 ? -errno : fd_read_file(fd, SETTINGS_FILE_OCTETS_MAX, &octets, &n);

	r->ini.file = path;
	if (rc == -ENOENT && !must)
		return;
	r->command->config = path;
	if (rc < 0) {
		ini_report(&r->ini, 0, "cannot be read: %s%s", strerror(-rc),
			rc == -ENOENT ? "; write it (restante-fetch.conf(5)), or give "
					"--server, --user and a target"
				      : "");
		return;
	}
	r->is_private = is_private(fd);
	settings_text(r, (struct view){octets, n});
	/* A password may stand in it. */
	explicit_bzero(octets, n);
}

static bool
given(const struct settings_reader *r, enum fetch_option i)
{
	return r->given.levels[i] == FETCH_FROM_LINE;
}

static void
choose_task(struct settings_reader *r)
{
	const struct fetch_values *v = &r->given;
	const struct {
		bool asked;
		enum fetch_task task;
		const char *argument;
	} tasks[] = {
		{v->list, FETCH_LIST, NULL},
		{v->status, FETCH_STATUS, NULL},
		{given(r, FETCH_OPTION_configure), FETCH_CONFIGURE, v->configure},
		{given(r, FETCH_OPTION_import), FETCH_IMPORT, v->import},
		{given(r, FETCH_OPTION_reconcile), FETCH_RECONCILE, v->reconcile},
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
		if (!tasks[i].asked)
			continue;
		n++;
		r->command->task = tasks[i].task;
		r->command->argument = tasks[i].argument;
	}
	if (n > 1)
		ini_report(&r->line, 0,
			"only one of --list, --status, --configure, --import and "
			"--reconcile at a time");
	if (n > 0 && v->daemon)
		ini_report(&r->line, 0,
			"--daemon collects mail, it goes with no other task");
}

static void
check_import(struct settings_reader *r)
{
	static const char *const kinds[] = {
		"fetchids:", "mpop:", "getmail:", "popstate:"};
	const char *text = r->given.import;
	char path[CONF_PATH_OCTETS_MAX], shown[CONF_SHOWN_MAX];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i]);
		if (strncmp(text, kinds[i], n) != 0 ||
			!ini_path(&r->line_paths, settings_view(text + n), path))
			continue;
		r->command->argument = settings_printf(&r->line, "%s%s", kinds[i], path);
		return;
	}
	ini_report(&r->line, 0,
		"--import %s: must be fetchids:FILE, mpop:FILE, getmail:FILE or "
		"popstate:FILE",
		conf_shown(settings_view(text), shown));
}

/* What the line alone can contradict. */
static void
check_line(struct settings_reader *r)
{
	const struct fetch_values *v = &r->given;
	char shown[CONF_SHOWN_MAX];

	if (v->quiet && v->verbose)
		ini_report(&r->line, 0, "--quiet and --verbose contradict each other");
	if (v->daemon && (v->adopt || v->dry_run || v->retry_aside))
		ini_report(&r->line, 0,
			"--daemon goes with none of --adopt, --dry-run and "
			"--retry-aside");
	if (r->one_account && r->wanted_n > 0)
		ini_report(&r->line, 0,
			"%s: %s stands for one account without a file, so name no other",
			conf_shown(settings_view(r->wanted[0]), shown),
			given(r, FETCH_OPTION_configure) ? "--configure" : "--server");
	if (given(r, FETCH_OPTION_server) && given(r, FETCH_OPTION_config) &&
		!given(r, FETCH_OPTION_configure))
		ini_report(&r->line, 0,
			"--server stands for one account without a file, leave --config "
			"out");
	if (!r->one_account && given(r, FETCH_OPTION_user))
		ini_report(&r->line, 0,
			"--user needs --server; an account of the file is called by its "
			"name");
	if (given(r, FETCH_OPTION_dns) && !given(r, FETCH_OPTION_configure))
		ini_report(&r->line, 0, "--dns belongs to --configure");
	if (given(r, FETCH_OPTION_import))
		check_import(r);
	if (given(r, FETCH_OPTION_configure)) {
		const char *at = strrchr(v->configure, '@');
		if (!at || at == v->configure || at[1] == '\0')
			ini_report(&r->line, 0, "--configure %s: must be USER@DOMAIN",
				conf_shown(settings_view(v->configure), shown));
	}
}

static void
one_account(struct settings_reader *r)
{
	struct fetch_account a;
	const char *name = NULL;

	r->now = r->defaults;
	settings_overlay(&r->now, &r->given, FETCH_FROM_LINE);
	if (r->command->task == FETCH_CONFIGURE) {
		name = r->command->argument;
		/* The address alone says whom and where, whatever [defaults] say. */
		if (!given(r, FETCH_OPTION_user))
			r->now.user = name;
		if (!given(r, FETCH_OPTION_server))
			r->now.server = "";
	}
	r->section_name = name ? name : "";
	if (settings_account(r, &r->now, name, &a))
		(void)settings_add(r, &a); /* has reported what is wrong */
}

static const char *
near_name(const struct settings_reader *r, const char *wanted)
{
	const char *best = NULL;
	size_t best_d = SIZE_MAX, d;

	for (size_t i = 0; i < r->names_n; i++) {
		if (!conf_name_is_near(
			    settings_view(wanted), settings_view(r->names[i].name), &d) ||
			d >= best_d)
			continue;
		best_d = d;
		best = r->names[i].name;
	}
	return best;
}

static void
check_wanted(struct settings_reader *r)
{
	char shown[CONF_SHOWN_MAX];

	for (size_t i = 0; i < r->wanted_n; i++) {
		if (r->wanted_found[i])
			continue;
		const char *near = near_name(r, r->wanted[i]);
		ini_report(&r->line, 0, "%s: there is no such account in %s%s%s%s",
			conf_shown(settings_view(r->wanted[i]), shown), r->ini.file,
			near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
	}
}

static void
read_accounts(struct settings_reader *r)
{
	struct fetch_command *c = r->command;
	bool optional = c->task == FETCH_STATUS || c->task == FETCH_CONFIGURE;
	const char *path = given(r, FETCH_OPTION_config)
		? r->given.config
		: below(r, "XDG_CONFIG_HOME", ".config", "restante/fetch.conf");

	if (r->one_account && c->task != FETCH_CONFIGURE) {
		one_account(r);
		return;
	}
	if (path)
		read_file(r, path,
			!optional ||
				(given(r, FETCH_OPTION_config) &&
					c->task != FETCH_CONFIGURE));
	else if (!optional)
		ini_report(&r->line, 0, "there is no home directory: give --config FILE");
	if (r->ini.errors > 0)
		return;
	if (c->task == FETCH_CONFIGURE) {
		c->config = path;
		one_account(r);
		for (size_t i = 0; i < r->names_n; i++)
			if (strcmp(r->names[i].name, c->argument) == 0)
				ini_report(&r->line, 0,
					"%s stands in %s already, line %u: remove it "
					"there",
					c->argument, r->ini.file, r->names[i].line);
		return;
	}
	check_wanted(r);
	if (c->settings.accounts_n == 0 && !optional && r->wanted_n == 0)
		ini_report(&r->ini, 0, "there is no [account NAME] in it, write one");
}

static void
run_settings(struct settings_reader *r)
{
	struct fetch_settings *s = &r->command->settings;
	struct fetch_values *v = &r->defaults;

	settings_overlay(v, &r->given, FETCH_FROM_LINE);
	s->state = v->state[0]
		? v->state
		: below(r, "XDG_STATE_HOME", ".local/state", "restante/fetch");
	if (!s->state)
		ini_report(&r->line, 0, "there is no home directory: give --state DIR");
	s->daemon = v->daemon;
	s->json = v->json;
	s->quiet = v->quiet;
	s->verbose = v->verbose;
	s->parallel = (uint32_t)v->parallel;
	s->delivery_threads = (uint32_t)v->delivery_threads;
	r->command->named = r->wanted_n > 0 || r->one_account;
	r->command->dns = v->dns[0] ? v->dns : NULL;
}

static int
read_all(struct settings_reader *r, int argc, char **argv)
{
	learn_paths(r);
	settings_defaults(r, &r->defaults);
	settings_defaults(r, &r->given);
	settings_line(r, argc, argv);
	if (r->given.help || r->given.version) {
		r->command->task = r->given.help ? FETCH_HELP : FETCH_VERSION;
		return 0;
	}
	choose_task(r);
	r->one_account =
		given(r, FETCH_OPTION_server) || given(r, FETCH_OPTION_configure);
	check_line(r);
	if (r->line.errors == 0)
		read_accounts(r);
	run_settings(r);
	if (r->no_memory)
		return EX_OSERR;
	if (r->line.errors > 0)
		return EX_USAGE;
	return r->ini.errors > 0 ? EX_CONFIG : 0;
}

static void
begin(struct settings_reader *r, void (*error)(struct conf_sink *s, const char *line),
	struct fetch_command *c)
{
	r->sink.error = error;
	r->line = (struct ini){.file = "restante fetch",
		.sink = &r->sink,
		.command_line = true,
		.more = more_memory};
	r->ini = (struct ini){
		.file = "restante fetch", .sink = &r->sink, .more = more_memory};
	r->memory = c->settings.memory;
	r->command = c;
}

size_t
settings_of_text(struct view text, void (*error)(struct conf_sink *s, const char *line),
	struct fetch_command *ret)
{
	AUTO_FREE struct settings_reader *r = calloc(1, sizeof(*r));

	*ret = (struct fetch_command){
		.settings.memory = calloc(1, sizeof(struct settings_memory))};
	if (!r || !ret->settings.memory)
		return 1;
	begin(r, error, ret);
	r->ini.file = "f";
	r->ini.paths = &r->file_paths;
	r->is_private = true;
	settings_defaults(r, &r->defaults);
	settings_text(r, text);
	free(r->names);
	return r->ini.errors + r->line.errors;
}

int
settings_read(int argc, char **argv, struct fetch_command *ret)
{
	size_t names = argc > 0 ? (size_t)argc : 1;
	AUTO_FREE struct settings_reader *r = calloc(1, sizeof(*r));
	AUTO_FREE const char **wanted = calloc(names, sizeof(*wanted));
	AUTO_FREE bool *found = calloc(names, sizeof(*found));
	struct settings_memory *memory = calloc(1, sizeof(*memory));

	*ret = (struct fetch_command){.settings.memory = memory};
	if (!r || !wanted || !found || !memory) {
		(void)fprintf(stderr, "restante fetch: out of memory\n");
		settings_free(ret);
		return EX_OSERR;
	}
	begin(r, to_stderr, ret);
	r->wanted = wanted;
	r->wanted_found = found;
	int rc = read_all(r, argc, argv);
	free(r->names);
	/* Passwords of accounts that are not wanted lie in the pool only. */
	explicit_bzero(r, sizeof(*r));
	if (rc != 0)
		settings_free(ret);
	return rc;
}

void
settings_free(struct fetch_command *c)
{
	struct settings_memory *m = c->settings.memory;

	if (m) {
		for (struct settings_chunk *k = m->chunks, *next; k; k = next) {
			next = k->next;
			explicit_bzero(k->text, k->n);
			free(k);
		}
		free(m->accounts);
		free(m);
	}
	*c = (struct fetch_command){0};
}
