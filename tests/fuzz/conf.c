#include "conf/conf_table.h"

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
	static const struct conf_facts facts = {4, "host"};
	struct conf_sink sink = {check_error};
	struct conf *c = conf_new();

	if (!c)
		return 0;
	if (conf_load((struct view){data, n}, "f", &facts, &sink, c) == 0) {
		if (c->listeners_n == 0 || c->fronts == 0 || c->mail_roots.n == 0)
			abort();
		for (size_t i = 0; i < CONF_OPTIONS; i++)
			if (conf_rows[i].section == CONF_SECTION_GLOBAL &&
				!conf_get(c, conf_rows[i].name).p)
				abort();
	}
	conf_free(&c);
	return 0;
}
