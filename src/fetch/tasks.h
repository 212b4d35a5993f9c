/*
 * tasks.h: what restante fetch does beside collecting; each gives an exit status.
 */
#ifndef FETCH_TASKS_H
#define FETCH_TASKS_H

#include "fetch/settings.h"

/* --configure USER@DOMAIN: finds the server (RFC 6186, then the usual names), tries it
 * and writes the account. */
int task_configure(const struct fetch_command *c);
/* --import KIND:FILE: what other retrievers have collected counts as seen. */
int task_import(const struct fetch_command *c);
/* --reconcile MAILDIR: what lies there already counts as delivered. */
int task_reconcile(const struct fetch_command *c);

#endif
