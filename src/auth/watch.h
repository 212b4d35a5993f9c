/*
 * watch.h: is the users file in memory the one on disk? Pure.
 *
 * A changed file counts at once: its descriptor is looked at (fstat) for every login.
 * When it has changed, the monitor is asked for the file anew and logins are held until
 * it is loaded.
 */
#ifndef AUTH_WATCH_H
#define AUTH_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#define WATCH_ASK_MS   2000 /* for the monitor's answer */
#define WATCH_RETRY_MS 1000 /* between two questions where the first got no file */
/*
 * File times have the granularity of a tick, and on some file systems that of one or two
 * seconds: a file that was changed that shortly before it was read may have been changed
 * again, and look the same.
 */
#define WATCH_TICK_NS  UINT64_C(20000000)
#define WATCH_WHOLE_NS UINT64_C(2000000000)
/* A file that changes all the time must not hold a login for ever. */
#define WATCH_ROUNDS_MAX 3

struct stamp {
	uint64_t device, inode, links, size;
	uint64_t mtime_ns, ctime_ns;
};

enum watch_state {
	WATCH_NONE,    /* nothing that could be used */
	WATCH_HELD,    /* loaded */
	WATCH_ASKED,   /* USERS_ASK is under way */
	WATCH_LOADING, /* the descriptor came */
};

struct watch {
	enum watch_state state;
	struct stamp stamp; /* of the file as it was loaded, taken before reading it */
	uint64_t read_ns;   /* wall clock at that moment */
	uint64_t at_ms;	    /* ASKED: when to give up; NONE: when to ask again */
};

enum watch_advice {
	WATCH_GO,     /* decide with what is loaded */
	WATCH_ASK,    /* send USERS_ASK and hold the login */
	WATCH_HOLD,   /* hold the login */
	WATCH_REFUSE, /* REFUSAL_TEMPORARY */
};

/* seen: of the descriptor held, NULL where that fails. rounds: how often this login was
 * held. */
enum watch_advice watch_login(struct watch *w, const struct stamp *seen, unsigned rounds,
	uint64_t now_ms, uint64_t now_ns);
/* AUTH_USERS came, with a descriptor or without. */
void watch_arrived(struct watch *w, bool with_file, uint64_t now_ms);
/* stamp and read_ns from before reading. */
void watch_loaded(struct watch *w, bool ok, const struct stamp *stamp, uint64_t read_ns,
	uint64_t now_ms);
/* True: the monitor did not answer in time; what is held is to be refused. */
bool watch_gave_up(struct watch *w, uint64_t now_ms);

#endif
