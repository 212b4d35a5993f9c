/*
 * address_text.h: IP addresses as text, read strictly: RFC 4291 s.2.2 and four decimal
 * numbers. The form in the house is 16 octets, IPv4 as ::ffff:a.b.c.d.
 */
#ifndef WIRE_ADDRESS_TEXT_H
#define WIRE_ADDRESS_TEXT_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_TEXT_OCTETS 16

/* The whole view; no zone, no brackets, no number with leading zeros. */
[[nodiscard]] bool address_text_v4(struct view text, uint8_t ret[ADDRESS_TEXT_OCTETS]);
[[nodiscard]] bool address_text_v6(struct view text, uint8_t ret[ADDRESS_TEXT_OCTETS]);
/* Either. */
[[nodiscard]] bool address_text(struct view text, uint8_t ret[ADDRESS_TEXT_OCTETS]);

#endif
