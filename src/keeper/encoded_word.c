#include "keeper/encoded_word.h"
#include "base/utf8.h"
#include "wire/sasl_line.h"

#include <string.h>

/* A multiple of three, so that only a last word is padded: 75 octets in all at most. */
#define OCTETS_A_WORD 39

bool
encoded_word_is_raw(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] >= 0x80)
			return true;
	return false;
}

/* As many whole characters as one word takes; single octets where it is no UTF-8. */
static size_t
word_octets(struct view v, bool utf8)
{
	size_t n = 0;

	if (!utf8)
		return v.n < OCTETS_A_WORD ? v.n : OCTETS_A_WORD;
	while (n < v.n) {
		size_t one = utf8_octets((struct view){v.p + n, v.n - n});
		if (n + one > OCTETS_A_WORD)
			break;
		n += one;
	}
	return n;
}

void
encoded_word_put(struct view text, const char *fold, struct buf *out)
{
	bool utf8 = utf8_is_sound(text);
	bool first = true;

	while (text.n > 0) {
		size_t n = word_octets(text, utf8);
		if (!first)
			buf_put_str(out, fold);
		first = false;
		buf_put_str(out, utf8 ? "=?utf-8?B?" : "=?unknown-8bit?B?");
		base64_encode((struct view){text.p, n}, out);
		buf_put_str(out, "?=");
		text.p += n;
		text.n -= n;
	}
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Octets up to the next blank, or of blanks up to the next word. */
static size_t
span(struct view v, bool blanks)
{
	size_t n = 0;

	while (n < v.n && is_blank(v.p[n]) == blanks)
		n++;
	return n;
}

/* From its first word, which needs encoding, to the last that does before one that does
 * not. */
static size_t
run_octets(struct view v)
{
	size_t end = 0;
	size_t at = 0;

	while (at < v.n) {
		size_t n = span((struct view){v.p + at, v.n - at}, false);
		if (!encoded_word_is_raw((struct view){v.p + at, n}))
			return end;
		at += n;
		end = at;
		at += span((struct view){v.p + at, v.n - at}, true);
	}
	return end;
}

/* Folds within a run are no part of its text (RFC 5322 s.2.2.3). */
static void
put_run(struct view run, const char *fold, struct buf *out)
{
	uint8_t flat[1024];

	while (run.n > 0) {
		size_t n = 0;
		size_t taken = 0;
		while (taken < run.n && n < sizeof(flat)) {
			uint8_t c = run.p[taken++];
			if (c != '\r' && c != '\n')
				flat[n++] = c;
		}
		/* Not within a character, if there is more. */
		while (taken < run.n && n > 4 && (run.p[taken] & 0xC0) == 0x80) {
			taken--;
			n--;
		}
		encoded_word_put((struct view){flat, n}, fold, out);
		run.p += taken;
		run.n -= taken;
		if (run.n > 0)
			buf_put_str(out, fold);
	}
}

void
encoded_word_put_text(struct view text, const char *fold, struct buf *out)
{
	while (text.n > 0) {
		size_t n = span(text, true);
		buf_put_view(out, (struct view){text.p, n});
		text.p += n;
		text.n -= n;
		n = span(text, false);
		struct view word = {text.p, n};
		if (n > 0 && encoded_word_is_raw(word)) {
			n = run_octets(text);
			put_run((struct view){text.p, n}, fold, out);
		} else {
			buf_put_view(out, word);
		}
		text.p += n;
		text.n -= n;
	}
}
