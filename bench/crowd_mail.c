#include "crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- messages: a function of user and number ------------------------------------ */

/* As it is stored (ends of lines are LF), or as it travels. */
size_t
crowd_text(unsigned user, unsigned msgno, bool wire, char out[TEXT_MAX])
{
	const char *end = wire ? "\r\n" : "\n";
	uint32_t seed = user * 2654435761U + msgno * 40503U + 1;
	unsigned lines = 20 + (user * 7 + msgno * 13) % 60;
	size_t n = (size_t)snprintf(out, TEXT_MAX,
		"From: crowd@example.org%sTo: u%05u%sSubject: number %u%s%s", end, user,
		end, msgno, end, end);

	for (unsigned i = 0; i < lines; i++) {
		unsigned width = i % 13 == 12 ? 0 : 10 + seed % 64;
		if (i % 11 == 10) {
			out[n++] = '.';
			if (wire)
				out[n++] = '.';
		}
		for (unsigned j = 0; j < width; j++) {
			seed = seed * 1664525U + 1013904223U;
			out[n++] = (char)('a' + (seed >> 24) % 26);
		}
		n += (size_t)snprintf(out + n, 3, "%s", end);
	}
	return n;
}

/* Octets that STAT counts: as it travels, without what stuffing adds. */
unsigned long long
crowd_octets(unsigned user, unsigned messages)
{
	unsigned long long sum = 0;
	char text[TEXT_MAX];

	for (unsigned m = 1; m <= messages; m++) {
		size_t n = crowd_text(user, m, false, text);
		for (size_t i = 0; i < n; i++)
			sum += text[i] == '\n' ? 2 : 1;
	}
	return sum;
}

void
crowd_make(const char *dir, unsigned user, unsigned messages, unsigned uid)
{
	static const char *const parts[] = {"", "/new", "/cur", "/tmp"};
	char path[600], text[TEXT_MAX];

	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s/u%05u%s", dir, user, parts[i]);
		if (mkdir(path, 0700) < 0 || chown(path, uid, uid) < 0)
			crowd_fail(path, strerror(errno));
	}
	for (unsigned m = 1; m <= messages; m++) {
		size_t n = crowd_text(user, m, false, text);
		(void)snprintf(path, sizeof(path), "%s/u%05u/new/17%08u.M%uP1.crowd", dir,
			user, m, m);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, text, n) != (ssize_t)n ||
			fchown(fd, uid, uid) < 0 || close(fd) < 0)
			crowd_fail(path, strerror(errno));
	}
}
