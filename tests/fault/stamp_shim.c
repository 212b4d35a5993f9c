/*
 * Preloaded into restante-auth by test_auth_process.py: files on a file system that knows
 * whole seconds alone and has no ctime of its own, so that a test can give two changes
 * the same stamp (utimensat(2) sets mtime, and by that ctime).
 */
#include <dlfcn.h>
#include <sys/stat.h>

int
fstat64(int fd, struct stat64 *ret)
{
	static int (*next)(int, struct stat64 *);

	if (!next)
		next = (__typeof__(next))dlsym(RTLD_NEXT, "fstat64");
	int r = next(fd, ret);
	if (r == 0) {
		ret->st_mtim.tv_nsec = 0;
		ret->st_ctim = ret->st_mtim;
	}
	return r;
}
