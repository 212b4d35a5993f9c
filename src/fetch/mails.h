/*
 * mails.h: the messages that the server lists in one session, and what is to be done with
 * each. Pure; memory is lent by who runs the session.
 */
#ifndef FETCH_MAILS_H
#define FETCH_MAILS_H

#include "fetch/known.h"

enum mail_plan {
	MAIL_UNDECIDED,
	MAIL_LEAVE,    /* stays, nothing to do */
	MAIL_FETCH,    /* RETR; afterwards DELE where delete_after_fetch */
	MAIL_DELETE,   /* delivered before: DELE */
	MAIL_CHECK,    /* TOP first: is it the message we know? then decided again */
	MAIL_IDENTIFY, /* TOP first: the UIDL is of no use; then decided again */
	MAIL_FILTER,   /* TOP first: a program decides */
	MAIL_ADOPT,    /* marked as seen */
};

enum mail_stage {
	MAIL_LISTED,
	MAIL_ASKED,	/* TOP or RETR is under way */
	MAIL_COMING,	/* its octets come */
	MAIL_COME,	/* all here, being committed */
	MAIL_COMMITTED, /* durable: may be deleted */
	MAIL_FAILED,	/* not in this session */
	MAIL_DELE_SENT,
	MAIL_DELETED, /* DELE was accepted */
};

#define MAIL_NO_KNOWN UINT32_MAX
#define MAIL_NO_SIZE  UINT64_MAX

struct mail {
	uint64_t size; /* LIST's; MAIL_NO_SIZE */
	uint32_t number;
	uint32_t uid_at; /* in the table's text */
	uint32_t known;	 /* row of the known table, or MAIL_NO_KNOWN */
	uint16_t uid_n;
	uint8_t plan, stage;
	bool has_header : 1, checked : 1, delete_too : 1, raw : 1, twin : 1, retried : 1,
		old_size : 1, suspect : 1, named : 1, /* the session made its UIDL */
		reused : 1,    /* its UIDL belonged to another message: MARK_REUSED */
		resized : 1,   /* MARK_SIZE */
		renamed : 1,   /* known under another UIDL: MARK_RENAMED */
		skipped : 1,   /* MARK_SKIPPED */
		tried : 1,     /* MARK_TRY */
		put_aside : 1, /* MARK_QUARANTINED */
		told : 1,      /* that it is put aside, and where what came of it lies */
		left : 1,      /* for the next run */
		unsure : 1,    /* its UIDL tells nothing: session_same */
		restuffed : 1, /* it came raw from a server that stuffs */
		weak : 1,      /* its header may be another's as well */
		dele_same : 1; /* DELE if its octets are those that were delivered */
	const char *reason;    /* static, for people; NULL */
	uint8_t header[HEADER_DIGEST];
};

struct mails {
	/* Number minus base minus 1 is the place; a place with number 0 is a gap. */
	struct mail *at;
	uint32_t base; /* the listing begins behind this number */
	uint32_t n, cap;
	uint32_t count; /* places that are no gaps */
	uint8_t *text;	/* UIDLs */
	size_t text_n, text_cap;
	uint32_t *order; /* which to fetch, cap entries */
	uint32_t order_n;
	uint8_t *listed; /* a bit for each row of the known table: it was listed */
	size_t listed_cap;
	void *lender;
	/* Room for so many more; false: no memory, or beyond the account's limit. */
	bool (*room)(struct mails *m, uint32_t rows, size_t text, size_t known);
};

static inline struct view
mail_uid(const struct mails *m, const struct mail *mail)
{
	return (struct view){m->text + mail->uid_at, mail->uid_n};
}

/* The mail of that number, or NULL. */
struct mail *mails_find(const struct mails *m, uint32_t number);
/* Adds one, or finds it; numbers may come in any order but then cost more. NULL: no room.
 */
struct mail *mails_add(struct mails *m, uint32_t number);
/* The UIDL as text; a longer one than LETTER_UID_MAX is refused. */
[[nodiscard]] bool mails_set_uid(struct mails *m, struct mail *mail, struct view uid);
/* Sorts `order` as the account says. */
void mails_sort(struct mails *m, enum fetch_order order);
/* Marks those that share one UIDL (twin). Uses `order` as its scratch. */
void mails_mark_twins(struct mails *m);
/* Puts into `order` those that are to be identified and whose header has come, by header.
 */
void mails_by_header(struct mails *m);
/* The first place in that order whose header is not before this one. */
uint32_t mails_header_from(const struct mails *m, const uint8_t header[HEADER_DIGEST]);

#endif
