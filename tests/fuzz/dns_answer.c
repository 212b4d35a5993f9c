#include "fetch/dns_srv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Every target that is believed is a name; the order keeps all of them. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint32_t random[SRV_RECORDS_MAX] = {0}, sum = 0;
	struct srv_answer a;

	if (n > 0)
		memcpy(random, data, n < sizeof(random) ? n : sizeof(random));
	if (dns_srv_answer((struct view){data, n}, "_pop3._tcp.a.b", 0x3031, &a) !=
		DNS_ANSWER)
		return 0;
	if (a.n > SRV_RECORDS_MAX || (a.refused && a.n > 0))
		abort();
	for (size_t i = 0; i < a.n; i++) {
		if (!dns_is_name(a.records[i].target) || a.records[i].port == 0)
			abort();
		sum += a.records[i].port;
	}
	dns_srv_order(&a, random);
	for (size_t i = 0; i < a.n; i++) {
		sum -= a.records[i].port;
		if (i > 0 && a.records[i].priority < a.records[i - 1].priority)
			abort();
	}
	if (sum != 0)
		abort();
	return 0;
}
