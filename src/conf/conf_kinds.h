/*
 * conf_kinds.h: limits of the configuration, what its words stand for, and the kinds of
 * values that are no type of a row.
 */
#ifndef CONF_CONF_KINDS_H
#define CONF_CONF_KINDS_H

#include "conf/conf_type.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_FILE_OCTETS_MAX  (1024 * 1024)
#define CONF_LISTENERS_MAX    64
#define CONF_CERTIFICATES_MAX 15  /* sections; with the global one as many as 16 */
#define CONF_SOCKET_PATH_MAX  107 /* sun_path without its NUL */
#define CONF_NETWORK_OCTETS   17
#define CONF_FOLDER_OCTETS    63

enum conf_plaintext {
	CONF_PLAINTEXT_NEVER,
	CONF_PLAINTEXT_LOOPBACK,
	CONF_PLAINTEXT_ALWAYS
};
enum conf_tls { CONF_TLS_NO, CONF_TLS_IMPLICIT };
enum conf_protocol { CONF_PROTOCOL_POP3, CONF_PROTOCOL_LMTP, CONF_PROTOCOL_KPOP };
enum conf_certificates {
	CONF_CERTIFICATES_NO,
	CONF_CERTIFICATES_ASK,
	CONF_CERTIFICATES_REQUIRE
};
enum conf_log { CONF_LOG_STDERR, CONF_LOG_SYSLOG };
/* log_level: value + 1 is enum log_level of ipc/log.h */

struct conf_address {
	uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d; zero where `any` */
	bool v4;
	bool any; /* "*": both families */
	uint16_t port;
};

/* Addresses, and how many bits of each count, CONF_NETWORK_OCTETS each. */
struct conf_networks {
	size_t n; /* in octets */
	uint8_t octets[CONF_LIST_MAX * CONF_NETWORK_OCTETS];
};

/* The names of `mechanisms`, by enum mechanism of ipc/permit.h; NULL: cannot be named. */
#define CONF_MECHANISMS 15
extern const char *const conf_mechanism_names[CONF_MECHANISMS];
/* The same for `databases`, by enum backend. */
#define CONF_BACKENDS 6
extern const char *const conf_backend_names[CONF_BACKENDS];

/* The same for `sql_stores`, by bit of enum stored_form; none at 0. */
#define CONF_STORES 5
extern const char *const conf_store_names[CONF_STORES];

/* "ADDRESS" or "ADDRESS/BITS"; the bits that do not count must be zero. Pure. */
[[nodiscard]] bool conf_network_read(struct view text, uint8_t ret[CONF_NETWORK_OCTETS]);

#endif
