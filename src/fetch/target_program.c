/*
 * A program that takes mail (procmail, maildrop, fdm -m fetch, a script): /bin/sh -c
 * COMMAND for each message, the message on its standard input.
 *
 * Nothing of a message reaches the shell. What the program may know beside the message
 * is in its environment: RESTANTE_TRACE, RESTANTE_ACCOUNT, RESTANTE_SENDER,
 * RESTANTE_RECIPIENT.
 *
 * Its exit status: 0 is delivered, 65 (EX_DATAERR) and 67 (EX_NOUSER) say that this
 * message can never be taken. Everything else is tried again, as fetchmail and getmail do
 * with any status: 77 is what maildrop says for a full quota, 127 a misspelt command.
 *
 * Whoever kills us does not cut the message: the program has the whole of it in a file
 * (program_input.h), and the next run hands it over again with the same trace id.
 */
#include "fetch/target.h"

#include "fetch/durable.h"
#include "fetch/program_run.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_DATAERR 65
#define EXIT_NOUSER  67

struct target {
	const struct fetch_account *account;
	const struct fetch_target_spec *spec;
	const char *mark;
	int dir; /* STATE/spool: where input files are made */
};

static void
target_close(struct target **t)
{
	if (!*t)
		return;
	fd_close(&(*t)->dir);
	free(*t);
	*t = NULL;
}

static int
target_open(const struct target_context *c, struct target **ret, char *why, size_t why_n)
{
	AUTO_FD state = -1;
	struct target *t;
	int r;

	if (!c->spec->where[0]) {
		(void)snprintf(why, why_n, "program: there is no command");
		return -EINVAL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct target){c->account, c->spec, c->mark, -1};
	r = durable_directory(c->state_dir, &state);
	if (r == 0)
		r = durable_subdirectory(state, "spool", &t->dir);
	if (r < 0) {
		(void)snprintf(why, why_n, "%s/spool: cannot be made ready for mail: %s",
			c->state_dir, strerrordesc_np(-r));
		target_close(&t);
		return r;
	}
	*ret = t;
	return 0;
}

static int
prepare(struct target *t, struct letter *l, const char *trace_id,
	char name[LETTER_NAME_MAX])
{
	(void)t;
	(void)l;
	(void)trace_id;
	name[0] = '\0';
	return 0;
}

static void
set_fate(const struct target *t, struct letter *l, enum letter_fate fate,
	const char *what, const char *words)
{
	char place[60], said[91];
	size_t n = strlen(words), most = sizeof(said) - 1;

	durable_printable(t->spec->text, strlen(t->spec->text), place, sizeof(place));
	if (n > most)
		words += n - most;
	durable_printable(words, n < most ? n : most, said, sizeof(said));
	(void)snprintf(l->why, sizeof(l->why), "%s: %s%s%s", place, what,
		said[0] ? ": " : "", said);
	l->fate = fate;
}

static void
hand_one(const struct target *t, struct letter *l, const char *trace_id)
{
	struct program_end end;
	char what[80];
	int r = program_run(
		t->account, t->spec->where, t->dir, t->mark, l, trace_id, &end);

	if (r < 0) {
		(void)snprintf(what, sizeof(what), "%s%.50s",
			end.started ? "" : "it was not started: ",
			r == -ETIMEDOUT ? "it does not end in time (program_timeout)"
					: strerrordesc_np(-r));
		/* What was started has the whole message, and may have kept it. */
		set_fate(t, l, end.started ? LETTER_UNKNOWN : LETTER_TEMPORARY, what,
			end.words);
		return;
	}
	if (end.signal > 0) {
		(void)snprintf(what, sizeof(what), "it died of signal %d", end.signal);
		set_fate(t, l, LETTER_TEMPORARY, what, end.words);
		return;
	}
	if (end.status == 0) {
		l->fate = LETTER_DELIVERED;
		return;
	}
	(void)snprintf(what, sizeof(what), "exit status %d", end.status);
	set_fate(t, l,
		end.status == EXIT_DATAERR || end.status == EXIT_NOUSER
			? LETTER_REFUSED
			: LETTER_TEMPORARY,
		what, end.words);
}

static void
hand_over(struct target *t, struct letter *const *letters, char (*names)[LETTER_NAME_MAX],
	char (*trace_ids)[TRACE_ID_MAX], size_t n)
{
	(void)names;
	for (size_t i = 0; i < n; i++)
		hand_one(t, letters[i], trace_ids[i]);
}

static int
remove_left(void *arg, const char *name)
{
	const struct target *t = arg;

	if (strncmp(name, t->mark, strlen(t->mark)) == 0 &&
		unlinkat(t->dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int
sweep(struct target *t)
{
	return durable_scan(t->dir, remove_left, t);
}

const struct target_ops target_program = {.kind = FETCH_PROGRAM,
	.open = target_open,
	.close = target_close,
	.prepare = prepare,
	.hand_over = hand_over,
	.sweep = sweep};
