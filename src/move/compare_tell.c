/*
 * compare_tell.c: what a client would notice of two lists that were matched. Pure.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "move/compare_lists.h"

#include <string.h>

static const struct {
	const char *word;
	bool safe;
	const char *text;
} rows[DIFFERENCES] = {
#define DIFFERENCE(id, word, safe, text) [DIFFERENCE_##id] = {word, safe, text},
#include "move/differences.def"
#undef DIFFERENCE
};

const char *
difference_word(enum difference d)
{
	CHECK(d < DIFFERENCES);
	return rows[d].word;
}

const char *
difference_text(enum difference d)
{
	CHECK(d < DIFFERENCES);
	return rows[d].text;
}

bool
difference_is_safe(enum difference d)
{
	CHECK(d < DIFFERENCES);
	return rows[d].safe;
}

bool
compare_uidl_is_legal(struct view uidl)
{
	for (size_t i = 0; i < uidl.n; i++)
		if (!ascii_is_graph(uidl.p[i]))
			return false;
	return uidl.n > 0;
}

static bool
same_uidl(const struct compare_message *a, const struct compare_message *b)
{
	return a->uidl.p && b->uidl.p && a->uidl.n == b->uidl.n &&
		memcmp(a->uidl.p, b->uidl.p, a->uidl.n) == 0;
}

static void
tell_partners(const struct compare_message *old, const struct compare_message *new,
	struct compare_sink *s)
{
	if (!old->uidl.p)
		s->tell(s, DIFFERENCE_OLD_NO_UIDL, old, new);
	else if (new->uidl.p && !same_uidl(old, new))
		s->tell(s, DIFFERENCE_UIDL, old, new);
	if (old->size != new->size)
		s->tell(s, DIFFERENCE_SIZE, old, new);
	if (old->has_whole && new->has_whole &&
		memcmp(old->whole, new->whole, MESSAGE_DIGEST_OCTETS) != 0)
		s->tell(s, DIFFERENCE_BODY, old, new);
	if (old->refused && !new->refused)
		s->tell(s, DIFFERENCE_OLD_UNREADABLE, old, new);
}

static void
tell_old(const struct compare_pair *p, struct compare_sink *s)
{
	for (uint32_t i = 0; i < p->old.n; i++) {
		const struct compare_message *old = &p->old.messages[i];

		if (old->reused)
			s->tell(s, DIFFERENCE_REUSED, old,
				&p->new.messages[old->rival - 1]);
		if (old->partner > 0)
			tell_partners(old, &p->new.messages[old->partner - 1], s);
		else if (!old->has_header && p->new_left > 0)
			s->tell(s, DIFFERENCE_UNKNOWN, old, NULL);
		else
			s->tell(s, DIFFERENCE_LOST, old, NULL);
	}
}

static void
tell_uidl(const struct compare_pair *p, const struct compare_message *new,
	const struct compare_message *old, struct compare_sink *s)
{
	bool kept = old && same_uidl(old, new);

	if (new->duplicate)
		s->tell(s,
			kept && old->duplicate ? DIFFERENCE_KEPT_DUPLICATE
					       : DIFFERENCE_DUPLICATE,
			old, new);
	if (!new->uidl.p && (p->old.has_uidls || p->new.has_uidls))
		s->tell(s, DIFFERENCE_NO_UIDL, old, new);
	if (!new->uidl.p)
		return;
	if (!compare_uidl_is_legal(new->uidl))
		s->tell(s, kept ? DIFFERENCE_KEPT_ILLEGAL : DIFFERENCE_ILLEGAL, old, new);
	if (new->uidl.n > COMPARE_UIDL_MAX)
		s->tell(s, kept ? DIFFERENCE_KEPT_LONG : DIFFERENCE_LONG, old, new);
}

/* Mail that came since stands behind all that OLD has. */
static enum difference
only_on_new(const struct compare_message *new, bool before_olds)
{
	if (new->again)
		return DIFFERENCE_DOUBLED;
	return before_olds ? DIFFERENCE_HIDDEN : DIFFERENCE_NEW_MAIL;
}

static void
tell_new(const struct compare_pair *p, struct compare_sink *s)
{
	uint32_t olds_end = p->new.n;

	while (olds_end > 0 && p->new.messages[olds_end - 1].partner == 0)
		olds_end--;
	for (uint32_t i = 0; i < p->new.n; i++) {
		const struct compare_message *new = &p->new.messages[i];
		const struct compare_message *old =
			new->partner > 0 ? &p->old.messages[new->partner - 1] : NULL;

		tell_uidl(p, new, old, s);
		if (new->refused)
			s->tell(s, DIFFERENCE_UNREADABLE, old, new);
		if (!old && !new->reused)
			s->tell(s, only_on_new(new, i < olds_end), NULL, new);
	}
}

/* The first message that stands before one that it stood behind. */
static void
tell_order(const struct compare_pair *p, struct compare_sink *s)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < p->old.n; i++) {
		const struct compare_message *old = &p->old.messages[i];

		if (old->partner == 0)
			continue;
		if (old->partner < last) {
			s->tell(s, DIFFERENCE_ORDER, old,
				&p->new.messages[old->partner - 1]);
			return;
		}
		last = old->partner;
	}
}

void
compare_tell(const struct compare_pair *p, struct compare_sink *sink)
{
	tell_old(p, sink);
	tell_new(p, sink);
	tell_order(p, sink);
}
