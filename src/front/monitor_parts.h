/*
 * monitor_parts.h: what monitor_link.c and handed.c share; nobody else includes it.
 */
#ifndef FRONT_MONITOR_PARTS_H
#define FRONT_MONITOR_PARTS_H

#include "front/front.h"

/* A message of the monitor. False: malformed, or not allowed now. */
typedef bool monitor_fn(struct front *f, struct view payload, struct received *r);

/* ---- handed.c: things that come as descriptors ---- */
monitor_fn handed_listener, handed_listener_gone, handed_tls, handed_certificate,
	handed_keys, handed_auth, handed_peers, handed_deny, handed_who;

#endif
