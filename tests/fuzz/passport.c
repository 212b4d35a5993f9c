/* A passport from anybody: read or refused, and what was read is written the same. */
#include "move/passport_parts.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct passport p, again_p;
	struct gathered g, again;
	char why[256] = "", *text = NULL;
	size_t text_n = 0;

	if (passport_read((struct view){data, n}, &g, &p, why, sizeof(why)) < 0) {
		if (!why[0])
			abort();
		return 0;
	}
	(void)!passport_seal_is_good(&p);
	if (passport_write(&g, "x", p.whole, NULL, &text, &text_n) < 0)
		abort();
	struct view v = {(const uint8_t *)text, text_n};
	if (passport_read(v, &again, &again_p, why, sizeof(why)) < 0 ||
		again.side.n != g.side.n || again_p.octets != p.octets ||
		!passport_seal_is_good(&again_p))
		abort();
	for (uint32_t i = 0; i < g.side.n; i++)
		if (g.side.messages[i].uidl.n != again.side.messages[i].uidl.n)
			abort();
	gathered_free(&again);
	gathered_free(&g);
	free(text);
	return 0;
}
