#include "foreign_sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct foreign_sink s = {sink_row, sink_bad};

	foreign_courier_read((struct view){data, n}, &s);
	return 0;
}
