/* links.c: channels between two children. */
#include "ipc/permit.h"
#include "monitor/monitor_send.h"
#include "os/fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <sys/socket.h>

/* Both live and can be told; else the start of the other one comes back to this. */
static bool
both_there(const struct monitor *m, uint32_t a, uint32_t b)
{
	return core_lives(m->core, a) && core_lives(m->core, b) &&
		m->children[a].source.fd >= 0 && m->children[b].source.fd >= 0;
}

/* False after the process of slot was blamed. */
static bool
make_pair(struct monitor *m, uint32_t slot, int pair[2])
{
	if (channel_pair(pair) == 0)
		return true;
	child_fault(m, slot, "no descriptors for its channel to another process");
	return false;
}

/* For as many logins at once as an attack brings; where that may not be, less. */
static void
make_room(int fd)
{
	int wanted = 4 << 20;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
}

void
link_front_auth(struct monitor *m, uint32_t slot)
{
	const struct core_process *p = &m->core->at[slot];
	int pair[2];

	if (!both_there(m, CORE_AUTH, slot) || !make_pair(m, slot, pair))
		return;
	AUTO_FD for_auth = pair[0], for_front = pair[1];
	make_room(for_front);
	struct msg_auth_front to_auth = {.front = p->incarnation,
		.delivers = slot == CORE_LMTPD,
		.asserts = p->asserts};
	struct msg_front_auth to_front = {
		.auth_incarnation = m->core->at[CORE_AUTH].incarnation};
	if (SEND(auth_front, &to_auth, CORE_AUTH, &for_auth, 1) == 0)
		(void)SEND(front_auth, &to_front, slot, &for_front, 1);
}

/*
 * The front has nothing to do before it has the signature, so its receive waits, for two
 * seconds at most: in its cage it may set nothing of this itself.
 */
static bool
let_wait(int fd)
{
	struct timeval most = {.tv_sec = 2};
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 &&
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) == 0 &&
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

void
link_front_keys(struct monitor *m, uint32_t slot)
{
	int pair[2];

	if (!both_there(m, CORE_KEYS, slot) || !make_pair(m, slot, pair))
		return;
	AUTO_FD for_keys = pair[0], for_front = pair[1];
	if (!let_wait(for_front)) {
		child_fault(m, slot, "its channel to restante-keys cannot be set up");
		return;
	}
	struct msg_keys_front to_keys = {.front = m->core->at[slot].incarnation};
	struct msg_front_keys to_front = {
		.keys_incarnation = m->core->at[CORE_KEYS].incarnation};
	if (SEND(keys_front, &to_keys, CORE_KEYS, &for_keys, 1) == 0)
		(void)SEND(front_keys, &to_front, slot, &for_front, 1);
}

static struct msg_auth_helper
helper_of(const struct monitor *m, uint32_t slot)
{
	return (struct msg_auth_helper){
		.backend = (uint8_t)(BACKEND_SYSTEM + core_backend(slot)),
		.instance = core_instance(slot),
		.helper = m->core->at[slot].incarnation};
}

void
link_helper_auth(struct monitor *m, uint32_t slot)
{
	int pair[2];

	/* One that is to replace another is asked once it can answer. */
	if (m->core->mode != CORE_MODE_START && m->core->at[slot].state != CORE_READY)
		return;
	if (!both_there(m, CORE_AUTH, slot) || !make_pair(m, slot, pair))
		return;
	AUTO_FD for_auth = pair[0], for_helper = pair[1];
	struct msg_auth_helper to_auth = helper_of(m, slot);
	struct msg_helper_channel to_helper = {0};
	if (SEND(auth_helper, &to_auth, CORE_AUTH, &for_auth, 1) == 0)
		(void)SEND(helper_channel, &to_helper, slot, &for_helper, 1);
}

void
link_control_auth(struct monitor *m)
{
	struct msg_auth_control message = {0};
	int pair[2];

	if (!both_there(m, CORE_AUTH, CORE_CONTROL) || !make_pair(m, CORE_CONTROL, pair))
		return;
	AUTO_FD for_auth = pair[0], for_control = pair[1];
	if (SEND(auth_control, &message, CORE_AUTH, &for_auth, 1) == 0)
		(void)SEND(auth_control, &message, CORE_CONTROL, &for_control, 1);
}

/* Whoever is gone itself needs no word: child_send says no. */
void
link_gone(struct monitor *m, uint32_t slot)
{
	uint64_t incarnation = m->core->at[slot].incarnation;

	if (core_has_sessions(slot)) {
		struct msg_auth_front gone = {.front = incarnation, .gone = 1};
		(void)SEND(auth_front, &gone, CORE_AUTH, NULL, 0);
	}
	if (core_is_front(slot)) {
		struct msg_keys_front gone = {.front = incarnation, .gone = 1};
		(void)SEND(keys_front, &gone, CORE_KEYS, NULL, 0);
	}
	if (core_is_helper(slot)) {
		struct msg_auth_helper gone = helper_of(m, slot);
		gone.gone = 1;
		(void)SEND(auth_helper, &gone, CORE_AUTH, NULL, 0);
	}
}
