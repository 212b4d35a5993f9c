#include "foreign_sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct foreign_sink s = {sink_row, sink_bad};

	for (int form = 0; form < FOREIGN_CYRUS_FORMS; form++)
		foreign_cyrus_read((struct view){data, n}, (enum foreign_cyrus)form, &s);
	return 0;
}
