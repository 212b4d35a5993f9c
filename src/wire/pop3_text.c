/* The one table of texts, and the language that a client chose (RFC 6856 s.3). */
#include "base/ascii.h"
#include "base/buf.h"
#include "base/check.h"
#include "pop3/server.h"
#include "wire/limits.h"

#include <string.h>

static const struct {
	const char *tag, *name;
} languages[] = {
#define LANGUAGE(NAME, tag, name) [POP3_##NAME] = {tag, name},
#define REPLY(NAME, status, english, german)
#define WORD(NAME, english, german)
#include "wire/pop3_codes.def"
#undef LANGUAGE
#undef REPLY
#undef WORD
};
static_assert(ARRAY_SIZE(languages) == POP3_LANGUAGES);

static const struct {
	const char *status, *words[POP3_LANGUAGES];
} replies[] = {
#define LANGUAGE(NAME, tag, name)
#define REPLY(NAME, status, english, german) [POP3_##NAME] = {status, {english, german}},
#define WORD(NAME, english, german)
#include "wire/pop3_codes.def"
#undef LANGUAGE
#undef REPLY
#undef WORD
};
static_assert(ARRAY_SIZE(replies) == POP3_REPLIES);

static const char *const words[][POP3_LANGUAGES] = {
#define LANGUAGE(NAME, tag, name)
#define REPLY(NAME, status, english, german)
#define WORD(NAME, english, german) [POP3_WORD_##NAME] = {english, german},
#include "wire/pop3_codes.def"
#undef LANGUAGE
#undef REPLY
#undef WORD
};
static_assert(ARRAY_SIZE(words) == POP3_WORDS);

const char *
pop3_language_tag(enum pop3_language l)
{
	CHECK(l < POP3_LANGUAGES);
	return languages[l].tag;
}

/* RFC 4647 s.3.4: subtags are cut off at the end until a language is found. */
bool
pop3_language_find(struct view range, enum pop3_language *ret)
{
	while (range.n > 0) {
		for (int l = 0; l < POP3_LANGUAGES; l++) {
			const char *tag = languages[l].tag;
			struct view v = {(const uint8_t *)tag, strlen(tag)};
			if (!ascii_equal_nocase(range, v))
				continue;
			*ret = (enum pop3_language)l;
			return true;
		}
		while (range.n > 0 && range.p[range.n - 1] != '-')
			range.n--;
		if (range.n > 0)
			range.n--;
	}
	return false;
}

void
pop3_line_start(struct pop3_line *l, enum pop3_reply r, enum pop3_language language)
{
	CHECK(r < POP3_REPLIES);
	CHECK(language < POP3_LANGUAGES);
	const char *text = replies[r].words[language];
	l->n = 0;
	l->language = (uint8_t)language;
	pop3_line_text(l, replies[r].status);
	if (text[0] != '\0')
		pop3_line_text(l, " ");
	pop3_line_text(l, text);
}

void
pop3_line_word(struct pop3_line *l, enum pop3_word w)
{
	CHECK(w < POP3_WORDS);
	CHECK(l->language < POP3_LANGUAGES);
	pop3_line_text(l, " ");
	pop3_line_text(l, words[w][l->language]);
}

void
pop3_put_reply(enum pop3_reply r, enum pop3_language language, struct buf *out)
{
	struct pop3_line l;

	pop3_line_start(&l, r, language);
	pop3_line_end(&l, out);
}

void
pop3_put_languages(const struct pop3_server *s, struct buf *out)
{
	pop3_put_reply(POP3_OK_LANG_LIST, (enum pop3_language)s->language, out);
	for (int l = 0; l < POP3_LANGUAGES; l++) {
		buf_put_str(out, languages[l].tag);
		buf_put_str(out, " ");
		buf_put_str(out, languages[l].name);
		buf_put_str(out, "\r\n");
	}
	pop3_put_end(out);
}
