/*
 * view.h: borrowed bytes.
 *
 * A view is a pointer and a length, passed by value. It owns nothing, is not
 * terminated by NUL and may hold any octet. It lives as long as the buffer it
 * was made from; each function that gives one says how long that is.
 */
#ifndef POP3_VIEW_H
#define POP3_VIEW_H

#include <stddef.h>
#include <stdint.h>

struct view {
	const uint8_t *p;
	size_t n;
};

/* A view of a string literal, without its NUL. */
#define VIEW(literal) ((struct view){(const uint8_t *)"" literal, sizeof(literal) - 1})

#endif
