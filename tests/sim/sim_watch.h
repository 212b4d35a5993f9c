/*
 * sim_watch.h: what the simulation sees pass between processes: who holds which maildrop;
 * and where plants (faults of the simulation's own making) pervert it.
 */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

#include "sim.h"

/* `from` sends it; before it is queued. */
void watch_message(struct file *from, struct packet *p);
void watch_channel_closed(struct file *f);
/* A front's octets to its client. */
void watch_reply(struct file *f, const void *octets, size_t n);

#endif
