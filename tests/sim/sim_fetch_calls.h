/* sim_fetch_calls.h: as sim_calls.h, for what only the retriever calls. */
#ifndef SIM_FETCH_CALLS_H
#define SIM_FETCH_CALLS_H

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

void *sim_fdopendir(int fd);
void *sim_readdir64(void *dir);
int sim_closedir(void *dir);
char *sim_realpath_chk(const char *path, char *ret, size_t n);
char *sim_realpath(const char *path, char *ret);
char *sim_getcwd(char *ret, size_t n);
int sim_syncfs(int fd);
ssize_t sim_copy_file_range(
	int from, off_t *at, int to, off_t *to_at, size_t n, unsigned flags);
int sim_fchmod(int fd, mode_t mode);
int sim_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **ret);
int sim_connect(int fd, const struct sockaddr *to, socklen_t n);
int sim_printf_chk(int flag, const char *format, ...);
int sim_printf(const char *format, ...);
size_t sim_fwrite(const void *p, size_t size, size_t n, FILE *to);
int sim_putc(int c, FILE *to);
int sim_getpwuid_r(unsigned uid, void *pw, char *text, size_t n, void **ret);
time_t sim_time(time_t *ret);

#endif
