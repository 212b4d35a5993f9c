#include "fetch/settings_reader.h"

#include <stdlib.h>
#include <string.h>

/* Every error is a line that names the file and holds no control character. */
static void
check_error(struct conf_sink *s, const char *line)
{
	(void)s;
	if (strncmp(line, "f:", 2) != 0)
		abort();
	for (; *line; line++)
		if ((unsigned char)*line < 0x20 && *line != '\t')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fetch_command c;

	if (settings_of_text((struct view){data, n}, check_error, &c) == 0)
		for (size_t i = 0; i < c.settings.accounts_n; i++) {
			const struct fetch_account *a = &c.settings.accounts[i];
			if (!a->host[0] || !a->targets_n || a->window == 0 ||
				a->port == 0)
				abort();
			for (size_t t = 0; t < a->targets_n; t++)
				if (!strstr(a->targets[t].text, a->targets[t].where))
					abort();
		}
	settings_free(&c);
	return 0;
}
