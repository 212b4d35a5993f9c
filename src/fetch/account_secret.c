/* account_secret.c: what an account logs in with. */
#include "fetch/account_run_parts.h"

#include <errno.h>
#include <stdio.h>

void
account_run_secret(struct account_run *a)
{
	struct collect *c = &a->collect;
	const struct fetch_account *settings = c->account;
	char prompt[320];

	a->result = 0;
	secret_wipe(&c->token);
	c->has_token = false;
	if (settings->token_command) {
		a->result = secret_token(
			settings->token_command, &c->token, a->why, sizeof(a->why));
		c->has_token = a->result == 0;
		return;
	}
	if (c->has_password && !a->refresh_secret)
		return;
	secret_wipe(&c->password);
	snprintf(prompt, sizeof(prompt), "password of %s at %s", settings->user,
		settings->host);
	if (settings->password.file &&
		!secret_file_is_open(
			settings->password.file, a->warning, sizeof(a->warning)))
		a->warning[0] = 0;
	/* A descriptor is read but once, whichever account needs it first. */
	if (settings->password.fd >= 0)
		a->result = secret_read_once(&settings->password, &a->all->run.from_fd,
			&c->password, a->why, sizeof(a->why));
	else
		a->result = secret_read(&settings->password, prompt, &c->password, a->why,
			sizeof(a->why));
	c->has_password = a->result == 0;
	a->refresh_secret = false;
	/* EXTERNAL and GSSAPI need none. */
	if (a->result == -ENOENT && settings->auth[0])
		a->result = 0;
}
