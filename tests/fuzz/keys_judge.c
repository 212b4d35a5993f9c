#include "keys/core.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* kind, scheme u16, content: what is signed has a handshake's form by a second reading.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char text[] = "TLS 1.3, server CertificateVerify";
	const struct keys_scheme *s = NULL;

	if (n < 3)
		return 0;
	struct view content = {data + 3, n - 3};
	uint16_t scheme = (uint16_t)(data[1] << 8 | data[2]);
	if (keys_judge(data[0] % 4, scheme, content, &s) != KEYS_SIGN)
		return 0;
	if (!s || s->number != scheme ||
		(s->digest == NULL) != (data[0] % 4 == KEYS_ED25519))
		abort();
	bool verify = content.n > 98 && memcmp(content.p + 64, text, sizeof(text)) == 0;
	if (verify ? content.n - 98 != 32 && content.n - 98 != 48 && content.n - 98 != 64
		   : content.p[64] != 3 || content.n != 68U + content.p[67])
		abort();
	if (verify && (s->padding == KEYS_PKCS1 || s->legacy))
		abort();
	return 0;
}
