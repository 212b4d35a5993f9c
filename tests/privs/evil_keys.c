/*
 * evil_keys.c: a restante-keys that was taken over. It signs once with each key, so that
 * fronts take the certificate; then the number of the certificate says how it answers.
 */
#include "evil.h"
#include "keys/keys.h"
#include "os/sandbox.h"
#include "os/sealed.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define FRONTS_MAX 64
#define KEYS_MAX   16

static struct received got;
static int fronts[FRONTS_MAX];
static nfds_t fronts_n;
static struct {
	struct keys_key *key;
	bool used;
} keys[KEYS_MAX];

static void
keep_key(const struct msg_keys_key *m)
{
	const char *why;
	struct view pem;

	if (m->index >= KEYS_MAX || sealed_map(got.fds[0], 65536, &pem.p, &pem.n) < 0)
		return;
	keys[m->index].key = keys_key_read(pem, &why);
	keys[m->index].used = false;
}

static void
hear_monitor(void)
{
	struct view payload;
	struct msg_keys_key key;
	int number = evil_receive(FD_MONITOR, &got, &payload, 0);

	if (number < 0)
		_exit(0);
	if (number == MSG_KEYS_FRONT && got.nfds && fronts_n < FRONTS_MAX)
		fronts[fronts_n++] = received_take(&got, 0);
	else if (number == MSG_KEYS_KEY && got.nfds && msg_keys_key_get(&key, payload))
		keep_key(&key);
	received_done(&got);
}

static void
say(int fd, uint32_t question, uint8_t error, size_t n)
{
	uint8_t octets[1024];

	memset(octets, 0x30, sizeof(octets));
	EVIL(m, signed, {.question = question, .error = error, .signature = {octets, n}});
	(void)evil_send(fd, &m, NULL, 0);
}

static bool
honest(int fd, const struct msg_sign *m)
{
	uint8_t octets[KEYS_SIGNATURE_MAX];
	size_t n = sizeof(octets);
	bool legacy;

	if (m->index >= KEYS_MAX || !keys[m->index].key || keys[m->index].used)
		return false;
	keys[m->index].used = true;
	if (keys_sign(keys[m->index].key, m->scheme, m->content, octets, &n, &legacy) !=
		KEYS_SIGN)
		return false;
	EVIL(answer, signed, {.question = m->question, .signature = {octets, n}});
	(void)evil_send(fd, &answer, NULL, 0);
	return true;
}

static void
answer(int fd, const struct msg_sign *m)
{
	if (honest(fd, m))
		return;
	switch (m->index) {
	case 0: say(fd, m->question, 0, 71); break; /* a signature that is none */
	case 1: break;				    /* no answer */
	case 2:					    /* answers to other questions */
		for (uint32_t i = 1; i < 200; i++)
			say(fd, m->question + i, 0, 71);
		break;
	case 3: say(fd, m->question, 0, 1024); break; /* too long for any key */
	case 4: say(fd, m->question, 0, 0); break;    /* nothing */
	case 5: say(fd, m->question, 5, 0); break;    /* refused */
	default: (void)channel_send(fd, VIEW("\x94\0garbage"), NULL, 0); break;
	}
}

static void
hear_front(nfds_t i)
{
	struct view payload;
	struct msg_sign m;
	int number = evil_receive(fronts[i], &got, &payload, 0);

	if (number < 0) {
		(void)close(fronts[i]);
		fronts[i] = fronts[--fronts_n];
	} else if (number == MSG_SIGN && msg_sign_get(&m, payload)) {
		answer(fronts[i], &m);
	}
	received_done(&got);
}

int
main(void)
{
	struct pollfd first = {.fd = FD_MONITOR, .events = POLLIN};
	struct view payload;
	struct msg_keys_setup setup;

	(void)poll(&first, 1, 10000);
	if (evil_receive(FD_MONITOR, &got, &payload, 0) != MSG_KEYS_SETUP ||
		!msg_keys_setup_get(&setup, payload) || got.nfds != 1)
		return 70;
	if (keys_warm_up() < 0)
		return 71;
	evil_cage(SANDBOX_KEYS, setup.uid, received_take(&got, 0));
	evil_ready();
	for (;;) {
		struct pollfd on[1 + FRONTS_MAX] = {{.fd = FD_MONITOR, .events = POLLIN}};
		nfds_t n = fronts_n;
		for (nfds_t i = 0; i < n; i++)
			on[1 + i] = (struct pollfd){.fd = fronts[i], .events = POLLIN};
		(void)poll(on, 1 + n, 1000);
		if (on[0].revents)
			hear_monitor();
		for (nfds_t i = n; i > 0; i--)
			if (on[i].revents)
				hear_front(i - 1);
	}
}
