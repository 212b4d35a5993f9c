/*
 * maildir_deposit.h: mail put into a Maildir, a maildrop for the first of it, and what
 * killed deliveries left in tmp.
 */
#ifndef STORE_MAILDIR_DEPOSIT_H
#define STORE_MAILDIR_DEPOSIT_H

#include <stddef.h>

struct store;
struct store_deposit;

/* The deposit of store.h. */
void maildir_deposit(struct store *s, struct store_deposit *list, size_t n);

/* ---- maildir_make.c ------------------------------------------------------------- */

/*
 * The maildrop, made where it is missing with all above it that the path names, and every
 * directory on the way synced. *ret_top: open, the caller closes. 0 or -errno.
 */
[[nodiscard]] int maildir_make(const struct store *s, int *ret_top);
/* Removes what was left in tmp for 36 hours; looks once a day, whoever looks. Fails in
 * silence. */
void maildir_sweep(int top, int tmp);
/* Syncs; a file system that cannot sync directories has no more to give. 0 or -errno. */
[[nodiscard]] int maildir_sync_directory(int fd);

#endif
