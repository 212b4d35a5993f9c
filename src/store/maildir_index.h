/*
 * maildir_index.h: the cache file `restante-index` in a maildrop. It can be rebuilt:
 * whatever is wrong with it, it is left aside. Little-endian:
 *
 *     header   struct disk_header (maildir_index.c); the checksum is XXH3 over the rest
 *     ids      struct maildir_dir_id of each directory
 *     folders  their names, a NUL behind each; zeros up to a multiple of 64
 *     rows     count times struct maildir_row, in POP order
 *     text     names with a NUL behind each, then keys and UIDLs that stand in no name
 *
 * A table's rows and text are used as they lie in the file: what is read at a login is
 * this one block. Version 1 had rows of 48 octets and no folders; it is read, and written
 * anew as version 2. A newer version is left alone, and the table is made in memory.
 */
#ifndef STORE_MAILDIR_INDEX_H
#define STORE_MAILDIR_INDEX_H

#include "store/maildir.h"

#define MAILDIR_INDEX_MAGIC    UINT64_C(0x31305849534552ff) /* 0xFF "RESIX01" */
#define MAILDIR_INDEX_MAX      UINT64_C(1600000000) /* octets: the largest table */
#define MAILDIR_INDEX_ALIGN    64
#define MAILDIR_FOLDERS_OCTETS 4096 /* names of folders */

/* ---- maildir_index.c, maildir_index_old.c: the cache file --------------------- */

/* From the octets of an index file, of this version or an older one; -EINVAL for anything
 * that is not wholly sound, -EPROTONOSUPPORT for a newer version. */
[[nodiscard]] int maildir_index_decode(
	struct view octets, struct view folders, struct maildir_table **ret);
[[nodiscard]] int maildir_index_decode_1(struct view octets, struct maildir_table **ret);
/* *ret is malloc'ed. */
[[nodiscard]] int maildir_index_encode(
	const struct maildir_table *t, struct view folders, uint8_t **ret, size_t *ret_n);

/* ---- maildir_index_file.c ----------------------------------------------------- */

/* As decode; -ENOENT where there is none. */
[[nodiscard]] int maildir_index_load(
	int top, struct view folders, struct maildir_table **ret);
[[nodiscard]] int maildir_index_save(
	int top, struct view folders, const struct maildir_table *t);

/* Of a block whose first n octets are those of a file; *block becomes the table's, and
 * NULL, on success. */
[[nodiscard]] int maildir_index_take(
	uint8_t **block, size_t n, struct view folders, struct maildir_table **ret);

#endif
