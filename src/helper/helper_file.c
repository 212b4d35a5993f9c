#include "helper/helper_file.h"

#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static const char *
check_file(struct helper *h, const char *option, const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return helper_why(h, "%s: %s is no file", option, path);
	if (st.st_mode & (S_IRWXO | S_IWGRP))
		return helper_why(h,
			"%s: %s is open to others than its owner and group; chmod 600 it",
			option, path);
	return NULL;
}

const char *
helper_password(struct helper *h, const char *option, char ret[HELPER_PASSWORD_MAX + 1])
{
	const char *path = helper_setting(h, option), *why;
	uint8_t *text = NULL;
	size_t n = 0;

	ret[0] = 0;
	if (!*path)
		return NULL;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return helper_why(h, "%s: %s: %s", option, path, strerrordesc_np(errno));
	why = check_file(h, option, path, fd);
	if (why)
		return why;
	int r = fd_read_file(fd, HELPER_PASSWORD_MAX + 1, &text, &n);
	if (r < 0)
		return helper_why(h, "%s: %s: %s", option, path, strerrordesc_np(-r));
	if (n > 0 && text[n - 1] == '\n')
		n--;
	bool good = n > 0 && n <= HELPER_PASSWORD_MAX && !memchr(text, '\n', n) &&
		!memchr(text, 0, n);
	if (good) {
		memcpy(ret, text, n);
		ret[n] = 0;
	}
	explicit_bzero(text, n);
	free_ptr(&text);
	return good ? NULL
		    : helper_why(h, "%s: %s must hold one line, 1 to %d octets", option,
			      path, HELPER_PASSWORD_MAX);
}
