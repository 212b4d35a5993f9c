/* The programs, and what of them cannot be the real one here: fork, cages, privileges. */
#include "sim_program.h"
#include "monitor/monitor.h"
#include "os/sandbox.h"
#include "os/tls.h"
#include "sim.h"
#include "sim_calls.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAIN(name) int sim_main_##name(int argc, char **argv)
MAIN(restanted);
MAIN(restante_front);
MAIN(restante_auth);
MAIN(restante_keeper);
MAIN(restante_lmtpd);
MAIN(restante_log);
MAIN(restante_control);
MAIN(restante_fetch);

static const struct {
	const char *name;
	int (*main)(int, char **);
} programs[] = {
	{"restante-front", sim_main_restante_front},
	{"restante-auth", sim_main_restante_auth},
	{"restante-keeper", sim_main_restante_keeper},
	{"restante-lmtpd", sim_main_restante_lmtpd},
	{"restante-log", sim_main_restante_log},
	{"restante-control", sim_main_restante_control},
};

/* These keep their state in statics: each start begins with fresh ones. */
extern char __start_sim_state_restante_auth[], __stop_sim_state_restante_auth[];
extern char __start_sim_state_restante_fetch[], __stop_sim_state_restante_fetch[];

/* Over what a sanitizer lays between them, too. */
__attribute__((no_sanitize("address", "undefined"))) static void
freshen(char *from, const char *to)
{
	for (volatile char *p = from; p < to; p++)
		*p = 0;
}

struct proc *
program_fetch(void)
{
	static const char *const words[] = {"restante-fetch", "--server", "127.0.0.1:110",
		"--user", "u3", "--password-file", "/home/password", "--tls", "none",
		"--maildir", "/home/Mail", "--state", "/home/state", "--timeout", "20"};
	size_t n = sizeof(words) / sizeof(words[0]);
	char **arguments = k_new((n + 1) * sizeof(char *));
	struct proc *p;

	for (size_t i = 0; i < n; i++) {
		arguments[i] = k_new(strlen(words[i]) + 1);
		memcpy(arguments[i], words[i], strlen(words[i]));
	}
	freshen(__start_sim_state_restante_fetch, __stop_sim_state_restante_fetch);
	p = k_spawn("restante-fetch", sim_main_restante_fetch, NULL);
	p->arguments = arguments;
	for (int i = 0; i < 3; i++)
		p->fds[i] = k_file(FILE_NULL, 2);
	return p;
}

void
program_monitor(void)
{
	struct proc *p = k_spawn("restanted", sim_main_restanted, NULL);

	for (int i = 0; i < 3; i++)
		p->fds[i] = k_file(FILE_NULL, 2);
}

int
spawn(const struct spawn_plan *plan, int32_t *ret_pid)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		if (strcmp(programs[i].name, plan->name) != 0)
			continue;
		if (programs[i].main == sim_main_restante_auth)
			freshen(__start_sim_state_restante_auth,
				__stop_sim_state_restante_auth);
		struct proc *p = k_spawn(programs[i].name, programs[i].main, k_proc());
		for (int k = 0; k < 3; k++) {
			p->fds[k] = k_file(FILE_NULL, 2);
			p->fds[3 + k] = k_get(plan->fds[k]);
			p->fds[3 + k]->refs++;
		}
		*ret_pid = p->pid;
		return 0;
	}
	return -8;
}

const char *
spawn_failure(int exit_status)
{
	(void)exit_status;
	return NULL;
}

int
privileges_learn(struct monitor *m)
{
	m->uid = m->gid = m->operator_uid = 1000;
	return 0;
}

int
privileges_drop(struct monitor *m)
{
	(void)m;
	return 0;
}

void
environment_take(struct monitor *m)
{
	(void)m;
}

void
notify_send(struct monitor *m, const char *state)
{
	(void)m;
	k_trace("monitor tells %s", state);
}

void
sandbox_first(void)
{
}

int
sandbox_enter(const struct sandbox_plan *plan, uint32_t *ret_parts, const char **ret_step)
{
	(void)plan, (void)ret_step;
	*ret_parts = SANDBOX_NO_NEW_PRIVS | SANDBOX_SECCOMP;
	return 0;
}

void
sandbox_parts_text(uint32_t parts, struct buf *out)
{
	(void)parts;
	buf_put_str(out, "simulated");
}

/* No TLS here: tests of os/tls have that. */
int
tls_warm_up(void)
{
	return 0;
}
