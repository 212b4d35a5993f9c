/*
 * notify.h: what the service manager is told: datagrams to the socket that $NOTIFY_SOCKET
 * names, as sd_notify(3) describes. Without that variable nothing happens.
 */
#ifndef FETCH_NOTIFY_H
#define FETCH_NOTIFY_H

#include "os/loop.h"

/* READY=1, STOPPING=1, or several lines. What cannot be sent is not sent. */
void notify(const char *text);
/* RELOADING=1 with the time that systemd wants beside it; READY=1 follows. */
void notify_reloading(void);
/* WATCHDOG=1 at half the time of $WATCHDOG_USEC, as long as the loop goes round. 0 or
 * -errno. */
[[nodiscard]] int notify_watchdog(struct loop *l);

#endif
