/*
 * conf_checks.h: the parts of conf_check that concern delivery and unix sockets.
 */
#ifndef CONF_CONF_CHECKS_H
#define CONF_CONF_CHECKS_H

#include "conf/conf_reader.h"

/* Global options of delivery; fills delimiter, networks, folders, delivers. */
void conf_check_delivery(struct conf_reader *r);
/* A listener of protocol lmtp; fills at or path, and mode. */
void conf_check_lmtp(struct conf_reader *r, struct conf_listener *l);
/* socket_mode and socket_group stand beside an address that has no use for them. */
void conf_check_socket_options(struct conf_reader *r, const struct conf_listener *l);
/* No listener before this one has its address. */
void conf_check_address_once(struct conf_reader *r, const struct conf_listener *l);

#endif
