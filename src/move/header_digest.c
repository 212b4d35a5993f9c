#include "move/header_digest.h"

#include "base/ascii.h"
#include "base/check.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

/* Where in the header we are. */
enum at {
	AT_NAME, /* at the start of a line, whose field is not known yet */
	AT_LINE, /* within a line whose fate is known */
	AT_BODY,
};

/* What servers write into a header for themselves, or hide from some clients. */
static const char *const own_fields[] = {"status:", "x-status:", "x-uid:", "x-uidl:",
	"x-keywords:", "x-imap:", "x-imapbase:", "content-length:", "lines:"};

int
header_digest_start(struct header_digest *d, bool whole)
{
	*d = (struct header_digest){.first = true};
	d->header = EVP_MD_CTX_new();
	d->whole = whole ? EVP_MD_CTX_new() : NULL;
	if (!d->header || (whole && !d->whole) ||
		!EVP_DigestInit_ex(d->header, EVP_sha256(), NULL) ||
		(whole && !EVP_DigestInit_ex(d->whole, EVP_sha256(), NULL))) {
		header_digest_done(d);
		return -ENOMEM;
	}
	return 0;
}

static void
digest(struct header_digest *d, const void *p, size_t n)
{
	if (n == 0)
		return;
	if (d->at != AT_BODY && !EVP_DigestUpdate(d->header, p, n))
		d->failed = true;
	if (d->whole && !EVP_DigestUpdate(d->whole, p, n))
		d->failed = true;
	if (d->at != AT_BODY)
		d->header_octets += n;
}

/* Whether the line begins with one of the names; sure once the colon was seen. */
static bool
is_own_field(const struct header_digest *d)
{
	struct view line = {d->line, d->line_n};

	if (d->first && line.n >= 5 && memcmp(line.p, "From ", 5) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(own_fields); i++) {
		struct view name = {
			(const uint8_t *)own_fields[i], strlen(own_fields[i])};
		if (line.n >= name.n &&
			ascii_equal_nocase((struct view){line.p, name.n}, name))
			return true;
	}
	return false;
}

/* The start of the line decides whether it counts. */
static void
decide(struct header_digest *d)
{
	bool goes_on = d->line_n > 0 && (d->line[0] == ' ' || d->line[0] == '\t');

	if (!goes_on || d->first)
		d->skip = is_own_field(d);
	d->first = false;
	d->at = AT_LINE;
	if (!d->skip)
		digest(d, d->line, d->line_n);
	d->line_n = 0;
}

static bool
is_decided(const struct header_digest *d)
{
	uint8_t last = d->line[d->line_n - 1];

	return d->line_n == HEADER_NAME_KEPT || last == ':' || last == ' ' ||
		last == '\t';
}

static void
end_line(struct header_digest *d)
{
	d->in_line = false;
	if (d->at == AT_NAME && d->line_n == 0) {
		d->at = AT_BODY;
		digest(d, "\r\n", 2);
		return;
	}
	if (d->at == AT_NAME)
		decide(d);
	if (!d->skip || d->at == AT_BODY)
		digest(d, "\r\n", 2);
	if (d->at == AT_LINE)
		d->at = AT_NAME;
}

/* Octets without a line end. */
static void
put(struct header_digest *d, const uint8_t *p, size_t n)
{
	d->in_line = d->in_line || n > 0;
	while (n > 0 && d->at == AT_NAME) {
		d->line[d->line_n++] = *p++;
		n--;
		if (is_decided(d))
			decide(d);
	}
	if (n > 0 && (!d->skip || d->at == AT_BODY))
		digest(d, p, n);
}

void
header_digest_take(struct header_digest *d, struct view v)
{
	while (v.n > 0 && (d->at != AT_BODY || d->whole)) {
		const uint8_t *lf = memchr(v.p, '\n', v.n);
		size_t n = lf ? (size_t)(lf - v.p) : v.n;

		if (d->after_cr && n > 0)
			put(d, (const uint8_t *)"\r", 1);
		if (n > 0)
			d->after_cr = v.p[n - 1] == '\r';
		if (n > 0)
			put(d, v.p, n - d->after_cr);
		if (lf) {
			end_line(d);
			d->after_cr = false;
		}
		v.p += n + (lf ? 1 : 0);
		v.n -= n + (lf ? 1 : 0);
	}
}

int
header_digest_finish(struct header_digest *d, uint8_t ret_header[MESSAGE_DIGEST_OCTETS],
	uint8_t ret_whole[MESSAGE_DIGEST_OCTETS])
{
	if (d->after_cr)
		put(d, (const uint8_t *)"\r", 1);
	d->after_cr = false;
	if (d->in_line)
		end_line(d);
	bool good = !d->failed && EVP_DigestFinal_ex(d->header, ret_header, NULL) &&
		(!d->whole || !ret_whole ||
			EVP_DigestFinal_ex(d->whole, ret_whole, NULL));
	header_digest_done(d);
	return good ? 0 : -EIO;
}

void
header_digest_done(struct header_digest *d)
{
	EVP_MD_CTX_free(d->header);
	EVP_MD_CTX_free(d->whole);
	d->header = d->whole = NULL;
}
