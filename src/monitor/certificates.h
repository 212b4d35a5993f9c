/*
 * certificates.h: certificates, private keys, OCSP responses and ticket keys, and which
 * of them are in force.
 */
#ifndef MONITOR_CERTIFICATES_H
#define MONITOR_CERTIFICATES_H

#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CERTIFICATES_MAX  (CONF_CERTIFICATES_MAX + 1)
#define TICKET_KEY_OCTETS 80
#define TICKET_KEYS	  3 /* for new tickets, the one before, the next one */
#define TICKET_KEY_MS	  UINT64_C(43200000)

/* A file as it was when it was read last; zero: it was not there. */
struct file_seen {
	int64_t mtime_ns, ctime_ns;
	uint64_t inode, octets;
};

/* Sealed; -1: none. */
struct certificate {
	int chain, key, ocsp, ocsp_told; /* told: what was wrong with the file, -errno */
	struct file_seen ocsp_seen;
};

struct certificates {
	size_t n;
	struct certificate at[CERTIFICATES_MAX];
	bool taken; /* a front has put them in force */
	bool older; /* the configuration names others, which no front could use */
};

struct monitor;

/* What TLS needs. False after an error was reported. */
[[nodiscard]] bool certificates_load(
	struct monitor *m, const struct conf *c, struct certificates *ret);
void certificates_close(struct certificates *c);
/* After a reload: the old ones are kept, or closed by the caller, who has them still. */
void certificates_succeed(struct monitor *m, struct certificates *old);
/* What a front says of a generation. */
void certificates_told(struct monitor *m, uint32_t slot, uint32_t generation, bool taken);
/* Where all fronts refuse it, those before are in force. To be asked whenever one has
 * said something, or has ended. */
void certificates_settle(struct monitor *m);
/* A generation with all certificates, for one front; nothing where there is none. */
void certificates_to_front(struct monitor *m, uint32_t slot);
/* The keys of it, for restante-keys. */
void certificates_to_keys(struct monitor *m);
/* A new generation for all of them. */
void certificates_renew(struct monitor *m);
/* When new ticket keys are due; UINT64_MAX: never. */
uint64_t certificates_deadline(const struct monitor *m);
/* OCSP responses that have changed are read again; true if there was one. */
bool certificates_look(struct monitor *m);

#endif
