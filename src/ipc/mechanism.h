/* mechanism.h: how the mechanisms of permit.h are written, on the wire and everywhere. */
#ifndef IPC_MECHANISM_H
#define IPC_MECHANISM_H

/* For a number that is none: "?". */
const char *mechanism_name(unsigned mechanism);

#endif
