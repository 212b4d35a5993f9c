/* Every message over any octets; what is taken comes back the same when it is put again.
 */
#include "ipc/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t octets[MESSAGE_OCTETS_MAX];
	struct buf again = buf_over(octets, sizeof(octets));
	struct view payload;
	uint16_t which = message_number((struct view){data, n}, &payload);
	bool taken = false;

	if (n > sizeof(octets))
		return 0;
	switch (which) {
#define MESSAGE(NAME, name, number, fds, FIELDS)                                         \
	case number: {                                                                   \
		struct msg_##name m;                                                     \
		taken = msg_##name##_get(&m, payload);                                   \
		if (taken)                                                               \
			msg_##name##_put(&m, &again);                                    \
		break;                                                                   \
	}
#include "ipc/messages.def"
#undef MESSAGE
	default: break;
	}
	if (taken && (again.full || again.n != n || memcmp(octets, data, n) != 0))
		abort();
	if (message_fds_max(which) > MESSAGE_FDS_MAX || !message_name(which))
		abort();
	return 0;
}
