/* The checks of the dot codec without cmocka: for the emulator (tests/tools/neon-test).
 */
#include "pop3/dot.h"
#include "wire_dot_checks.h"

#include <stdio.h>
#include <string.h>

/* Arguments: kernels that must be there. 0 if all is well. */
int
main(int argc, char **argv)
{
	size_t n;
	const struct dot_kernel *const *kernels = dot_kernels(&n);
	int faults = 0;

	for (int i = 1; i < argc; i++) {
		size_t k = 0;

		while (k < n && strcmp(kernels[k]->name, argv[i]) != 0)
			k++;
		if (k == n) {
			printf("not ok - kernel %s is not offered\n", argv[i]);
			faults++;
		}
	}
	for (unsigned i = 0; i < dot_checks_n; i++) {
		const char *wrong = dot_checks[i].run();

		printf("%s - %s%s%s\n", wrong ? "not ok" : "ok", dot_checks[i].name,
			wrong ? ": " : "", wrong ? wrong : "");
		faults += wrong != NULL;
	}
	return faults == 0 ? 0 : 1;
}
