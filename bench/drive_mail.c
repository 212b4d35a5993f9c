/*
 * The manifest of a fixture, as bench/common.py writes it. A line for each maildrop,
 *
 *     USER COUNT OCTETS KNOWN
 *
 * followed by KNOWN lines `OCTETS SHA256`, one for each message as it travels: lines
 * ended by CRLF, nothing stuffed. KNOWN is COUNT or 0.
 */
#include "drive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t
nibble(char c, const char *path)
{
	const char *digits = "0123456789abcdef", *at = strchr(digits, c);

	if (c == '\0' || !at)
		fail("%s: %c is no hexadecimal digit", path, c);
	return (uint8_t)(at - digits);
}

static void
read_mails(struct drop *drop, FILE *f, const char *path)
{
	char hex[2 * DIGEST + 1];

	drop->mails = calloc(drop->known, sizeof(drop->mails[0]));
	if (!drop->mails)
		fail("no memory for the manifest");
	for (uint32_t i = 0; i < drop->known; i++) {
		struct mail *m = &drop->mails[i];
		if (fscanf(f, "%" SCNu64 " %64s\n", &m->octets, hex) != 2 ||
			strlen(hex) != 2 * DIGEST)
			fail("%s: %s: message %u has no digest", path, drop->user, i + 1);
		for (size_t k = 0; k < DIGEST; k++)
			m->digest[k] = (uint8_t)(nibble(hex[2 * k], path) << 4 |
				nibble(hex[2 * k + 1], path));
	}
}

void
manifest_read(struct manifest *m, const char *path)
{
	FILE *f = fopen(path, "re");
	size_t room = 0;
	struct drop drop = {0};

	if (!f)
		fail("%s: %s", path, strerror(errno));
	while (fscanf(f, "%63s %" SCNu32 " %" SCNu64 " %" SCNu32 "\n", drop.user,
		       &drop.count, &drop.octets, &drop.known) == 4) {
		if (drop.known != 0 && drop.known != drop.count)
			fail("%s: %s: %u digests of %u messages", path, drop.user,
				drop.known, drop.count);
		drop.mails = NULL;
		if (drop.known > 0)
			read_mails(&drop, f, path);
		if (m->n == room) {
			room = room * 2 + 64;
			m->drops = realloc(m->drops, room * sizeof(m->drops[0]));
			if (!m->drops)
				fail("no memory for the manifest");
		}
		m->drops[m->n++] = drop;
	}
	if (!feof(f) || m->n == 0)
		fail("%s: no manifest", path);
	(void)fclose(f);
}

/* That maildrop alone. */
void
manifest_only(struct manifest *m, const char *user)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->drops[i].user, user) == 0) {
			m->drops[0] = m->drops[i];
			m->n = 1;
			return;
		}
	fail("the manifest has no %s", user);
}
