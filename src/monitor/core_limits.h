/*
 * core_limits.h: what the monitor's decisions (core.h) are told of the configuration.
 */
#ifndef MONITOR_CORE_LIMITS_H
#define MONITOR_CORE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_BACKENDS 6 /* that have helpers: enum backend of permit.h from SYSTEM on */
#define CORE_CLASSES  4 /* of fronts: what their listeners' connections may assert */
#define CORE_ROOTS    16

struct core_root {
	const char *path;
	bool there;
};

/* What the configuration and the caller allow. Borrowed texts live until the next reload.
 */
struct core_limits {
	bool privileged; /* may change users; else every process stays the caller */
	uint32_t caller_uid;
	uint32_t uid_min, uid_max;
	uint32_t service_uids;		 /* first of CORE_SERVICE_UIDS; 0: none */
	uint32_t fronts[CORE_CLASSES];	 /* by the bits of enum assertion of permit.h */
	bool keys;			 /* private keys have a process of their own */
	uint32_t helpers[CORE_BACKENDS]; /* instances that are wanted */
	bool one_shot;			 /* a front serves one connection and ends */
	bool lmtp; /* somebody listens for deliveries: lmtpd is wanted */
	uint64_t front_renew_ms, drain_timeout_ms;
	uint32_t keepers_max, keepers_per_owner;
	uint32_t keeper_places; /* sessions and deliveries that one has; 0: any number */
	bool keeper_per_session;
	size_t roots_n;
	struct core_root roots[CORE_ROOTS];
};

#endif
