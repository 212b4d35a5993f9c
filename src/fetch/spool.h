/*
 * spool.h: where a letter is written while it comes; see letter.h.
 */
#ifndef FETCH_SPOOL_H
#define FETCH_SPOOL_H

#include "fetch/letter.h"

struct spool; /* of one account: its directory, its options */

/*
 * Whether line ends were made LF on the way into the spool file. A CR before an LF there
 * belongs to its line; else CR LF is the line's end.
 */
static inline bool
spool_is_lf(const struct fetch_account *a)
{
	for (size_t i = 0; i < a->targets_n; i++)
		if (a->targets[i].kind == FETCH_MAILDIR)
			return a->line_ends == FETCH_LINE_ENDS_LF;
	return false;
}

/*
 * Files in the spool begin with it: "restante-fetch.", 16 hex digits of a hash of the
 * state's random id (STATE/id) and the account, and a dot. So a replay knows its own
 * litter in a Maildir that others use too.
 */
#define SPOOL_MARK_MAX 33

/*
 * Makes what is missing of the Maildir (and of STATE/spool), syncing parents. -errno and
 * why. `server` is for the trace header.
 */
[[nodiscard]] int spool_open(const struct fetch_account *a, const char *state_dir,
	struct spool **ret, char *why, size_t why_n);
void spool_close(struct spool **s);
/* Directory of the spool files; borrowed. Where the first Maildir target is the spool,
 * *ret_target is its place among the targets, else -1. */
int spool_directory(const struct spool *s, int *ret_target);

const char *spool_mark(const struct spool *s);
const char *spool_state_directory(const struct spool *s); /* borrowed */

/*
 * Files made ahead, so that spool_begin need not wait for the directory, in which others
 * may be renaming or syncing: until `most` are at hand, or one cannot be made, which
 * spool_begin will meet itself. On any thread, one at a time.
 */
#define SPOOL_STOCK_MAX 128
void spool_stock(struct spool *s, uint32_t most);
uint32_t spool_stocked(struct spool *s);
/* Removes those that nobody took; not beside spool_stock. */
void spool_stock_drop(struct spool *s);

/* A new file; with trace = yes the Received line is written first (X-Restante-Trace holds
 * a digest and so belongs to the targets that hand over). letter->uid, msgno and
 * listed are set by the caller. 0 or -errno (-ENOSPC, ...). */
[[nodiscard]] int spool_begin(struct spool *s, struct letter *l);
[[nodiscard]] int spool_write(struct spool *s, struct letter *l, struct view octets);
/* All has come: digests and sizes are set, writing to the disk is started, not awaited.
 */
[[nodiscard]] int spool_finish(struct spool *s, struct letter *l);
/* Removes the file; also for a letter that was finished but not committed. This and
 * spool_quarantine may run on a delivery thread, for letters that were finished. */
void spool_abort(struct spool *s, struct letter *l);
/* What came so far is kept as STATE/quarantine/NAME with a note beside it (NAME.txt: who,
 * which UIDL, why); for a letter that never came whole, or that a target refused. */
[[nodiscard]] int spool_quarantine(
	struct spool *s, struct letter *l, const char *why, char *ret_path, size_t cap);

#endif
