/* sim_disk.h: the simulated file system, for its own files and the descriptors. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim.h"

#include <fcntl.h>
#include <sys/stat.h>

#define DISK_NAME_MAX 255
#define SHARED_MAX    64

struct entry {
	struct entry *next;
	struct inode *inode;
	char name[];
};

struct inode {
	uint64_t number;
	mode_t mode; /* with its kind */
	uint32_t links;
	uint8_t *p;
	size_t n, cap;
	uint8_t *safe; /* what is on the disk for good */
	size_t safe_n, safe_cap;
	size_t dirty_from, dirty_to; /* written since */
	bool synced;		     /* it is the same */
	struct entry *entries, *safe_entries;
	struct inode *parent;
	uint64_t mtime_ns, ctime_ns;
	struct file *locked, *flocked; /* by this description */
	struct file **shared;	       /* SHARED_MAX of them */
	size_t shared_n;
	const char *path; /* as it was made, for the trace */
};

struct inode *disk_root(void);
/* Of what is there: NULL. */
struct inode *disk_find(struct inode *dir, const char *name);
struct inode *disk_find_safe(struct inode *dir, const char *name);
/* 0 and the directory and the name in it; or errno. */
int disk_parent(struct inode *from, const char *path, struct inode **ret, char *ret_name);
struct inode *disk_make(struct inode *dir, const char *name, mode_t mode);
int disk_link(struct inode *dir, const char *name, struct inode *inode);
int disk_unlink(struct inode *dir, const char *name);
int disk_rename(struct inode *dir, const char *name, struct inode *to, const char *as);
/* sim_disk_octets.c uses: a file's time now; it differs there from what is safe. */
uint64_t disk_time(void);
void disk_dirty(struct inode *i, size_t from, size_t to);
void disk_sync(struct inode *i);
/* And all below it. */
void disk_sync_all(struct inode *dir);
void disk_put_all(const char *path, const void *octets, size_t n);
struct inode *disk_mkdirs(const char *path);

void disk_stat(const struct inode *i, struct stat *st);
uint64_t disk_size(const struct inode *i);
ssize_t disk_read(struct file *f, void *p, size_t n, uint64_t at);
ssize_t disk_write(struct file *f, const void *p, size_t n, uint64_t at);
/* Without faults and without a descriptor, for actors. */
void disk_append(struct inode *i, const void *p, size_t n);
/* A socket gets its name; as the call. */
int disk_bind(const char *path);
int disk_truncate(struct file *f, uint64_t n);
int disk_lock(struct file *f, int cmd, struct flock *l);
/* A fault by the seed: 0 or an errno. */
int disk_fault(bool needs_room);

#endif
