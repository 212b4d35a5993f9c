/*
 * heads.h: which messages of a maildrop have raw octets beyond ASCII in their header, and
 * how they look to a client that did not say UTF8 (RFC 6856). Only where the operator
 * wants that (option utf8_downgrade): each message's header is read once by a keeper.
 */
#ifndef KEEPER_HEADS_H
#define KEEPER_HEADS_H

#include "store/store.h"

/* A longer message is sent as it is: the whole of it is rewritten in memory. */
#define HEADS_MESSAGE_MAX (UINT64_C(64) << 20)

/* What was learnt, by UIDL; of one maildrop. Zero-initialised: nothing. */
struct heads {
	struct heads_entry *entries; /* a power of two of them, half full at most */
	uint32_t size, n;
};

void heads_free(struct heads *h);
size_t heads_memory(const struct heads *h);
/*
 * Reads what is not known yet of this table's messages. 0, or -ENOMEM. A message that
 * cannot be opened counts as it is.
 */
[[nodiscard]] int heads_learn(struct heads *h, const struct store_ops *ops,
	struct store *s, const struct store_table *t);
/* The wire size of the rewritten message; 0: this one is sent as it is. */
uint64_t heads_wire(const struct heads *h, const struct store_message *m);
/*
 * The rewritten form of an opened message whose heads_wire is not 0, as a sealed memfd in
 * *ret. 0, or -errno (-ESTALE: the file is not as it was).
 */
[[nodiscard]] int heads_rewrite(
	const struct store_slice *stored, struct store_slice *ret);

#endif
