/* Whatever reads as a ticket is written, and read again, as the same number. */
#include "base/ticket.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t text[TICKET_OCTETS];
	uint32_t id, again;

	if (!ticket_read((struct view){data, size}, &id))
		return 0;
	CHECK(size == TICKET_OCTETS || size == TICKET_OCTETS - 1);
	ticket_put(id, text);
	CHECK(ticket_read((struct view){text, sizeof(text)}, &again));
	CHECK(again == id);
	return 0;
}
