/* sim_file.h: open file descriptions: channels, connections, memory and so on. */
#ifndef SIM_FILE_H
#define SIM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BACKLOG 64

struct inode;
struct memory;
struct proc;

enum file_kind {
	FILE_CHANNEL,
	FILE_STREAM,
	FILE_LISTENER,
	FILE_EPOLL,
	FILE_EVENT,
	FILE_SIGNAL,
	FILE_MEMORY,
	FILE_DISK,
	FILE_NULL,
	FILE_OTHER, /* a socket that is none yet */
};

struct packet {
	struct packet *next;
	size_t n, nfds;
	struct file **fds;
	uint8_t octets[];
};

/* One direction of a connection. */
struct pipe {
	uint8_t *p;
	size_t at, n, cap;  /* on its way or there, not yet read */
	size_t arrived;	    /* of n */
	uint64_t last_ns;   /* when the last of it arrives */
	bool fin, fin_came; /* the sender has closed */
	bool reset;
	bool silent; /* nothing arrives any more: a cable was cut */
	struct file *reader;
	void (*got)(void *); /* where the reader is an actor */
	void (*room)(void *);
	void *actor;
	struct file *writer;
};

struct watch {
	struct watch *next_of_file, *next_of_epoll;
	struct file *file, *epoll;
	struct proc *proc;
	int fd;
	uint32_t events;
	uint64_t data;
	bool is_off;
};

struct file {
	enum file_kind kind;
	int refs, flags;
	uint64_t at, count;
	struct watch
		*watches; /* FILE_EPOLL: those that it has, else those that it is in */
	/* channel */
	struct file *peer;
	struct packet *first, *last;
	size_t queued, limit;
	bool peer_gone, reset;
	char drop[64]; /* a session: whose maildrop it is */
	uint64_t session;
	bool keeps; /* it is the keeper's end */
	/* stream */
	struct pipe *in, *out;
	uint16_t port;
	struct file **waiting; /* listener: BACKLOG of them */
	size_t waiting_n;
	/* others */
	struct inode *inode;
	struct memory *memory;
	struct proc *owner;
};

struct memory {
	uint8_t *p;
	size_t n;
	int seals;
};

struct file *k_file(enum file_kind kind, int flags);
struct file *k_get(int fd); /* NULL and EBADF */
int k_fd(struct file *take, int least);
void k_put(struct file *f);
void k_close_all(struct proc *p);
uint32_t k_events(const struct file *f);
/* It may be ready now. */
void k_notify(struct file *f);
int k_fail(int error);
void k_epoll_forget(struct file *f);

/* ---- sim_stream.c ------------------------------------------------------------------ */

struct pipe *k_pipe(void);
void k_pipe_send(struct pipe *p, const void *octets, size_t n);
void k_pipe_fin(struct pipe *p);
void k_pipe_reset(struct pipe *p);
void k_pipe_cut(struct pipe *to_server, struct pipe *to_client);
size_t k_pipe_room(const struct pipe *p);
size_t k_pipe_take(struct pipe *p, void *octets, size_t n, bool peek);
void k_stream_close(struct file *f);
/* Somebody connects from outside: false where nobody listens. */
bool k_connect(uint16_t port, struct pipe *to_server, struct pipe *to_client);
void k_listener_close(struct file *f);
/* sim_channel.c */
void k_channel_close(struct file *f);

#endif
