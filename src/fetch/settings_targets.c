#include "fetch/settings_reader.h"
#include "os/dial.h"

#include <string.h>

static const struct {
	const char *word;
	enum fetch_target_kind kind;
	const char *where;
} kinds[] = {
	{"maildir", FETCH_MAILDIR, "maildir:DIR"},
	{"mbox", FETCH_MBOX, "mbox:FILE"},
	{"lmtp", FETCH_LMTP, "lmtp:/SOCKET or lmtp:HOST:PORT"},
	{"smtp", FETCH_SMTP, "smtp:HOST[:PORT]"},
	{"program", FETCH_PROGRAM, "program:COMMAND"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Where it goes as it will be used: paths are made absolute. NULL: it is no such thing.
 */
static const char *
where_of(struct settings_reader *r, enum fetch_target_kind kind, const char *where,
	bool from_line)
{
	const struct ini_paths *paths = from_line ? &r->line_paths : &r->file_paths;
	char path[CONF_PATH_OCTETS_MAX], host[256];
	bool is_socket = kind == FETCH_LMTP && strchr("/~.", where[0]);
	uint16_t port = 0;

	if (where[0] == '\0')
		return NULL;
	if (kind == FETCH_PROGRAM)
		return where;
	if (kind == FETCH_MAILDIR || kind == FETCH_MBOX || is_socket) {
		if (!ini_path(paths, settings_view(where), path) ||
			strcmp(path, "/") == 0)
			return NULL;
		return ini_keep(&r->ini, settings_view(path));
	}
	if (!dial_split(where, kind == FETCH_SMTP ? 587 : 0, host, sizeof(host), &port) ||
		port == 0)
		return NULL;
	return where;
}

static void
add_target(struct settings_reader *r, const struct fetch_values *v, enum fetch_option i,
	size_t k, const char *where, struct fetch_account *a)
{
	bool from_line = v->levels[i] == FETCH_FROM_LINE;
	const char *as = where_of(r, kinds[k].kind, where, from_line);

	if (!as) {
		settings_complain(r, v, i, "deliver: %s:%.80s: must be %s%s",
			kinds[k].word, where, kinds[k].where,
			from_line ? "" : ", with a path from / or ~/ on");
		return;
	}
	const char *text = settings_printf(&r->ini, "%s:%s", kinds[k].word, as);
	for (size_t t = 0; t < a->targets_n; t++)
		if (strcmp(a->targets[t].text, text) == 0) {
			settings_complain(r, v, i,
				"deliver: %.80s is there twice, remove one", text);
			return;
		}
	if (a->targets_n == FETCH_TARGETS_MAX) {
		settings_complain(r, v, i, "deliver: more than %d targets, remove some",
			FETCH_TARGETS_MAX);
		return;
	}
	a->targets[a->targets_n++] = (struct fetch_target_spec){
		kinds[k].kind, text + strlen(kinds[k].word) + 1, text};
}

static void
add_deliver(struct settings_reader *r, const struct fetch_values *v, const char *text,
	struct fetch_account *a)
{
	size_t n = strcspn(text, ":"), best_d = SIZE_MAX, best = 0, d;
	struct view word = {(const uint8_t *)text, n};

	for (size_t k = 0; k < KINDS; k++) {
		if (!conf_name_is_near(word, settings_view(kinds[k].word), &d) ||
			d >= best_d)
			continue;
		best_d = d;
		best = k;
	}
	if (best_d == 0 && text[n] == ':') {
		add_target(r, v, FETCH_OPTION_deliver, best, text + n + 1, a);
		return;
	}
	settings_complain(r, v, FETCH_OPTION_deliver,
		"deliver: %.80s: must be maildir:DIR, mbox:FILE, lmtp:WHERE, "
		"smtp:HOST[:PORT] or program:COMMAND%s%s",
		text, best_d < SIZE_MAX ? "; did you mean " : "",
		best_d < SIZE_MAX ? kinds[best].where : "");
}

void
settings_targets(
	struct settings_reader *r, struct fetch_values *v, struct fetch_account *a)
{
	const enum fetch_option shorts[KINDS] = {FETCH_OPTION_maildir, FETCH_OPTION_mbox,
		FETCH_OPTION_lmtp, FETCH_OPTION_smtp, FETCH_OPTION_program};
	const struct conf_list *lists[KINDS] = {
		&v->maildir, &v->mbox, &v->lmtp, &v->smtp, &v->program};
	bool line = v->levels[FETCH_OPTION_deliver] == FETCH_FROM_LINE;
	bool any_short = false;

	for (size_t k = 0; k < KINDS; k++)
		any_short |= lists[k]->n > 0;
	/* Targets of the command line stand in place of the file's. */
	if (line || !any_short)
		for (size_t i = 0; i < v->deliver.n; i++) {
			/* What is wrong with one is told with its own line. */
			v->lines[FETCH_OPTION_deliver] = v->deliver.lines[i];
			add_deliver(r, v, v->deliver.at[i], a);
		}
	for (size_t k = 0; k < KINDS; k++)
		for (size_t i = 0; i < lists[k]->n; i++)
			add_target(r, v, shorts[k], k, lists[k]->at[i], a);
}
