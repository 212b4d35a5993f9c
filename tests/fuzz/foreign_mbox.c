#include "foreign_sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct foreign_sink s = {sink_row, sink_bad};
	struct foreign_options o = {VIEW("%08Xv%08Xu"), sink_md5};

	for (int form = 0; form < FOREIGN_MBOX_FORMS; form++)
		foreign_mbox_read(
			(struct view){data, n}, (enum foreign_mbox)form, &o, &s);
	return 0;
}
