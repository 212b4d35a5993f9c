/*
 * A file of a file system in user space that stopped answering: it must be refused at
 * once. The file system is a child that knows four requests; it needs root and /dev/fuse.
 */
#include "unit.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_NODE 2

static void
answer(int fuse, const struct fuse_in_header *in, const void *p, size_t n, int err)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + n), .error = err, .unique = in->unique};
	struct iovec iov[] = {{&out, sizeof(out)}, {(void *)(uintptr_t)p, n}};

	CHECK(writev(fuse, iov, 2) == (ssize_t)out.len || errno == ENOENT);
}

static struct fuse_attr
attr_of(uint64_t node)
{
	return (struct fuse_attr){.ino = node,
		.nlink = 1,
		.size = 10,
		.blksize = 512,
		.mode = node == FILE_NODE ? S_IFREG | 0644 : S_IFDIR | 0755};
}

static void
serve(int fuse)
{
	static _Alignas(8) char request[1 << 17];
	const struct fuse_in_header *in = (const void *)request;

	while (read(fuse, request, sizeof(request)) > 0) {
		struct fuse_init_out init = {
			.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096};
		struct fuse_entry_out entry = {
			.nodeid = FILE_NODE, .attr = attr_of(FILE_NODE)};
		struct fuse_attr_out attr = {.attr = attr_of(in->nodeid)};
		struct fuse_open_out opened = {.fh = 1};
		switch (in->opcode) {
		case FUSE_INIT: answer(fuse, in, &init, sizeof(init), 0); break;
		case FUSE_LOOKUP: answer(fuse, in, &entry, sizeof(entry), 0); break;
		case FUSE_GETATTR: answer(fuse, in, &attr, sizeof(attr), 0); break;
		case FUSE_OPEN: answer(fuse, in, &opened, sizeof(opened), 0); break;
		case FUSE_FORGET: break;
		default: answer(fuse, in, NULL, 0, -ENOSYS); break;
		}
	}
	_exit(0);
}

static void
a_silent_file_system_is_refused_at_once(void **state)
{
	(void)state;
	char dir[] = "/tmp/os_sealed_fuse.XXXXXX", options[96], path[64];
	AUTO_FD fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (geteuid() != 0 || fuse < 0)
		skip();
	assert_non_null(mkdtemp(dir));
	(void)snprintf(options, sizeof(options),
		"fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	if (mount("test", dir, "fuse", MS_NODEV | MS_NOSUID, options) < 0) {
		assert_int_equal(rmdir(dir), 0);
		skip(); /* a container that may not mount */
	}
	pid_t pid = fork();
	if (pid == 0)
		serve(fuse);
	fd_close(&fuse); /* so that its end is the end of the file system */
	(void)snprintf(path, sizeof(path), "%s/mail", dir);
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	int opened = fd < 0 ? -errno : 0, status;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	/* An alarm, because a wait on FUSE could be for ever. */
	(void)alarm(60);
	int err = opened < 0 ? 0 : slice_file_check(fd, 0, 10);
	uint64_t size;
	int sealed = opened < 0 ? 0 : sealed_check(fd, &size);
	(void)alarm(0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fd_close(&fd);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(opened, 0);
	assert_int_equal(err, -EINVAL);
	assert_int_equal(sealed, -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_silent_file_system_is_refused_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
