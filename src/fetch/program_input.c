#include "fetch/program_input.h"

#include "base/check.h"
#include "os/fd.h"

#include <stdio.h>
#include <string.h>

void
program_input_init(struct program_input *in, const struct letter *l, const char *trace_id,
	enum program_lines lines)
{
	in->letter = l;
	in->to_lf = lines == PROGRAM_TO_LF;
	in->over = false;
	in->ends = (struct line_ends){0};
	in->at = 0;
	in->n = in->sent = 0;
	if (trace_id[0]) {
		int n = snprintf((char *)in->out, PROGRAM_FIELD_MAX,
			"X-Restante-Trace: %s%s\n", trace_id,
			lines == PROGRAM_AS_IT_IS ? "\r" : "");

		CHECK(n > 0 && n < PROGRAM_FIELD_MAX);
		in->n = (size_t)n;
	}
}

int
program_input_next(struct program_input *in, struct view *ret)
{
	while (in->sent == in->n && !in->over) {
		uint64_t left = in->letter->stored - in->at;
		size_t take = left < PROGRAM_BLOCK ? (size_t)left : PROGRAM_BLOCK;
		int r = fd_pread_all(in->letter->fd, in->block, take, in->at);

		if (r < 0)
			return r;
		in->at += take;
		in->sent = 0;
		in->over = take == left;
		if (in->to_lf) {
			in->n = line_ends_to_lf(&in->ends, in->block, take, in->out);
			if (in->over)
				in->n += line_ends_finish(&in->ends, in->out + in->n);
		} else {
			memcpy(in->out, in->block, take);
			in->n = take;
		}
	}
	*ret = (struct view){in->out + in->sent, in->n - in->sent};
	return 0;
}

void
program_input_took(struct program_input *in, size_t n)
{
	CHECK(n <= in->n - in->sent);
	in->sent += n;
}
