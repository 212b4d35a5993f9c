/*
 * The session against any client and any outside. Each step of the input is one octet
 * that says what happens and, for a write, the octets: every want is met by an answer
 * that the input picks. server_step_fake.h holds the invariants.
 */
#include "server_step_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake f;

	fake_init(&f, (struct view){data, size});
	while (fake_run(&f))
		continue;
	session_done(&f.s);
	return 0;
}
