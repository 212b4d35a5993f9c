/*
 * maildir_marks.h: which letters a Maildir holds already, by the mark in their names:
 *
 *     1720000000.R0123456789abcdef0123456789abcdef.host,S=4096,W=4180:2,S
 *                 |------------- mark -----------|
 */
#ifndef FETCH_MAILDIR_MARKS_H
#define FETCH_MAILDIR_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK_OCTETS 16
/* Added since they were read: what was moved away meanwhile is not remembered for ever.
 */
#define MARKS_ADDED_MAX (64 * 1024)

struct mark_set {
	size_t n, room;
	uint8_t (*marks)[MARK_OCTETS];
	size_t sorted; /* so many of them, from the start */
	size_t read_n; /* so many when they were read */
	uint64_t read_ms;
	bool was_read;
};
/* The mark of a name; false: it has none. */
[[nodiscard]] bool marks_of_name(const char *name, uint8_t ret[MARK_OCTETS]);
/* Reads new/ and cur/ (all names; twice, as others rename meanwhile). */
[[nodiscard]] int marks_read(struct mark_set *m, int new_dir, int cur_dir);
/* The same where they were not read yet, or more than MARKS_ADDED_MAX were added. */
[[nodiscard]] int marks_refresh(struct mark_set *m, int new_dir, int cur_dir);
[[nodiscard]] bool marks_have(struct mark_set *m, const uint8_t mark[MARK_OCTETS]);
[[nodiscard]] int marks_add(struct mark_set *m, const uint8_t mark[MARK_OCTETS]);
void marks_free(struct mark_set *m);

#endif
