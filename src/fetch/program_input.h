/*
 * program_input.h: a letter as a program reads it: a file of its own, without a name.
 *
 * A pipe would end where we end, in the middle of a message too, and a program cannot
 * tell that end from the message's. A file is whole before the program starts, whatever
 * becomes of us.
 */
#ifndef FETCH_PROGRAM_INPUT_H
#define FETCH_PROGRAM_INPUT_H

#include "fetch/letter.h"

enum program_lines {
	PROGRAM_AS_IT_IS, /* CR LF */
	PROGRAM_TO_LF,
	PROGRAM_LF_ALREADY, /* in the spool file */
};

/*
 * X-Restante-Trace (where there is a trace id) and the letter in a file of the directory
 * that has no name any more; *ret_fd stands at its start, the caller closes. 0 or -errno.
 */
[[nodiscard]] int program_input_make(int dir, const char *mark, const struct letter *l,
	const char *trace_id, enum program_lines lines, int *ret_fd);
/* For file systems without O_TMPFILE: made and unlinked at once. The mark begins its
 * name, by which a sweep knows what a kill between the two left. */
[[nodiscard]] int program_input_named(int dir, const char *mark, int *ret_fd);

#endif
