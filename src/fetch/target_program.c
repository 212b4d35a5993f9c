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
 */
#include "fetch/target.h"

#include "fetch/durable.h"
#include "fetch/program_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_DATAERR 65
#define EXIT_NOUSER  67

struct target {
	const struct fetch_account *account;
	const struct fetch_target_spec *spec;
};

static int
target_open(const struct target_context *c, struct target **ret, char *why, size_t why_n)
{
	struct target *t;

	if (!c->spec->where[0]) {
		(void)snprintf(why, why_n, "program: there is no command");
		return -EINVAL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct target){c->account, c->spec};
	*ret = t;
	return 0;
}

static void
target_close(struct target **t)
{
	free(*t);
	*t = NULL;
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
	char place[60], said[PROGRAM_WORDS_MAX];

	durable_printable(t->spec->text, strlen(t->spec->text), place, sizeof(place));
	durable_printable(words, strlen(words), said, sizeof(said));
	(void)snprintf(l->why, sizeof(l->why), "%s: %s%s%.120s", place, what,
		said[0] ? ": " : "", said);
	l->fate = fate;
}

static void
hand_one(const struct target *t, struct letter *l, const char *trace_id)
{
	struct program_end end;
	char what[80];
	int r = program_run(t->account, t->spec->where, l, trace_id, &end);

	if (r < 0) {
		/* It may have taken a part, or all: only the latter is in doubt. */
		(void)snprintf(what, sizeof(what), "%s",
			r == -ETIMEDOUT ? "it does not end in time"
					: strerrordesc_np(-r));
		set_fate(t, l, end.all_given ? LETTER_UNKNOWN : LETTER_TEMPORARY, what,
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

const struct target_ops target_program = {.kind = FETCH_PROGRAM,
	.open = target_open,
	.close = target_close,
	.prepare = prepare,
	.hand_over = hand_over};
