/* SQLite's own layer of files, on the simulated disk: the retriever's state lies there.
 */
#include "sim_calls.h"
#include "sim_disk.h"
#include "sim_program.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define SHM_REGIONS 64

struct sim_db_file {
	sqlite3_file base; /* first */
	int fd;
	bool is_new; /* its directory is synced with it */
	char *path;
	void *shm[SHM_REGIONS];
};

static struct sim_db_file *
of(sqlite3_file *f)
{
	return (struct sim_db_file *)(void *)f;
}

static int
db_close(sqlite3_file *f)
{
	(void)sim_close(of(f)->fd);
	return SQLITE_OK;
}

static int
db_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	ssize_t got = sim_pread64(of(f)->fd, p, (size_t)n, at);

	if (got < 0)
		return SQLITE_IOERR_READ;
	memset((char *)p + got, 0, (size_t)(n - got));
	return got == n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int
db_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	for (int done = 0; done < n;) {
		ssize_t put = sim_pwrite64(
			of(f)->fd, (const char *)p + done, (size_t)(n - done), at + done);
		if (put < 0)
			return errno == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
		done += (int)put;
	}
	return SQLITE_OK;
}

static int
db_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return sim_ftruncate64(of(f)->fd, n) < 0 ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int
sync_directory(const char *path)
{
	char name[DISK_NAME_MAX + 1];
	struct inode *dir;
	int e = disk_parent(disk_root(), path, &dir, name) || disk_fault(false);

	if (e)
		return SQLITE_IOERR_DIR_FSYNC;
	disk_sync(dir);
	return SQLITE_OK;
}

static int
db_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	if (sim_fsync(of(f)->fd) < 0)
		return SQLITE_IOERR_FSYNC;
	if (!of(f)->is_new)
		return SQLITE_OK;
	of(f)->is_new = false;
	return sync_directory(of(f)->path);
}

static int
db_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	struct stat st;

	if (sim_fstat64(of(f)->fd, &st) < 0)
		return SQLITE_IOERR_FSTAT;
	*ret = st.st_size;
	return SQLITE_OK;
}

/* One process at a time has it open: the retriever's own lock sees to that. */
static int
db_lock(sqlite3_file *f, int kind)
{
	(void)f, (void)kind;
	return SQLITE_OK;
}

static int
db_reserved(sqlite3_file *f, int *ret)
{
	(void)f;
	*ret = 0;
	return SQLITE_OK;
}

static int
db_control(sqlite3_file *f, int what, void *arg)
{
	(void)f, (void)what, (void)arg;
	return SQLITE_NOTFOUND;
}

static int
db_sector(sqlite3_file *f)
{
	(void)f;
	return 512;
}

static int
db_characteristics(sqlite3_file *f)
{
	(void)f;
	return 0;
}

/* The first to open it finds nothing in there, as with a file that was cut. */
static int
db_shm_map(sqlite3_file *f, int region, int n, int extend, void volatile **ret)
{
	if (region >= SHM_REGIONS)
		return SQLITE_IOERR_SHMMAP;
	if (!of(f)->shm[region] && extend)
		of(f)->shm[region] = k_new((size_t)n);
	*ret = of(f)->shm[region];
	return SQLITE_OK;
}

static int
db_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	(void)f, (void)at, (void)n, (void)flags;
	return SQLITE_OK;
}

static void
db_shm_barrier(sqlite3_file *f)
{
	(void)f;
}

static int
db_shm_unmap(sqlite3_file *f, int remove)
{
	(void)remove;
	memset(of(f)->shm, 0, sizeof(of(f)->shm));
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = {.iVersion = 2,
	.xClose = db_close,
	.xRead = db_read,
	.xWrite = db_write,
	.xTruncate = db_truncate,
	.xSync = db_sync,
	.xFileSize = db_size,
	.xLock = db_lock,
	.xUnlock = db_lock,
	.xCheckReservedLock = db_reserved,
	.xFileControl = db_control,
	.xSectorSize = db_sector,
	.xDeviceCharacteristics = db_characteristics,
	.xShmMap = db_shm_map,
	.xShmLock = db_shm_lock,
	.xShmBarrier = db_shm_barrier,
	.xShmUnmap = db_shm_unmap};

/* ---- the file system
 * ----------------------------------------------------------------------- */

static int
vfs_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *ret)
{
	struct sim_db_file *d = of(f);
	bool creates = (flags & SQLITE_OPEN_CREATE) != 0;

	(void)v;
	memset(d, 0, sizeof(*d));
	if (!name)
		return SQLITE_CANTOPEN; /* all that is temporary is in memory */
	bool there = k_disk_walk(NULL, name) != NULL;
	int way = (flags & SQLITE_OPEN_READONLY) ? O_RDONLY : O_RDWR;
	d->fd = sim_open64(name, way | (creates ? O_CREAT : 0), 0600);
	if (d->fd < 0)
		return SQLITE_CANTOPEN;
	d->path = k_new(strlen(name) + 1);
	memcpy(d->path, name, strlen(name) + 1);
	d->is_new = !there;
	d->base.pMethods = &methods;
	if (ret)
		*ret = flags;
	return SQLITE_OK;
}

static int
vfs_delete(sqlite3_vfs *v, const char *name, int sync)
{
	(void)v;
	if (sim_unlink(name) < 0)
		return errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
	return sync ? sync_directory(name) : SQLITE_OK;
}

static int
vfs_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
	const struct inode *i = k_disk_walk(NULL, name);

	(void)v;
	*ret = i && (flags != SQLITE_ACCESS_EXISTS || i->n > 0);
	return SQLITE_OK;
}

static int
vfs_full(sqlite3_vfs *v, const char *name, int n, char *ret)
{
	(void)v;
	if ((size_t)n <= strlen(name))
		return SQLITE_CANTOPEN;
	memcpy(ret, name, strlen(name) + 1);
	return SQLITE_OK;
}

static int
vfs_random(sqlite3_vfs *v, int n, char *ret)
{
	(void)v;
	return (int)sim_getrandom(ret, (size_t)n, 0);
}

static int
vfs_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	return us;
}

static int
vfs_time(sqlite3_vfs *v, sqlite3_int64 *ret)
{
	(void)v;
	*ret = 210866760000000 +
		(sqlite3_int64)(K_EPOCH_S * 1000 + k_world.now_ns / K_MS);
	return SQLITE_OK;
}

static int
vfs_error(sqlite3_vfs *v, int n, char *ret)
{
	(void)v, (void)n, (void)ret;
	return errno;
}

void
program_sqlite(void)
{
	static sqlite3_vfs vfs = {.iVersion = 2,
		.szOsFile = sizeof(struct sim_db_file),
		.mxPathname = 512,
		.zName = "sim",
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xGetLastError = vfs_error,
		.xCurrentTimeInt64 = vfs_time};

	if (sqlite3_initialize() != SQLITE_OK ||
		sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
		abort();
}
