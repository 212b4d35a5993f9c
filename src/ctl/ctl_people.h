/*
 * ctl_people.h: what `restante kick` and `restante why` ask the running server.
 */
#ifndef CTL_CTL_PEOPLE_H
#define CTL_CTL_PEOPLE_H

#include <stddef.h>

#define PEOPLE_COMMAND_MAX 1280

struct people {
	const char *session, *address; /* --session, --address; NULL: not given */
	const char *mechanism;	       /* --mechanism */
	int tls;		       /* --tls 1, --no-tls 0, neither -1 */
	char **words;		       /* what is no option */
	int words_n;
};

/* The command for restante-control. 0, or EX_USAGE after a line on stderr. */
[[nodiscard]] int people_kick(const struct people *p, char command[PEOPLE_COMMAND_MAX]);
[[nodiscard]] int people_why(const struct people *p, char command[PEOPLE_COMMAND_MAX]);
/* The exit status that an answer to `why` stands for: 0 let in, 1 refused. */
int people_why_status(const char *answer, size_t n);

#endif
