/*
 * auth_sasl_play.h: a whole login: sasl.h on one end, GNU SASL's client (or a given text)
 * on the other, and a few users.
 */
#ifndef AUTH_SASL_PLAY_H
#define AUTH_SASL_PLAY_H

#include "auth/sasl.h"

#define PLAY_STEPS_MAX 8

/* The user who is there; everybody else gets `dummy`. */
struct play_user {
	const char *name, *stored; /* "{PLAIN}pencil" */
	const char *dummy;	   /* NULL: as stored */
	bool apop;
	const uint8_t *certificate; /* 32 octets, or NULL */
};

struct play_client {
	enum mechanism mechanism;
	const char *gsasl_name; /* the name by which GNU SASL's client knows it */
	const char *name, *authzid, *password;
	/* base64 as the client's library wants it; NULL: it has none */
	const char *exporter, *unique;
	/* Changes what the client says at its step (0 first); octets_max has room. */
	void (*alter)(unsigned step, uint8_t *octets, size_t *n, size_t octets_max);
};

struct play_seen {
	enum sasl_act end;
	char name[256];	 /* of SASL_YES */
	char asked[256]; /* whose password was wanted */
	const char *reason;
	unsigned steps; /* how often the server said something */
	size_t said_n[PLAY_STEPS_MAX];
	char said[PLAY_STEPS_MAX][512]; /* as strings */
	bool client_is_content;
};

struct sasl *play_sasl(void);
/* facts: mechanism is taken from the client. */
void play(struct sasl *s, struct sasl_facts facts, const struct play_client *c,
	const struct play_user *u, struct play_seen *ret);
/* One that is stored so; the test fails where it cannot be. */
void play_stored(const char *text, struct user *ret);
/* Whatever is asked about users is answered until the server speaks or ends. */
void play_settle(struct sasl_talk *t, const struct play_user *u, struct sasl_result *r);

#endif
