#include "foreign_sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first line is the format. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct foreign_sink s = {sink_row, sink_bad};
	const uint8_t *lf = n > 0 ? memchr(data, '\n', n) : NULL;
	size_t at = lf ? (size_t)(lf - data) : n;
	struct foreign_options o = {{data, at}, sink_md5};

	if (!lf || foreign_format_fault(o.format))
		o.format = VIEW("%08Xu%08Xv");
	if (lf)
		foreign_dovecot_read((struct view){lf + 1, n - at - 1}, &o, &s);
	return 0;
}
