#include "runner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void
fail(const char *path, int line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "%s:%d: ", path, line);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

void
text_add(struct text *t, const void *p, size_t n)
{
	if (t->n + n + 1 > t->cap) {
		t->cap = (t->n + n + 1) * 2;
		t->p = realloc(t->p, t->cap);
		CHECK(t->p);
	}
	if (n > 0)
		memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = '\0';
}

void
text_clear(struct text *t)
{
	free(t->p);
	*t = (struct text){0};
}

struct view
text_view(const struct text *t)
{
	return (struct view){t->p, t->n};
}

unsigned long long
reader_number(const struct reader *r, const char *s)
{
	unsigned long long v = 0;

	if (*s < '0' || *s > '9')
		fail(r->t->path, r->at, "a number is missing: %s", r->line);
	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (unsigned long long)(*s - '0');
	return v;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \*N{text}: text N times. Gives what follows. */
static const char *
unescape_repeat(const struct reader *r, const char *s, struct text *ret)
{
	const char *open = strchr(s, '{'), *shut = strchr(s, '}');

	if (!open || !shut)
		fail(r->t->path, r->at, "\\*N{...} is not closed");
	for (unsigned long long n = reader_number(r, s); n > 0; n--)
		text_add(ret, open + 1, (size_t)(shut - open - 1));
	return shut + 1;
}

void
reader_unescape(const struct reader *r, const char *s, struct text *ret)
{
	static const char from[] = "rnt0s\\", to[] = "\r\n\t\0 \\";

	while (*s) {
		const char *one;
		if (*s != '\\') {
			text_add(ret, s++, 1);
		} else if (s[1] == '*') {
			s = unescape_repeat(r, s + 2, ret);
		} else if (s[1] == 'x' && hex(s[2]) >= 0 && hex(s[3]) >= 0) {
			text_add(ret, &(char){(char)(hex(s[2]) * 16 + hex(s[3]))}, 1);
			s += 4;
		} else if (s[1] && (one = strchr(from, s[1]))) {
			text_add(ret, to + (one - from), 1);
			s += 2;
		} else {
			fail(r->t->path, r->at, "unknown escape: %s", s);
		}
	}
}
