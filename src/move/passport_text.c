#include "move/passport_parts.h"
#include "move/show.h"
#include "os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROW_ROOM (SHOW_WORD_MAX(4096) + 512)

static void
put_time(FILE *f)
{
	time_t now = (time_t)clock_unix_s();
	struct tm tm = {0};
	char text[32] = "";

	(void)gmtime_r(&now, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(f, "made %s\n", text);
}

static void
put_digest(struct buf *b, bool has, const uint8_t digest[MESSAGE_DIGEST_OCTETS])
{
	buf_put_u8(b, ' ');
	if (has)
		show_hex(b, digest, MESSAGE_DIGEST_OCTETS);
	else
		buf_put_u8(b, '-');
}

static bool
put_message(FILE *f, const struct compare_message *m, bool whole)
{
	uint8_t storage[ROW_ROOM];
	struct buf b = buf_over(storage, sizeof(storage));

	buf_put_dec(&b, m->number);
	buf_put_u8(&b, ' ');
	if (!m->uidl.p)
		buf_put_u8(&b, '-');
	else if (m->uidl.n == 0)
		buf_put_u8(&b, '%');
	else
		show_word(&b, m->uidl);
	buf_put_u8(&b, ' ');
	buf_put_dec(&b, m->size);
	put_digest(&b, m->has_header, m->header);
	if (whole)
		put_digest(&b, m->has_whole, m->whole);
	buf_put_u8(&b, '\n');
	return !b.full && fwrite(b.p, 1, b.n, f) == b.n;
}

static bool
put_list(FILE *f, const struct gathered *g, const char *of, bool whole)
{
	uint8_t storage[PASSPORT_LINE_MAX / 2];
	struct buf name = buf_over(storage, sizeof(storage));
	uint64_t octets = 0;

	show_word(&name, show_view(of));
	for (uint32_t i = 0; i < g->side.n; i++)
		if (__builtin_add_overflow(octets, g->side.messages[i].size, &octets))
			return false;
	fprintf(f, "restante-passport %d\n", PASSPORT_VERSION);
	put_time(f);
	fprintf(f,
		"of %.*s\ndigests header%s\nuidls %s\nmessages %" PRIu32 " %" PRIu64 "\n",
		(int)name.n, (const char *)name.p, whole ? " whole" : "",
		g->side.has_uidls ? "yes" : "no", g->side.n, octets);
	for (uint32_t i = 0; i < g->side.n; i++)
		if (!put_message(f, &g->side.messages[i], whole))
			return false;
	fprintf(f, "end %" PRIu32 "\n", g->side.n);
	return !name.full;
}

static int
put_seal(FILE *f, struct view text, const struct passport_key *key)
{
	uint8_t digest[MESSAGE_DIGEST_OCTETS], public[PASSPORT_KEY_OCTETS];
	uint8_t signature[PASSPORT_SIGNATURE_OCTETS], storage[256];
	struct buf b = buf_over(storage, sizeof(storage));
	int r = key ? passport_key_sign(key, text, signature)
		    : passport_digest(text, digest);

	if (r < 0)
		return r;
	buf_put_str(&b, key ? "ed25519 " : "sha256 ");
	if (key) {
		passport_key_public(key, public);
		show_hex(&b, public, sizeof(public));
		buf_put_u8(&b, ' ');
		show_hex(&b, signature, sizeof(signature));
	} else {
		show_hex(&b, digest, sizeof(digest));
	}
	buf_put_u8(&b, '\n');
	return fwrite(b.p, 1, b.n, f) == b.n ? 0 : -EIO;
}

int
passport_write(const struct gathered *g, const char *of, bool whole,
	const struct passport_key *key, char **ret, size_t *ret_n)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	int r = f ? 0 : -ENOMEM;

	if (r == 0 && (!put_list(f, g, of, whole) || fflush(f) != 0))
		r = -E2BIG;
	if (r == 0)
		r = put_seal(f, (struct view){(const uint8_t *)text, n}, key);
	if (f && fclose(f) != 0 && r == 0)
		r = -EIO;
	if (r == 0 && n > PASSPORT_OCTETS_MAX)
		r = -E2BIG;
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	*ret_n = n;
	return 0;
}

int
passport_read(struct view text, struct gathered *ret, struct passport *ret_head,
	char *why, size_t why_n)
{
	struct passport *p = ret_head;
	enum passport_step step = PASSPORT_BAD;
	uint32_t i = 0;

	*ret = (struct gathered){0};
	if (passport_open(text, p)) {
		/* No message has fewer octets than these: a lie costs no memory. */
		size_t n = p->messages < text.n / 8 ? p->messages : text.n / 8;
		if (gathered_new((uint32_t)n, text.n, ret) < 0)
			return -ENOMEM;
		struct buf uidls = buf_over(ret->uidls, text.n);
		do {
			struct compare_message m = {0};
			step = passport_next(p, &m, &uidls);
			if (step == PASSPORT_MESSAGE && i == n)
				step = PASSPORT_BAD;
			if (step == PASSPORT_MESSAGE)
				ret->side.messages[i++] = m;
			ret->digests += step == PASSPORT_MESSAGE && m.has_header;
		} while (step == PASSPORT_MESSAGE);
		ret->side.has_uidls = p->has_uidls;
	}
	if (step == PASSPORT_END)
		return 0;
	gathered_free(ret);
	(void)snprintf(why, why_n, "line %" PRIu32 ": %s", p->line,
		p->why ? p->why : "more messages than there can be");
	return -EBADMSG;
}
