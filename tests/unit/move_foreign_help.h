/* What a reader of foreign files said, as one text: "UID/ORDER/SIZE/NAME=UIDL;" for a row
 * (- for what there is not, * behind a saved one), "!LINE;" for what it could not read.
 */
#ifndef MOVE_FOREIGN_HELP_H
#define MOVE_FOREIGN_HELP_H

#include "unit.h"

#include "base/buf.h"
#include "move/foreign.h"

#include <openssl/evp.h>
#include <string.h>

struct said {
	struct foreign_sink sink;
	struct buf text;
};

static inline void
say_number(struct buf *b, uint64_t n, uint64_t none)
{
	if (n == none)
		buf_put_str(b, "-");
	else
		buf_put_dec(b, n);
}

static inline void
say_row(struct foreign_sink *s, const struct foreign_row *r)
{
	struct buf *b = &((struct said *)(void *)s)->text;

	assert_true(r->line > 0);
	say_number(b, r->uid, 0);
	buf_put_str(b, "/");
	say_number(b, r->order, FOREIGN_NO_ORDER);
	buf_put_str(b, "/");
	say_number(b, r->size, UINT64_MAX);
	buf_put_str(b, "/");
	buf_put_view(b, r->name);
	buf_put_str(b, "=");
	buf_put_view(b, r->uidl);
	buf_put_str(b, r->saved ? "*;" : ";");
}

static inline void
say_bad(struct foreign_sink *s, uint32_t line, const char *why)
{
	struct buf *b = &((struct said *)(void *)s)->text;

	assert_true(strlen(why) > 10);
	buf_put_str(b, "!");
	buf_put_dec(b, line);
	buf_put_str(b, ";");
}

static inline void
test_md5(struct view v, uint8_t ret[16])
{
	uint8_t sum[EVP_MAX_MD_SIZE];

	assert_int_equal(EVP_Digest(v.p ? v.p : sum, v.n, sum, NULL, EVP_md5(), NULL), 1);
	memcpy(ret, sum, 16);
}

static inline struct said
said_into(char *storage, size_t n)
{
	return (struct said){{say_row, say_bad}, buf_over(storage, n - 1)};
}

static inline void
assert_said(struct said *s, const char *want)
{
	assert_false(s->text.full);
	s->text.p[s->text.n] = '\0';
	assert_string_equal((const char *)s->text.p, want);
}

#endif
