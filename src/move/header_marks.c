#include "move/header_marks.h"

#include "base/ascii.h"
#include "base/check.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

static const char *const own_fields[] = {
	"return-path:", "delivered-to:", "x-original-to:", "envelope-to:",
	"delivery-date:", "status:", "x-status:", "x-uid:", "x-uidl:", "x-keywords:",
	"x-imap:", "x-imapbase:", "content-length:", "lines:"};

static struct view
line_of(struct view v)
{
	const uint8_t *lf = v.n > 0 ? memchr(v.p, '\n', v.n) : NULL;

	return (struct view){v.p, lf ? (size_t)(lf - v.p) + 1 : v.n};
}

static struct view
without_end(struct view line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static bool
is_field(struct view line, const char *name)
{
	size_t n = strlen(name);

	return line.n >= n &&
		ascii_equal_nocase((struct view){line.p, n},
			(struct view){(const uint8_t *)name, n});
}

static bool
is_own(struct view line)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_fields); i++)
		if (is_field(line, own_fields[i]))
			return true;
	return false;
}

static bool
goes_on(struct view line)
{
	return line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
}

size_t
header_marks_end(struct view octets)
{
	size_t at = 0;

	while (at < octets.n) {
		struct view line = line_of((struct view){octets.p + at, octets.n - at});
		if (line.p[line.n - 1] != '\n')
			return 0;
		at += line.n;
		if (without_end(line).n == 0)
			return at;
	}
	return 0;
}

/* ---- the digests --------------------------------------------------------------------
 */

struct work {
	EVP_MD_CTX *ctx[MARKS_RECEIVED_MAX + 1];
	uint8_t n;	  /* digests that are under way */
	bool on_top;	  /* only Received fields came so far */
	uint8_t received; /* of them */
	bool skip;	  /* the field does not count */
	bool top_field;	  /* the field is one of those on top */
	bool failed;
};

static void
put(struct work *w, struct view line)
{
	/* A Received field on top counts in those digests alone that leave out fewer. */
	uint8_t n = w->top_field && w->received <= MARKS_RECEIVED_MAX
		? w->received
		: (uint8_t)ARRAY_SIZE(w->ctx);

	for (uint8_t i = 0; i < n; i++)
		if (!EVP_DigestUpdate(w->ctx[i], line.p, line.n) ||
			!EVP_DigestUpdate(w->ctx[i], "\r\n", 2))
			w->failed = true;
}

static void
start_field(struct work *w, struct view line)
{
	w->skip = is_own(line);
	if (w->skip)
		return;
	w->on_top = w->on_top && is_field(line, "received:");
	w->top_field = w->on_top;
	if (w->on_top && w->received <= MARKS_RECEIVED_MAX)
		w->received++;
}

static void
take_id(struct view *rest, struct view line, struct header_marks *m)
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	struct view v = without_end(line);
	size_t skip = sizeof("message-id:") - 1;

	v.p += skip;
	v.n -= skip;
	/* A long one stands in the next line. */
	struct view next = line_of(*rest);
	if (ascii_trim_end(v).n == 0 && goes_on(next))
		v = without_end(next);
	while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) {
		v.p++;
		v.n--;
	}
	v = ascii_trim_end(v);
	if (v.n == 0 || !EVP_Digest(v.p, v.n, sum, NULL, EVP_sha256(), NULL))
		return;
	memcpy(m->id, sum, sizeof(m->id));
	m->has_id = true;
}

static void
take_lines(struct work *w, struct view header, struct header_marks *m)
{
	bool first = true;

	while (header.n > 0) {
		struct view line = line_of(header);
		struct view text = without_end(line);
		header.p += line.n;
		header.n -= line.n;
		bool from_line = first && is_field(text, "from ");

		first = false;
		m->stored += (uint32_t)line.n;
		m->wire += (uint32_t)text.n + 2;
		if (from_line)
			continue;
		if (text.n == 0)
			return;
		if (!goes_on(text))
			start_field(w, text);
		if (!w->skip)
			put(w, text);
		if (!m->has_id && is_field(text, "message-id:"))
			take_id(&header, text, m);
	}
}

int
header_marks_read(struct view header, struct header_marks *ret)
{
	struct work w = {.on_top = true};
	uint8_t sum[EVP_MAX_MD_SIZE];

	*ret = (struct header_marks){.n = 0};
	if (!header.p || header.n > MARKS_HEADER_MAX)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(w.ctx); i++) {
		w.ctx[i] = EVP_MD_CTX_new();
		if (!w.ctx[i] || !EVP_DigestInit_ex(w.ctx[i], EVP_sha256(), NULL))
			w.failed = true;
	}
	if (!w.failed)
		take_lines(&w, header, ret);
	for (size_t i = 0; i < ARRAY_SIZE(w.ctx); i++) {
		if (!w.failed && !EVP_DigestFinal_ex(w.ctx[i], sum, NULL))
			w.failed = true;
		memcpy(ret->digests[i], sum, MARKS_DIGEST);
		EVP_MD_CTX_free(w.ctx[i]);
	}
	ret->n = (uint8_t)(w.received < MARKS_RECEIVED_MAX ? w.received + 1
							   : MARKS_RECEIVED_MAX + 1);
	return w.failed ? -EIO : 0;
}
