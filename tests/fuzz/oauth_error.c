#include "fetch/login_rows.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Whatever a server sends: words that fit, end, and show nothing but ASCII. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char words[480], few[20];

	memset(words, 1, sizeof(words));
	oauth_error_words((struct view){data, n}, words, sizeof(words));
	if (!memchr(words, '\0', sizeof(words)) || words[0] == '\0')
		abort();
	for (const char *p = words; *p; p++)
		if (*p < 0x20 || *p > 0x7E)
			abort();
	oauth_error_words((struct view){data, n}, few, sizeof(few));
	if (strncmp(few, words, sizeof(few) - 1) != 0)
		abort();
	return 0;
}
