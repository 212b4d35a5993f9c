/* What an operator should know of an mbox, once each. */
#include "store/mbox.h"

/* These stay as they are: one line is enough. The others tell what happened. */
static const uint32_t lasting = UINT32_C(1) << MBOX_NOTICE_NO_DOT |
	UINT32_C(1) << MBOX_NOTICE_NO_IDENTITY |
	UINT32_C(1) << MBOX_NOTICE_NO_SESSION_LOCK | UINT32_C(1) << MBOX_NOTICE_LOG_FULL;

static const char *const texts[MBOX_NOTICES] = {
	[MBOX_NOTICE_NO_FROM] = "it does not begin with \"From \": it is no mbox, or its "
				"first line was damaged; nothing was changed",
	[MBOX_NOTICE_NO_DOT] =
		"NAME.lock cannot be made in its directory: only the kernel "
		"lock is used; set mail_groups to the directory's group",
	[MBOX_NOTICE_NO_IDENTITY] = "the identity log cannot be kept in its directory: "
				    "UIDLs are computed from the messages alone; set "
				    "mail_groups to the directory's group",
	[MBOX_NOTICE_NO_SESSION_LOCK] =
		"the lock file cannot be made in its directory: "
		"the mailbox itself is locked by flock(2) for the "
		"session; set mail_groups to the directory's group",
	[MBOX_NOTICE_NO_INTENT] = "messages were not deleted: the intent file cannot be "
				  "written beside it (it needs as much room as the mail "
				  "behind the first deleted message)",
	[MBOX_NOTICE_INTENT_LEFT] =
		"a removal was cut off and the mailbox was changed by "
		"others since: the intent file was set aside beside it",
	[MBOX_NOTICE_REPLAYED] = "a removal that was cut off has been completed",
	[MBOX_NOTICE_LOG_FULL] = "the identity log is full: that UIDLs are used up is no "
				 "longer kept; the same message, should it come again, "
				 "may get the same UIDL",
};

void
mbox_notice(struct mbox *m, enum mbox_notice n)
{
	uint32_t bit = UINT32_C(1) << n;

	if (!(m->told & bit))
		m->notices |= bit;
}

const char *
mbox_notice_next(struct store *s)
{
	struct mbox *m = mbox_of(s);

	for (uint32_t n = 0; n < MBOX_NOTICES; n++) {
		uint32_t bit = UINT32_C(1) << n;
		if (!(m->notices & bit))
			continue;
		m->notices &= ~bit;
		m->told |= bit & lasting;
		return texts[n];
	}
	return NULL;
}
