/*
 * outgoing.h: what a keeper's session has for its front.
 */
#ifndef KEEPER_OUTGOING_H
#define KEEPER_OUTGOING_H

#include "ipc/slice.h"
#include "keeper/core.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One message on its way to the front, kept while the front does not read. */
struct outgoing {
	uint8_t octets[SNAPSHOT_SMALL_MAX + 16]; /* the largest is SNAPSHOT_SMALL */
	size_t n;				 /* 0: none */
	int fds[SLICES_BATCH_MAX];
	size_t nfds;
	bool borrowed;	   /* the descriptor is the drop's snapshot */
	uint64_t since_ms; /* first refused then; 0: not yet tried */
	struct keeper_wants wants;
};

struct open_file {
	uint32_t msgno; /* 0: none */
	struct store_slice at;
	uint64_t used;
};

#endif
