/*
 * letter.h: one message on its way from the server to the targets.
 *
 * spool.c writes it while it comes (on the loop's thread: writes into the page cache),
 * deliver.c commits a batch of letters (on a delivery thread), in the order of rule 7 of
 * the design's durability rules:
 *
 *   1. spool: written in tmp/ of the first Maildir target, else in STATE/spool/
 *   2. all files of the batch synced, tmp/ synced (while the batch before goes on)
 *   3. one transaction: every message and (message, target): intended; durable
 *   4. Maildir: renamed without replacing into new/; mbox: appended, synced; LMTP, SMTP,
 *      program: handed over
 *   5. new/ synced
 *   6. one transaction: synced; durable
 *   7. only now the session may send DELE
 */
#ifndef FETCH_LETTER_H
#define FETCH_LETTER_H

#include "fetch/account.h"
#include "fetch/header.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_OCTETS	32 /* SHA-256 */
#define HEADER_DIGEST	16 /* the first octets of SHA-256 */
#define LETTER_NAME_MAX 200
#define LETTER_UID_MAX	1024 /* a longer UIDL is shortened to a digest by the session */
#define LETTER_WHY_MAX	240
#define TRACE_ID_MAX	41

enum letter_fate {
	LETTER_COMING,
	LETTER_DELIVERED, /* durable at every target */
	LETTER_KNOWN,	  /* it was there already (a replay): as delivered */
	LETTER_TEMPORARY, /* not delivered: later */
	LETTER_REFUSED,	  /* a target will never take it */
	LETTER_UNKNOWN,	  /* LMTP, SMTP, program: the connection broke between the last
			     octet   and the answer; the next try carries the same trace id
			   */
};

struct letter {
	struct view uid; /* at most LETTER_UID_MAX octets; into uid_octets, or borrowed */
	uint8_t *uid_octets; /* malloc; many letters wait at a time, and few are long */
	int64_t same; /* the row whose message this is if its octets are the same; 0 */
	int64_t row;  /* state.c's, once it was intended; 0 */
	uint32_t msgno;
	uint64_t listed;	       /* by LIST; UINT64_MAX where not known */
	uint64_t octets;	       /* decoded, as received */
	uint64_t stored;	       /* in the spool file */
	uint64_t wire;		       /* with every line end as CRLF: ,W= */
	uint8_t digest[DIGEST_OCTETS]; /* of the decoded octets as received */
	uint8_t header[HEADER_DIGEST];
	struct header_scan scan;
	int fd;			   /* of the spool file, O_RDWR; -1 once committed */
	char tmp[LETTER_NAME_MAX]; /* its name in the spool directory */
	/* Step 2 was taken: neither file nor directory is synced again, whatever came of
	 * it (0 or -errno of each). */
	bool was_synced;
	int sync_error, above_error;
	enum letter_fate fate;
	char why[LETTER_WHY_MAX]; /* of a fate that is not good, printable */
	void *writing;		  /* spool.c's while it comes: digests, line ends */
	/* deliver.c's while the batch is committed, read by state_intend: which targets
	 * (bit i: account->targets[i]) are to have it now, and for each of the account's
	 * targets the name under which it will be found there ("": none). A copy in
	 * another Maildir's tmp/ has the name `tmp` too. */
	uint32_t wanted;
	char (*names)[LETTER_NAME_MAX];
	char trace_id[TRACE_ID_MAX]; /* 40 hex digits of (account, uid, digest) */
};

#endif
