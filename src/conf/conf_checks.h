/*
 * conf_checks.h: the parts of conf_check that concern logins, delivery and unix
 * sockets.
 */
#ifndef CONF_CONF_CHECKS_H
#define CONF_CONF_CHECKS_H

#include "conf/conf_reader.h"

/* Global options of delivery; fills delimiter, networks, folders, delivers. */
void conf_check_delivery(struct conf_reader *r);
/* Global options of logins, and certificates; fills what is made of their lists. */
void conf_check_logins(struct conf_reader *r);
/* Databases and what they need; fills backends and stores. */
void conf_check_databases(struct conf_reader *r);
/* The place of a word in a table of n names, 0 after it was reported. */
size_t conf_find_word(struct conf_reader *r, const char *option, uint32_t line,
	const char *word, const char *const *names, size_t n);
/* The same of a listener for those who log in. */
void conf_check_login(struct conf_reader *r, struct conf_listener *l);
/* One that is wrong is reported under the option's name and line. */
void conf_check_networks(struct conf_reader *r, const char *option, uint32_t line,
	const struct conf_list *list, struct conf_networks *ret);
/* A listener of protocol lmtp; fills at or path, and mode. */
void conf_check_lmtp(struct conf_reader *r, struct conf_listener *l);
/* socket_mode and socket_group stand beside an address that has no use for them. */
void conf_check_socket_options(struct conf_reader *r, const struct conf_listener *l);
/* No listener before this one has its address. */
void conf_check_address_once(struct conf_reader *r, const struct conf_listener *l);

#endif
