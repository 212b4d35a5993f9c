/*
 * program_input.h: a letter as a program reads it, in pieces.
 */
#ifndef FETCH_PROGRAM_INPUT_H
#define FETCH_PROGRAM_INPUT_H

#include "fetch/letter.h"
#include "wire/line_ends.h"

#define PROGRAM_BLOCK	  16384
#define PROGRAM_FIELD_MAX 80

enum program_lines {
	PROGRAM_AS_IT_IS, /* CR LF */
	PROGRAM_TO_LF,
	PROGRAM_LF_ALREADY, /* in the spool file */
};

struct program_input {
	const struct letter *letter;
	bool to_lf, over; /* over: the file was read to its end */
	struct line_ends ends;
	uint64_t at;
	size_t n, sent; /* of out */
	uint8_t block[PROGRAM_BLOCK], out[PROGRAM_BLOCK + PROGRAM_FIELD_MAX];
};

void program_input_init(struct program_input *in, const struct letter *l,
	const char *trace_id, enum program_lines lines);
/* What is next, up to a block; empty at the end. Taken with program_input_took. */
[[nodiscard]] int program_input_next(struct program_input *in, struct view *ret);
void program_input_took(struct program_input *in, size_t n);

#endif
