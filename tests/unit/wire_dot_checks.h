/*
 * wire_dot_checks.h: what holds of the dot codec, without a test framework, so that the
 * same checks run for another architecture under an emulator. Each returns NULL, or what
 * was wrong (static text).
 */
#ifndef WIRE_DOT_CHECKS_H
#define WIRE_DOT_CHECKS_H

struct dot_check {
	const char *name;
	const char *(*run)(void);
};
extern const struct dot_check dot_checks[];
extern const unsigned dot_checks_n;

#endif
