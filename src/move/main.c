/* restante-move: carries maildrops over from other servers, and proves it. */
#include "base/check.h"
#include "move/compare.h"
#include "move/move.h"
#include "move/passport.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} subcommands[] = {
	{"import", move_import_main},
	{"check", move_check_main},
	{"passport", move_passport_main},
	{"compare", move_compare_main},
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(subcommands); i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return subcommands[i].main(argc - 1, argv + 1);
	(void)fputs(
		"restante-move: run it as restante import, check, passport or compare\n",
		stderr);
	return EX_USAGE;
}
