/*
 * helper_state.h: what helper.h hides; for the files of helper.c and their tests alone.
 */
#ifndef HELPER_HELPER_STATE_H
#define HELPER_HELPER_STATE_H

#include "helper/helper.h"
#include "ipc/channel.h"

#define HELPER_SETTINGS_MAX 16384
#define HELPER_HOSTNAME_MAX 255
#define HELPER_WHY_MAX	    512
#define HELPER_REASON_MAX   256
#define HELPER_NAME_MAX	    1024

struct helper {
	const struct helper_ops *ops;
	/* Name NUL value NUL, and so on; one more NUL behind the last. */
	char settings[HELPER_SETTINGS_MAX + 1];
	size_t settings_n;
	char hostname[HELPER_HOSTNAME_MAX + 1];
	uint32_t timeout_ms;
	void *state;
	char why[HELPER_WHY_MAX];
	int auth;	   /* the channel; -1: none at the moment */
	uint64_t alone_ms; /* since when there is none any more; 0: there was none yet */
	struct received received;
	uint8_t name[HELPER_NAME_MAX], line[HELPER_LINE_MAX], octets[HELPER_OCTETS_MAX];
	uint8_t out[MESSAGE_OCTETS_MAX];
};

/* Keeps what HELPER_SETUP brought. False: it is not made of pairs, or too long. */
[[nodiscard]] bool helper_take_settings(struct helper *h, struct view settings);

#endif
