/*
 * settings.h: the command line and the configuration file as struct fetch_settings.
 *
 *     [defaults]
 *     deliver = maildir:/home/anna/Maildir
 *     [account work]
 *     server = mail.example.org
 *     user = anna
 *     password_command = secret-tool lookup mail work
 *
 * All errors of a file in one run, "FILE:LINE: what, what to do", as restanted does. With
 * --server the account is "USER@HOST" and no file is read. For FETCH_CONFIGURE there is
 * one account, named by the argument, with host "" where --server is not given: what it
 * has is to be tried and written.
 */
#ifndef FETCH_SETTINGS_H
#define FETCH_SETTINGS_H

#include "fetch/account.h"

enum fetch_task {
	FETCH_COLLECT,
	FETCH_LIST,	 /* --list: what is on the servers, without fetching */
	FETCH_STATUS,	 /* --status */
	FETCH_CONFIGURE, /* --configure USER@DOMAIN */
	FETCH_IMPORT,	 /* --import KIND:FILE */
	FETCH_RECONCILE, /* --reconcile MAILDIR */
	FETCH_HELP,
	FETCH_VERSION,
};

struct fetch_command {
	enum fetch_task task;
	const char *argument; /* of configure, import, reconcile */
	const char *dns;      /* --dns ADDR:PORT */
	const char *config;   /* the file, also one to be written; NULL: none was read */
	bool named;	      /* accounts were named: --status shows no others */
	struct fetch_settings settings;
};

/* 0; 64 (EX_USAGE), 78 (EX_CONFIG) or, without memory, 71 (EX_OSERR), after the errors
 * were written to stderr. */
[[nodiscard]] int settings_read(int argc, char **argv, struct fetch_command *ret);
void settings_free(struct fetch_command *c);
void settings_help(void);

#endif
