/*
 * sim_calls.h: the calls that the programs make, as the simulation answers them. Which
 * symbol of a program becomes which of these: calls.map.
 */
#ifndef SIM_CALLS_H
#define SIM_CALLS_H

#include "sim.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

/* sim_file.c */
int sim_close(int fd);
int sim_dup_to(int fd, int least);
int sim_fcntl64(int fd, int cmd, long arg);
int sim_fstat64(int fd, struct stat *st);
ssize_t sim_pread64(int fd, void *p, size_t n, off_t at);
ssize_t sim_preadv64v2(int fd, const struct iovec *iov, int n, off_t at, int flags);
ssize_t sim_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t sim_read(int fd, void *p, size_t n);
ssize_t sim_write(int fd, const void *p, size_t n);
int sim_ftruncate64(int fd, off_t n);
int sim_fallocate64(int fd, int mode, off_t at, off_t n);

/* sim_disk_calls.c */
int sim_openat64(int dirfd, const char *path, int flags, mode_t mode);
int sim_open64(const char *path, int flags, mode_t mode);
int sim_openat64_2(int dirfd, const char *path, int flags);
long sim_syscall(long number, long a, long b, long c);
int sim_fstatat64(int dirfd, const char *path, struct stat *st, int flags);
int sim_stat64(const char *path, struct stat *st);
int sim_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *x);
ssize_t sim_getdents64(int fd, void *buffer, size_t n);
off_t sim_lseek64(int fd, off_t at, int whence);
int sim_mkdirat(int dirfd, const char *path, mode_t mode);
int sim_mkdir(const char *path, mode_t mode);
int sim_unlinkat(int dirfd, const char *path, int flags);
int sim_unlink(const char *path);
int sim_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int sim_renameat2(
	int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int sim_renameat(int from_fd, const char *from, int to_fd, const char *to);
int sim_fsync(int fd);
int sim_flock(int fd, int operation);

/* sim_channel.c, sim_stream.c */
int sim_socketpair(int domain, int type, int protocol, int ret[2]);
ssize_t sim_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t sim_recvmsg(int fd, struct msghdr *msg, int flags);
int sim_shutdown(int fd, int how);
int sim_socket(int domain, int type, int protocol);
int sim_bind(int fd, const struct sockaddr *to, socklen_t n);
int sim_listen(int fd, int backlog);
int sim_accept4(int fd, struct sockaddr *from, socklen_t *n, int flags);
int sim_getsockname(int fd, struct sockaddr *ret, socklen_t *n);
ssize_t sim_recv(int fd, void *p, size_t n, int flags);
ssize_t sim_send(int fd, const void *p, size_t n, int flags);
int sim_getsockopt(int fd, int level, int name, void *value, socklen_t *n);
int sim_setsockopt(int fd, int level, int name, const void *value, socklen_t n);

/* sim_epoll.c */
int sim_epoll_create1(int flags);
int sim_epoll_ctl(int epfd, int op, int fd, struct epoll_event *e);
int sim_epoll_wait(int epfd, struct epoll_event *got, int max, int timeout_ms);
int sim_poll(struct pollfd *p, unsigned long n, int timeout_ms);
int sim_eventfd(unsigned value, int flags);
int sim_signalfd(int fd, const sigset_t *set, int flags);
ssize_t signal_read(struct file *f, void *p, size_t n);

/* sim_system.c */
int sim_memfd_create(const char *name, unsigned flags);
void *sim_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int sim_munmap(void *p, size_t n);
int sim_madvise(void *p, size_t n, int advice);
int sim_clock_gettime(clockid_t which, struct timespec *ret);
int sim_nanosleep(const struct timespec *t, struct timespec *left);
ssize_t sim_getrandom(void *p, size_t n, unsigned flags);
int sim_getpid(void);
unsigned sim_getuid(void);
[[gnu::noreturn]] void sim_exit(int status);
int sim_kill(int pid, int signal);
int sim_waitid(int kind, int id, siginfo_t *info, int flags);
int sim_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *t);
int sim_getrlimit64(int which, struct rlimit *l);
int sim_sched_getaffinity(int pid, size_t n, cpu_set_t *set);
int sim_gethostname(char *name, size_t n);
ssize_t sim_readlink(const char *path, char *text, size_t n);
char *sim_getenv(const char *name);
int sim_fputs(const char *text, FILE *to);
[[gnu::format(printf, 3, 4)]] int sim_fprintf_chk(
	FILE *to, int flag, const char *format, ...);
[[gnu::format(printf, 3, 4)]] int sim_dprintf_chk(
	int fd, int flag, const char *format, ...);
[[gnu::format(printf, 2, 3)]] int sim_fprintf(FILE *to, const char *format, ...);
[[gnu::format(printf, 2, 3)]] int sim_dprintf(int fd, const char *format, ...);
long sim_nothing(void);
int sim_pthread_create(
	pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int sim_pthread_tryjoin_np(pthread_t t, void **ret);
int sim_pthread_join(pthread_t t, void **ret);
int sim_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int sim_pthread_mutex_lock(pthread_mutex_t *m);
int sim_pthread_mutex_unlock(pthread_mutex_t *m);
int sim_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int sim_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int sim_pthread_cond_wake(pthread_cond_t *c);

#endif
