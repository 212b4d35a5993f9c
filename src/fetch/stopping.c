#include "fetch/stopping.h"

#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int told = -1;

int
stopping_prepare(void)
{
	if (told < 0)
		told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return told < 0 ? -errno : 0;
}

void
stopping_tell(void)
{
	uint64_t one = 1;

	if (told >= 0)
		CHECK(write(told, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

void
stopping_done(void)
{
	fd_close(&told);
}

int
stopping_fd(void)
{
	return told;
}
