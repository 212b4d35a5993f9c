/*
 * ticket.h: a 32-bit number as people copy it: seven digits of Crockford's base 32 with a
 * dash behind the fourth ("1B2F-7Q3K"). It has no I, L, O and U.
 */
#ifndef BASE_TICKET_H
#define BASE_TICKET_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define TICKET_OCTETS 8 /* seven digits and the dash */

/* Not ended by NUL. */
void ticket_put(uint32_t id, uint8_t ret[static TICKET_OCTETS]);
/*
 * Forgives case, O for 0, I and L for 1, and a dash that is missing. False (and *ret
 * untouched) for all else.
 */
[[nodiscard]] bool ticket_read(struct view text, uint32_t *ret);

#endif
