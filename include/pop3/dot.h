/*
 * dot.h: how a stored message travels (RFC 1939 s.3 and s.11).
 *
 * One rule, in three forms that must agree (count, encode, decode):
 *  - every line end travels as CRLF; a stored LF without CR before it gets one;
 *  - a bare CR, NUL and 8-bit octets travel as they are;
 *  - a line that begins with a dot gets another dot (not counted in sizes);
 *  - a last line without line end gets CRLF, and that is counted; a message that ends in
 *    a lone CR keeps it and gets CRLF;
 *  - the empty message is nothing but the terminator.
 *
 * No allocation, no system call, no state but the caller's struct dot_state. The kernels
 * differ in speed only.
 */
#ifndef POP3_DOT_H
#define POP3_DOT_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

POP3_C_BEGIN
/* Where the octets seen so far have left us. Zero-initialised: at the start of a message.
 */
struct dot_state {
	uint8_t at; /* enum dot_at */
};

enum dot_at {
	DOT_LINE_START = 0,
	DOT_AFTER_CR, /* the last octet was CR */
	DOT_IN_LINE,
};

/* The output of n octets of input never exceeds this; kernels may scribble on all of it.
 */
#define DOT_ENCODE_MAX(n) (2 * (size_t)(n) + DOT_SLACK)
#define DOT_SLACK	  128
/* What dot_finish may append: CRLF . CRLF */
#define DOT_FINISH_MAX 5

struct dot_kernel {
	const char *name;
	/* Encodes n octets to out (room DOT_ENCODE_MAX(n)); the octets written. out and
	 * in do not overlap. */
	size_t (*encode)(struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out);
	/* Octets that encode would give for the same input, without the stuffed dots. */
	uint64_t (*count)(struct dot_state *s, const uint8_t *in, size_t n);
	/*
	 * True in *ret_as_is_broken once a line was met that does not travel as it is
	 * stored (bare LF, leading dot). As count otherwise.
	 */
	uint64_t (*survey)(
		struct dot_state *s, const uint8_t *in, size_t n, bool *ret_as_is_broken);
	/* As encode; adds to *dots the dots that were stuffed: what was written less
	 * these is what count would have given. */
	size_t (*encode_counted)(struct dot_state *s, const uint8_t *in, size_t n,
		uint8_t *out, uint64_t *dots);
};

/* The kernels of this build that this processor runs, fastest first; the last is the byte
 * loop. */
const struct dot_kernel *const *dot_kernels(size_t *ret_n);
static inline const struct dot_kernel *
dot_best(void)
{
	size_t n;
	return dot_kernels(&n)[0];
}

/* The end of a message: a missing CRLF, then (if terminate) ".\r\n". Octets written to
 * out. */
size_t dot_finish(struct dot_state *s, bool terminate, uint8_t out[DOT_FINISH_MAX]);
/* What the missing CRLF adds to count: 0 or 2. */
uint64_t dot_finish_count(const struct dot_state *s);

/*
 * TOP (RFC 1939 s.7): how many of these octets belong to the header, the blank line and
 * the first `lines` lines of the body. `done` is set when the limit was reached; what
 * follows does not belong. Works on stored octets, before encode.
 */
struct dot_top {
	uint64_t lines_left;
	bool in_body;
	bool line_has_octets; /* other than a CR that may belong to the line end */
	bool after_cr;
	bool done;
};
void dot_top_init(struct dot_top *t, uint64_t lines);
size_t dot_top_take(struct dot_top *t, const uint8_t *in, size_t n);
/* At the end of input: the blank line that a message without a body lacks (wire point 8).
 */
bool dot_top_lacks_blank(const struct dot_top *t);

/*
 * Decoding, for clients: undoes stuffing and finds the terminator. Line ends stay as they
 * were received. Takes octets until the terminator was read (*ret_end) or all of in;
 * *ret_taken octets were consumed, the result is the octets written to out (room n +
 * DOT_DECODE_HELD). in and out do not overlap.
 *
 * Zero-initialised: strict, RFC 1939 s.3, where only CRLF ends a line. Set `unstuffed`
 * for a server that does not stuff (no dot is taken off) and `lf_ends` for one whose
 * lines may end in a bare LF, the terminator's too.
 */
#define DOT_DECODE_HELD 2 /* a dot and a CR */
struct dot_decode_state {
	uint8_t at;
	bool unstuffed, lf_ends;
	uint64_t dots;	    /* that were taken off, or would be but for `unstuffed` */
	uint64_t lone_dots; /* of these: no second dot behind, so the peer does not stuff
			     */
	uint64_t bare_lf;   /* line ends without CR that were seen */
};
size_t dot_decode(struct dot_decode_state *s, const uint8_t *in, size_t n, uint8_t *out,
	size_t *ret_taken, bool *ret_end);
POP3_C_END
#endif
