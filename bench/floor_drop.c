/* The answers of the floor, rendered from Maildirs once, at the start. */
#include "floor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_MAX  (UINT64_C(1) << 36) /* of addresses; memory as it is used */
#define STORE_STEP (UINT64_C(1) << 24)
#define USERS_MAX  20000
#define UIDL_MAX   70

void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("floor: ", stderr);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	exit(1);
}

static char *
room_for(struct floor_store *s, uint64_t n)
{
	if (s->n + n > s->room) {
		s->room = (s->n + n + STORE_STEP) / STORE_STEP * STORE_STEP;
		if (s->room > STORE_MAX || ftruncate(s->fd, (off_t)s->room) < 0)
			die("no room for %" PRIu64 " octets of answers", s->room);
	}
	return s->map + s->n;
}

struct range
floor_put(struct floor_store *s, const char *text)
{
	struct range r = {s->n, strlen(text)};

	memcpy(room_for(s, r.n), text, r.n);
	s->n += r.n;
	return r;
}

[[gnu::format(printf, 3, 4)]] static void
print(struct floor_store *s, struct range *r, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (r->n == 0)
		r->at = s->n;
	r->n += floor_put(s, text).n;
}

/* Lines of any ends to lines of CRLF; *ret_octets without what is stuffed. */
static size_t
render(char *to, const char *p, size_t n, uint64_t *ret_octets)
{
	char *start = to;
	uint64_t stuffed = 0;

	for (const char *end = p + n; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t line = (size_t)((nl ? nl : end) - p);
		const char *next = nl ? nl + 1 : end;
		if (line > 0 && p[line - 1] == '\r')
			line--;
		if (line > 0 && *p == '.') {
			*to++ = '.';
			stuffed++;
		}
		memcpy(to, p, line);
		to += line;
		*to++ = '\r';
		*to++ = '\n';
		p = next;
	}
	*ret_octets = (uint64_t)(to - start) - stuffed;
	return (size_t)(to - start);
}

static char *
read_whole(int dir, const char *name, size_t *ret_n)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *p = NULL;

	if (fd < 0 || fstat(fd, &st) < 0 || !(p = malloc((size_t)st.st_size + 1)))
		die("%s: %s", name, strerror(errno));
	for (*ret_n = 0; *ret_n < (size_t)st.st_size;) {
		ssize_t got = read(fd, p + *ret_n, (size_t)st.st_size - *ret_n);
		if (got <= 0)
			die("%s: %s", name, strerror(errno));
		*ret_n += (size_t)got;
	}
	(void)close(fd);
	return p;
}

/* The answer to RETR; octets of the message. */
static uint64_t
put_mail(struct floor_store *s, int dir, const char *name, bool spoil, struct range *ret)
{
	size_t n;
	uint64_t octets;
	char *p = read_whole(dir, name, &n), *wire = malloc(n * 3 + 2);

	if (!wire)
		die("no memory");
	size_t wire_n = render(wire, p, n, &octets);
	free(p);
	if (spoil && wire_n > 0)
		wire[wire_n / 2] = wire[wire_n / 2] == 'x' ? 'y' : 'x';
	*ret = (struct range){0};
	print(s, ret, "+OK %" PRIu64 " octets\r\n", octets);
	memcpy(room_for(s, wire_n), wire, wire_n);
	s->n += wire_n;
	ret->n += wire_n;
	print(s, ret, ".\r\n");
	free(wire);
	return octets;
}

static int
visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void
put_listings(struct floor_store *s, struct floor_drop *d, struct dirent **names,
	const uint64_t *octets)
{
	uint64_t sum = 0;

	print(s, &d->list, "+OK\r\n");
	for (uint32_t i = 0; i < d->count; i++) {
		print(s, &d->list, "%u %" PRIu64 "\r\n", i + 1, octets[i]);
		sum += octets[i];
	}
	print(s, &d->list, ".\r\n");
	print(s, &d->uidl, "+OK\r\n");
	for (uint32_t i = 0; i < d->count; i++) {
		int n = (int)strcspn(names[i]->d_name, ":");
		print(s, &d->uidl, "%u %.*s\r\n", i + 1, n < UIDL_MAX ? n : UIDL_MAX,
			names[i]->d_name);
	}
	print(s, &d->uidl, ".\r\n");
	print(s, &d->stat, "+OK %u %" PRIu64 "\r\n", d->count, sum);
}

static void
put_drop(struct floor_store *s, const char *base, const char *user)
{
	struct floor_drop *d = calloc(1, sizeof(*d));
	struct dirent **names;
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s/cur", base, user);
	int n = scandir(path, &names, visible, alphasort);
	if (n < 0)
		return; /* no Maildir */
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t *octets = calloc((size_t)n + 1, sizeof(*octets));
	if (dir < 0 || !d || !octets)
		die("%s: %s", path, strerror(errno));
	d->name = strdup(user);
	d->count = (uint32_t)n;
	d->mails = calloc((size_t)n + 1, sizeof(d->mails[0]));
	if (!d->name || !d->mails)
		die("no memory");
	for (uint32_t i = 0; i < d->count; i++)
		octets[i] = put_mail(
			s, dir, names[i]->d_name, s->fault == i + 1, &d->mails[i]);
	put_listings(s, d, names, octets);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	free(octets);
	(void)close(dir);
	if (!hsearch((ENTRY){d->name, d}, ENTER))
		die("more than %d users", USERS_MAX);
}

void
floor_load(struct floor_store *s, const char *base)
{
	struct dirent **users;
	int n = scandir(base, &users, visible, alphasort);

	s->fd = memfd_create("floor", MFD_CLOEXEC);
	s->map = mmap(NULL, STORE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		s->fd, 0);
	if (n < 0 || s->fd < 0 || s->map == MAP_FAILED || !hcreate(USERS_MAX * 2))
		die("%s: %s", base, strerror(errno));
	s->ok = floor_put(s, "+OK\r\n");
	s->greeting = floor_put(s, "+OK ready\r\n");
	s->error = floor_put(s, "-ERR\r\n");
	s->capa = floor_put(s, "+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n");
	for (int i = 0; i < n; i++) {
		put_drop(s, base, users[i]->d_name);
		free(users[i]);
	}
	free(users);
}

const struct floor_drop *
floor_find(const char *name)
{
	/* hsearch() does not write to its key. */
	ENTRY *e = hsearch((ENTRY){(char *)(uintptr_t)name, NULL}, FIND);

	return e ? e->data : NULL;
}
