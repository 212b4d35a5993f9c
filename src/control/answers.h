/*
 * answers.h: the answers of restante-control, made in memory of the client's. 0 or
 * -errno, each.
 */
#ifndef CONTROL_ANSWERS_H
#define CONTROL_ANSWERS_H

#include "control/client.h"

#define NO_AUTH "error: restante-auth does not answer: try again\n"

/* The text of one renderer behind a head; render may be NULL. */
[[nodiscard]] int answer_render(struct client *c, const char *head,
	void (*render)(const struct core *, struct buf *));
/* What the metrics socket says. */
[[nodiscard]] int answer_http(struct client *c, enum core_http outcome);
/* To a line on the operator's socket. c->question is set where auth answers later. */
[[nodiscard]] int answer_command(struct client *c, struct view line);

#endif
