/*
 * sim SEED [SEEDS] [--trace] [--plant NAME] [--hash]: runs so many seeds from that one
 * on, each in a process of its own. The first that fails is told, with what came before.
 */
#include "sim_actor.h"
#include "sim_disk.h"
#include "sim_ledger.h"
#include "sim_program.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REST_NS (3600 * K_S) /* by then everything must have come to rest */

struct options {
	uint64_t seed, seeds;
	bool trace, hash;
	const char *plant;
};

static const char users[] = "u0:{PLAIN}secret:1000:1000::/mail/u0::\n"
			    "u1:{PLAIN}secret:1000:1000::/mail/u1::\n"
			    "u2:{PLAIN}secret:1000:1000::/mail/u2::\n"
			    "u3:{PLAIN}secret:1000:1000::/mail/u3::\n";

static void
write_config(void)
{
	char text[2048];

	k_world.renews = k_chance(300);
	int n = snprintf(text, sizeof(text),
		"hostname = sim.example\nusers_file = /etc/users\nmail_roots = /mail\n"
		"run_dir = /run/restante\nspool_dir = /var/tmp\nservice_uids = 0\n"
		"plaintext = always\ngrowing_penalty = no\nlogin_failure_delay = 200ms\n"
		"fronts = %d\nfront_sessions = %d\nkeeper_sessions = %d\n"
		"keepers_per_owner = %d\nkeeper_threads = %d\nkeeper_idle = %ds\n"
		"lock_takeover = %ds\nmark_seen = %s\nspool_memory = %d\n"
		"front_renew = %ds\nkey_process = no\ndrain_timeout = 5s\n"
		"connections_per_address = 1000\nmechanisms = %s\n",
		1 + (int)k_below(2), k_chance(100) ? 1 : 40,
		k_chance(300) || k_planted("two-sessions"), 1 + (int)k_below(2),
		2 + (int)k_below(3), 1 + (int)k_below(20),
		k_chance(200) ? 1 + (int)k_below(20) : 0, k_chance(300) ? "yes" : "no",
		k_chance(500) ? 1000 : 100000, k_world.renews ? 20 : 86400,
		/* No mechanism whose library takes chance from elsewhere. */
		k_chance(700) ? "USER PLAIN" : "USER");

	n += snprintf(text + n, sizeof(text) - (size_t)n,
		"[listener pop3]\naddress = 127.0.0.1:%d\n"
		"[listener lmtp]\nprotocol = lmtp\naddress = 127.0.0.1:%d\n",
		POP3_PORT, LMTP_PORT);
	disk_put_all("/etc/restante.conf", text, (size_t)n);
	disk_put_all("/home/password", "secret\n", 7);
	k_disk_walk(NULL, "/home/password")->mode = S_IFREG | 0600;
	disk_put_all("/etc/users", users, sizeof(users) - 1);
}

static void
furnish(void)
{
	static const char *const files[] = {"restante-log", "restante-control",
		"restante-auth", "restante-keys", "restante-lmtpd", "restante-front",
		"restante-keeper"};
	char path[64];

	k_disk_begin();
	(void)disk_mkdirs("/etc");
	(void)disk_mkdirs("/run");
	(void)disk_mkdirs("/home");
	(void)disk_mkdirs("/var/tmp");
	(void)disk_mkdirs("/usr/bin");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "/usr/bin/%s", files[i]);
		disk_put_all(path, "", 0);
	}
	for (int i = 0; i < DROPS; i++) {
		(void)snprintf(path, sizeof(path), "/mail/u%d/Maildir", i);
		struct inode *dir = disk_mkdirs(path);
		if (k_chance(800)) {
			(void)disk_make(dir, "tmp", S_IFDIR | 0755);
			(void)disk_make(dir, "new", S_IFDIR | 0755);
			(void)disk_make(dir, "cur", S_IFDIR | 0755);
		}
		disk_sync(dir);
	}
	write_config();
}

static void
choose_world(const struct options *o)
{
	k_world.prints = o->trace;
	k_world.plant = o->plant;
	k_world.preempt = k_chance(500) ? 0 : (uint32_t)k_below(200);
	k_world.cold = k_chance(500) ? 0 : (uint32_t)k_below(500);
	k_world.nowait_unknown = k_chance(250);
	k_world.delay_ns = k_chance(500) ? K_MS : 1 + k_below(300 * K_MS);
	k_world.window = k_chance(300) ? 512 + k_below(4096) : 65536;
}

static bool
is_settled(void)
{
	return clients_settled() && retriever_settled();
}

static void
settle(void)
{
	k_world.calm = true;
	k_world.disk_full = false;
	k_world.disk_eio = 0;
	k_world.preempt = 0;
	for (struct proc *p = k_procs; p; p = p->next) {
		p->kill_at_call = 0;
		p->stalled_until_ns = 0;
	}
	clients_end();
	mtas_end();
	k_trace("the faults are over");
	k_run(k_world.now_ns + 10 * K_S, NULL);
	mtas_settle();
	k_run(k_world.now_ns + REST_NS, mtas_settled);
	if (!mtas_settled())
		k_violation("a message could not be delivered at rest");
	clients_settle();
	retriever_settle();
	k_run(k_world.now_ns + REST_NS, is_settled);
	if (!retriever_settled())
		k_violation("the retriever could not collect at rest");
	if (!is_settled())
		k_violation("a maildrop could not be read and emptied at rest");
	ledger_collected();
}

static void
run_seed(const struct options *o, uint64_t seed)
{
	uint32_t sure, gone, letters;

	k_world_begin(seed);
	choose_world(o);
	furnish();
	program_sqlite();
	program_monitor();
	faults_begin();
	clients_begin(1 + (uint32_t)k_below(6));
	mtas_begin(1 + (uint32_t)k_below(3));
	mda_begin();
	retriever_begin();
	k_run(k_world.now_ns + (4 + k_below(14)) * K_S, NULL);
	settle();
	ledger_count(&sure, &gone, &letters);
	if (o->hash)
		(void)printf("seed %llu: %016llx, %llu events, %u letters, %u sure, %u "
			     "gone, %u kills, %u crashes\n",
			(unsigned long long)seed, (unsigned long long)k_world.hash,
			(unsigned long long)k_world.traced, letters, sure, gone,
			k_world.kills, k_world.crashes);
	(void)fflush(stdout);
}

/* 0, or 1 where the seed failed; it has said so, unless it died. */
static int
run_apart(const struct options *o, uint64_t seed)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return 1;
	if (pid == 0) {
		(void)mallopt(M_MMAP_THRESHOLD, 1 << 17); /* large ones stay unwritten */
		(void)alarm(120);			  /* no call of ours waits */
		run_seed(o, seed);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) < 0)
		return 1;
	if (WIFSIGNALED(status))
		(void)printf("seed %llu: died of signal %d; see it with --trace\n",
			(unsigned long long)seed, WTERMSIG(status));
	else if (WEXITSTATUS(status) > 1)
		(void)printf("seed %llu: ended with status %d\n",
			(unsigned long long)seed, WEXITSTATUS(status));
	return status != 0;
}

static bool
read_options(int argc, char **argv, struct options *ret)
{
	uint64_t *numbers[] = {&ret->seed, &ret->seeds};
	size_t n = 0;

	for (int i = 1; i < argc; i++) {
		char *rest = NULL;
		if (strcmp(argv[i], "--trace") == 0) {
			ret->trace = true;
		} else if (strcmp(argv[i], "--hash") == 0) {
			ret->hash = true;
		} else if (strcmp(argv[i], "--plant") == 0 && i + 1 < argc) {
			ret->plant = argv[++i];
		} else if (n < 2) {
			*numbers[n++] = strtoull(argv[i], &rest, 10);
			if (*rest)
				return false;
		} else {
			return false;
		}
	}
	return n > 0;
}

int
main(int argc, char **argv)
{
	struct options o = {.seeds = 1};

	if (!read_options(argc, argv, &o)) {
		(void)fprintf(stderr,
			"usage: sim SEED [SEEDS] [--trace] [--hash] [--plant NAME]\n");
		return 64;
	}
	for (uint64_t i = 0; i < o.seeds; i++)
		if (run_apart(&o, o.seed + i) != 0)
			return 1;
	(void)printf("%llu seeds from %llu on: nothing lost, nothing doubled\n",
		(unsigned long long)o.seeds, (unsigned long long)o.seed);
	return 0;
}
