/*
 * maildir_headers.h: the messages of a Maildir by the digests of their headers.
 *
 * Programs put fields of their own before a header when they deliver (Return-Path,
 * Delivered-To, Received ...), which the server's message has not. So a file has several
 * digests: of its whole header, and of what is left of it without the first of such
 * fields, without the first two, and so on. All that follows must be the same to the
 * octet: nobody guesses from Message-ID and date.
 */
#ifndef FETCH_MAILDIR_HEADERS_H
#define FETCH_MAILDIR_HEADERS_H

#include "fetch/letter.h"

#define HEADER_ADDED_MAX 6 /* fields at the top that may be left out */

struct message_header {
	size_t n; /* digests; 0: the header says too little to know it again by */
	uint8_t digests[HEADER_ADDED_MAX + 1][HEADER_DIGEST]; /* the whole one first */
	/* The message's octets on the wire, where its header has no Message-ID: then its
	 * size must agree too, and only the whole header counts. Else UINT64_MAX. */
	uint64_t size;
};

/* The digests of an open file. 0 or -errno. */
[[nodiscard]] int message_header_read(int fd, struct message_header *ret);

struct maildir_headers {
	uint64_t files, weak, unreadable;
	/* Stops with its result where that is not 0. */
	int (*take)(struct maildir_headers *m, const struct message_header *h);
};
/* All of new/ and cur/. -ENOENT, -ENOTDIR: path is no Maildir. */
[[nodiscard]] int maildir_headers_read(const char *path, struct maildir_headers *m);

#endif
