/*
 * who.h: the table of sessions that a front keeps for `restante who`.
 *
 * One memfd for each front, made by the monitor, written by the front, read by
 * restante-control: WHO_ROW octets a row, as many as fit. A row is written between two
 * steps of its `sequence` (odd while it is being written), so that a reader who sees the
 * same even number before and after has a whole row. What stands in it is the front's
 * word, and is checked by who reads it.
 */
#ifndef IPC_WHO_H
#define IPC_WHO_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#define WHO_USER_MAX 192
#define WHO_ROW	     320

struct who_row {
	_Atomic uint32_t sequence;
	uint8_t used;	   /* 0: free */
	uint8_t mechanism; /* enum mechanism of permit.h */
	uint8_t tls;
	uint8_t user_n;
	uint64_t session;   /* for KICK */
	uint64_t since_s;   /* UNIX seconds of the login */
	uint64_t octets;    /* of messages sent */
	uint32_t messages;  /* in the maildrop */
	uint32_t retrieved; /* messages sent whole */
	uint32_t marked;    /* for deletion */
	uint32_t listener;
	uint8_t address[16];
	uint16_t port;
	uint8_t room[62];	    /* zero */
	uint8_t user[WHO_USER_MAX]; /* cut off where longer */
};
static_assert(sizeof(struct who_row) == WHO_ROW);

#endif
