/* tls_out.h: buffers of streams, for tls.c only. */
#ifndef OS_TLS_OUT_H
#define OS_TLS_OUT_H

#include "os/tls.h"

/*
 * More than any caller gathers between two flushes (about 220 KiB). What reaches it is a
 * peer that makes TLS itself answer without end and reads nothing.
 */
#define TLS_OUT_MAX (UINT32_C(4) << 20)

/* Room for n more octets. False: too many, or no memory. */
[[nodiscard]] bool tls_out_grow(struct stream *s, size_t n);
/* Gives it up, whatever is in it. */
void tls_out_release(struct stream *s);
/* s is about to speak: it keeps OpenSSL's buffers, and the one that was silent for
 * longest gives its own back. */
void tls_warm(struct stream *s);
/*
 * Whether that OpenSSL (OpenSSL_version_num) gives back the buffers of a stream in which
 * a part of a record waits as it should; those before used them afterwards
 * (CVE-2024-4741), and there no stream is warm.
 */
[[nodiscard]] bool tls_out_can_give_back(unsigned long version);
/* s is about to end. */
void tls_cool(struct stream *s);

#endif
