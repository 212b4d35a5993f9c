/* What a SOCKS5 proxy may say: our side never waits for more than it has room for. */
#include "os/dial_parts.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct socks s = {.host = "mail.example.org", .port = 995};
	size_t at = 1;

	if (n > 0 && (data[0] & 1)) {
		memcpy(s.user, "anna", 5);
		memcpy(s.password, "secret", 7);
	}
	socks_begin(&s);
	while (s.state != SOCKS_DONE && s.state != SOCKS_FAILED) {
		if (s.want > sizeof(s.in) || s.in_n >= s.want || s.out_n == 0)
			abort();
		if (at >= n)
			return 0;
		s.in[s.in_n++] = data[at++];
		if (s.in_n == s.want)
			socks_step(&s);
	}
	if (s.state == SOCKS_FAILED && (!s.why || s.error >= 0))
		abort();
	socks_done(&s);
	return 0;
}
