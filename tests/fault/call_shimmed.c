/*
 * call_shimmed: takes the place of a program of ours and runs the real one, which has
 * ".real" at the end of its name, with call_shim preloaded. Both lie beside it.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char self[PATH_MAX], real[PATH_MAX + 16], shim[PATH_MAX + 48],
		page[PATH_MAX + 48];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)argc;
	if (n <= 0)
		return 71;
	self[n] = '\0';
	(void)snprintf(real, sizeof(real), "%s.real", self);
	(void)snprintf(page, sizeof(page), "CALL_SHIM_PAGE=%s.page", self);
	*strrchr(self, '/') = '\0';
	(void)snprintf(shim, sizeof(shim), "LD_PRELOAD=%s/libcall_shim.so", self);
	char *const envp[] = {shim, page, NULL};
	(void)execve(real, argv, envp);
	return 72;
}
