/* Whatever a proxy says first: an outcome that more octets do not change, within limits.
 */
#include "wire/proxy_header.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxy_header all, part;
	enum proxy_outcome whole = proxy_header_read((struct view){data, n}, &all);

	if (whole == PROXY_MORE && n >= PROXY_HEADER_MAX)
		abort();
	if (whole == PROXY_ADDRESS || whole == PROXY_LOCAL)
		if (all.octets > n || all.octets > PROXY_HEADER_MAX || all.octets < 15)
			abort();
	for (size_t i = 0; i < n; i++) {
		enum proxy_outcome o = proxy_header_read((struct view){data, i}, &part);
		if (o == PROXY_MORE)
			continue;
		if (o != whole)
			abort();
		if (o != PROXY_BAD && memcmp(&all, &part, sizeof(all)) != 0)
			abort();
	}
	return 0;
}
