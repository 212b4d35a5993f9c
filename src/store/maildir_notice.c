/* What an operator should know of a Maildir, once each. */
#include "store/maildir_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The table is made anew as long as such a message is there: the same answer twice is one
 * line. No memory: it is told at the next session.
 */
void
maildir_notice_left_out(struct store *s, const struct maildir_left_out *l)
{
	uint64_t now = l->n == 0 ? 0 : (l->ino * 31 + (uint64_t)-l->error) * 31 + l->n;
	const char *why = strerrordesc_np(-l->error);
	char others[48] = "";
	char *text = NULL;

	if (now == s->left_out_told)
		return;
	if (l->n > 1)
		(void)snprintf(others, sizeof(others), ", and %u more like it", l->n - 1);
	if (l->n > 0 &&
		asprintf(&text,
			"a message cannot be read and is not shown: %s/%.*s: %s%s; it "
			"comes back when its file can be read",
			s->dir_names[l->dir], (int)l->name.n, (const char *)l->name.p,
			why ? why : "unknown error", others) < 0)
		return;
	free(s->notice);
	s->notice = text;
	s->left_out_told = now;
}

const char *
maildir_notice_next(struct store *s)
{
	if (s->notice) {
		free(s->notice_told);
		s->notice_told = s->notice;
		s->notice = NULL;
		return s->notice_told;
	}
	if (!s->log_full || s->log_full_told)
		return NULL;
	s->log_full_told = true;
	return "the identity log is full: that UIDLs are used up is no longer kept";
}
