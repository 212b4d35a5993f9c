/*
 * conf.h: the configuration: `name = value` lines, sections [listener NAME] and
 * [certificate NAME].
 *
 * options.def has a row for each option; the fields below are made from it. Comments
 * stand on their own line (# or ;). A value goes to the end of its line, trimmed, and may
 * stand in double quotes. All errors of a file are reported in one run, as "FILE:LINE:
 * what is wrong, what to do".
 *
 *     struct conf *c = conf_new();
 *     if (conf_load_file("/etc/restante/restante.conf", &sink, c) != 0) ...
 *
 * In C, a duration NAME is the field NAME_ms, an ENUM its place among the words from 0.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/buf.h"
#include "conf/conf_kinds.h"
#include "conf/conf_type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A row's field, in the struct of its section only. */
#define CONF_ONLY_GLOBAL(...) __VA_ARGS__
#define CONF_ONLY_LISTENER(...)
#define CONF_ONLY_CERTIFICATE(...)

enum conf_option {
#define OPTION(section, type, name, ...) CONF_##section##_##name,
#include "conf/options.def"
#undef OPTION
	CONF_OPTIONS
};

#undef CONF_ONLY_GLOBAL
#undef CONF_ONLY_LISTENER
#define CONF_ONLY_GLOBAL(...)
#define CONF_ONLY_LISTENER(...) __VA_ARGS__

struct conf_listener {
#define OPTION(section, type, name, ...) CONF_ONLY_##section(CONF_FIELD_##type(name))
#include "conf/options.def"
#undef OPTION
	const char *name;
	struct conf_address at;	 /* of `address` */
	const char *path;	 /* of `address`, for a unix socket; else NULL */
	uint32_t mode;		 /* of socket_mode */
	uint32_t mechanism_bits; /* bit i: conf_mechanism_names[i] */
	struct conf_networks proxies, xclients;
	uint32_t line; /* of its section; 0: a default listener */
	struct view texts[CONF_OPTIONS];
	uint32_t lines[CONF_OPTIONS]; /* where an option was set; 0: it was not */
};

#undef CONF_ONLY_LISTENER
#undef CONF_ONLY_CERTIFICATE
#define CONF_ONLY_LISTENER(...)
#define CONF_ONLY_CERTIFICATE(...) __VA_ARGS__

struct conf_certificate {
#define OPTION(section, type, name, ...) CONF_ONLY_##section(CONF_FIELD_##type(name))
#include "conf/options.def"
#undef OPTION
	const char *name;
	uint32_t line;
	struct view texts[CONF_OPTIONS];
	uint32_t lines[CONF_OPTIONS];
};

#undef CONF_ONLY_GLOBAL
#undef CONF_ONLY_CERTIFICATE
#define CONF_ONLY_GLOBAL(...) __VA_ARGS__
#define CONF_ONLY_CERTIFICATE(...)

/* Its texts point into itself: not to be copied. */
struct conf {
#define OPTION(section, type, name, ...) CONF_ONLY_##section(CONF_FIELD_##type(name))
#include "conf/options.def"
#undef OPTION
	size_t mail_groups_n;
	uint32_t mail_group_ids[CONF_LIST_MAX]; /* of mail_groups */
	/* recipient_delimiter; 0: none */
	char delimiter;
	/* lmtp_networks: an address, and how many bits of it count. */
	size_t networks_n; /* in octets */
	uint8_t networks[CONF_LIST_MAX * CONF_NETWORK_OCTETS];
	/* maildir_folders: names, a NUL behind each. */
	size_t folders_n; /* in octets */
	char folders[CONF_LIST_MAX * (CONF_FOLDER_OCTETS + 1)];
	struct conf_networks trusted, old_tls;
	uint32_t mechanism_bits;
	/* enum backend of ipc/permit.h each, in the order in which they are asked. */
	size_t backends_n;
	uint8_t backends[5];
	uint8_t stores[5]; /* of each: bits of enum stored_form; 0: not said */
	bool has_tls;	   /* there is a certificate */
	bool delivers;	   /* there is a listener of protocol lmtp */
	bool has_metrics;
	struct conf_address metrics_at;
	/* At least one: without a section, pop3 on *:110 and pop3s on *:995. */
	size_t listeners_n;
	struct conf_listener listeners[CONF_LISTENERS_MAX];
	size_t certificates_n;
	struct conf_certificate certificates[CONF_CERTIFICATES_MAX];
	struct view texts[CONF_OPTIONS]; /* in force, as conf_get gives them */
	uint32_t lines[CONF_OPTIONS];
	char pool[160 * 1024]; /* the texts; as large as all limits together */
};

/* What some defaults are made of. */
struct conf_facts {
	uint32_t processors;
	const char *hostname;
};

/*
 * Reads a whole configuration into *conf. The number of errors, each told to the sink (up
 * to CONF_ERRORS_MAX); *conf is good only if that is 0. Pure.
 */
[[nodiscard]] size_t conf_load(struct view text, const char *file,
	const struct conf_facts *facts, struct conf_sink *sink, struct conf *conf);
/* The same from a file; one that cannot be read is an error too. "" reads nothing:
 * defaults. */
[[nodiscard]] size_t conf_load_file(
	const char *path, struct conf_sink *sink, struct conf *conf);

/* Zeroed, or NULL without memory. */
struct conf *conf_new(void);
void conf_free(struct conf **c);

/* The text of a global option in force; p is NULL for a name that no row has. Lives with
 * conf. */
struct view conf_get(const struct conf *c, const char *name);
struct view conf_listener_get(const struct conf_listener *l, const char *name);

/* "ADDRESS:PORT", "[V6]:PORT" or "*:PORT". */
[[nodiscard]] bool conf_address_read(struct view text, struct conf_address *ret);

#endif
