/*
 * program_run.h: one run of a program that takes mail.
 */
#ifndef FETCH_PROGRAM_RUN_H
#define FETCH_PROGRAM_RUN_H

#include "fetch/letter.h"

#define PROGRAM_WORDS_MAX 200

struct program_end {
	bool started;		       /* it has the whole message since */
	int status;		       /* of exit; -1 where it died of a signal */
	int signal;		       /* 0, or what it died of */
	char words[PROGRAM_WORDS_MAX]; /* the end of what it wrote, any octets */
};

/*
 * Runs /bin/sh -c command with the letter as its standard input (LF line ends unless the
 * account wants CRLF; X-Restante-Trace first, where there is a trace id), which is a file
 * without a name made in `dir` (program_input.h has `mark`): our end does not cut it.
 * The program has a process group of its own, which is ended with it when it neither
 * ended nor read on for the account's timeout. A program that reads only a part is judged
 * by its status. 0 or -errno (-ETIMEDOUT).
 */
[[nodiscard]] int program_run(const struct fetch_account *a, const char *command, int dir,
	const char *mark, const struct letter *l, const char *trace_id,
	struct program_end *ret);

#endif
