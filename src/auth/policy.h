/*
 * policy.h: what a user's line allows beyond the password (restante-users(5)), and
 * whether a login keeps to it. Reading is policy_read.c; the checks are pure.
 *
 * Policy is looked at after the right password only, and at every login.
 */
#ifndef AUTH_POLICY_H
#define AUTH_POLICY_H

#include "base/network.h"
#include "ipc/permit.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_NETWORKS_MAX	16
#define POLICY_CERTIFICATES_MAX 4
#define POLICY_NEVER		0xFFFFFFFFU

struct user_policy {
	uint8_t networks[POLICY_NETWORKS_MAX][NETWORK_OCTETS];
	size_t networks_n; /* 0: from everywhere */
	uint8_t certificates[POLICY_CERTIFICATES_MAX][32];
	size_t certificates_n;
	uint32_t mechanisms; /* bit i: enum mechanism i may be used; 0: all */
	bool nologin, no_pop3, needs_tls;
	bool apop; /* APOP, and then no password as such (RFC 1939 s.13) */
	bool has_expire, has_login_delay, has_connections, has_logins_per_minute;
	uint32_t expire_days, login_delay_s, connections, logins_per_minute;
};

enum [[nodiscard]] policy_read{
	POLICY_READ,
	POLICY_UNKNOWN_KEY, /* none of ours */
	POLICY_BAD_YES_NO,
	POLICY_BAD_NETWORKS,
	POLICY_BAD_MECHANISMS,
	POLICY_BAD_CERTIFICATE,
	POLICY_BAD_EXPIRE,
	POLICY_BAD_NUMBER,
};

/* One extra field; has_value: there was a "=". Later ones add to lists, or replace. */
enum policy_read policy_put(
	struct user_policy *p, struct view key, bool has_value, struct view value);

/* What a login is like. */
struct policy_login {
	enum mechanism mechanism;
	bool tls;
	const uint8_t *address; /* 16 octets */
};

struct policy_row {
	const char *name; /* of the field */
	const char *text; /* what forbids the login, for the log and `restante why` */
	bool (*allows)(const struct user_policy *p, const struct policy_login *l);
};

extern const struct policy_row policy_rows[];
extern const size_t policy_rows_n;

/* NULL, or the text of the first row that forbids it. */
const char *policy_check(const struct user_policy *p, const struct policy_login *l);
/* The mechanisms that the line leaves, of those that its password can serve. */
uint32_t policy_mechanisms(const struct user_policy *p, uint32_t of_password);

/* 0: no mechanism has this name, in any case of letters. */
unsigned policy_mechanism_of(struct view name);

#endif
