/* The arguments of XCLIENT: nothing but an address and a port comes out, or nothing. */
#include "base/check.h"
#include "wire/pop3_xclient.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t none[16];
	struct pop3_peer peer, before;

	memset(&before, 0x5A, sizeof(before));
	peer = before;
	if (!xclient_parse((struct view){data, size}, &peer)) {
		CHECK(memcmp(&peer, &before, sizeof(peer)) == 0);
		return 0;
	}
	CHECK(memchr(data, '=', size));
	CHECK(peer.has_port || peer.port == 0);
	CHECK(peer.has_address || memcmp(peer.address, none, sizeof(none)) == 0);
	return 0;
}
