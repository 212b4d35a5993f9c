#include "ctl/ctl_conf.h"
#include "conf/conf_table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static void
tell(struct conf_sink *s, const char *line)
{
	(void)s;
	fprintf(stderr, "%s\n", line);
}

int
ctl_conf_load(const char *file, struct conf **ret)
{
	struct conf_sink sink = {.error = tell};
	struct conf *c = conf_new();

	if (!c) {
		fprintf(stderr, "restante: no memory\n");
		return EX_OSERR;
	}
	if (!file && access(CTL_CONF_FILE, F_OK) < 0 && errno == ENOENT) {
		fprintf(stderr,
			"restante: there is no %s; name the configuration with -c\n",
			CTL_CONF_FILE);
		conf_free(&c);
		return EX_CONFIG;
	}
	if (conf_load_file(file ? file : CTL_CONF_FILE, &sink, c) > 0) {
		conf_free(&c);
		return EX_CONFIG;
	}
	*ret = c;
	return EX_OK;
}

static int
print_view(struct view v)
{
	(void)fwrite(v.p, 1, v.n, stdout);
	(void)fputc('\n', stdout);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int
unknown(enum conf_section section, const char *name)
{
	const char *near =
		conf_suggest(section, (struct view){(const uint8_t *)name, strlen(name)});

	fprintf(stderr, "restante: there is no option '%s'", name);
	if (near)
		fprintf(stderr, "; did you mean '%s'?\n", near);
	else
		fprintf(stderr, "; 'restante conf list' shows them all\n");
	return EX_USAGE;
}

static int
get_of_listener(const struct conf *c, const char *name, const char *dot)
{
	for (size_t i = 0; i < c->listeners_n; i++) {
		const struct conf_listener *l = &c->listeners[i];

		if (strlen(l->name) != (size_t)(dot - name) ||
			memcmp(l->name, name, (size_t)(dot - name)) != 0)
			continue;
		struct view v = conf_listener_get(l, dot + 1);
		return v.p ? print_view(v) : unknown(CONF_SECTION_LISTENER, dot + 1);
	}
	fprintf(stderr, "restante: there is no listener '%.*s'\n", (int)(dot - name),
		name);
	return EX_USAGE;
}

int
ctl_conf_get(const struct conf *c, const char *name)
{
	const char *dot = strrchr(name, '.');

	if (dot)
		return get_of_listener(c, name, dot);
	struct view v = conf_get(c, name);
	return v.p ? print_view(v) : unknown(CONF_SECTION_GLOBAL, name);
}

static void
print_pair(const char *name, struct view v)
{
	printf("%s = %.*s\n", name, (int)v.n, v.p ? (const char *)v.p : "");
}

int
ctl_conf_list(const struct conf *c)
{
	for (size_t i = 0; i < CONF_OPTIONS; i++)
		if (conf_rows[i].section == CONF_SECTION_GLOBAL)
			print_pair(conf_rows[i].name, c->texts[i]);
	for (size_t l = 0; l < c->listeners_n; l++) {
		printf("\n[listener %s]\n", c->listeners[l].name);
		for (size_t i = 0; i < CONF_OPTIONS; i++)
			if (conf_rows[i].section == CONF_SECTION_LISTENER)
				print_pair(conf_rows[i].name, c->listeners[l].texts[i]);
	}
	for (size_t k = 0; k < c->certificates_n; k++) {
		printf("\n[certificate %s]\n", c->certificates[k].name);
		for (size_t i = 0; i < CONF_OPTIONS; i++)
			if (conf_rows[i].section == CONF_SECTION_CERTIFICATE)
				print_pair(
					conf_rows[i].name, c->certificates[k].texts[i]);
	}
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}
