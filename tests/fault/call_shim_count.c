/* call_shim_count.c: the page, the count, and what is a stream. */
#include "call_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STREAMS_MAX 4096

static struct shim_page *page;
static uint8_t streams[STREAMS_MAX];
static uintptr_t base, spared, spared_end; /* of the program; of libseccomp */

/*
 * libseccomp does not live through an allocation that fails: it crashes, or gives a
 * filter that lacks some calls, for which the process is killed later. That is before any
 * work and nobody's to mend here.
 */
static int
find_spared(struct dl_phdr_info *info, [[maybe_unused]] size_t size,
	[[maybe_unused]] void *context)
{
	if (info->dlpi_name[0] == '\0' && base == 0)
		base = info->dlpi_addr;
	if (!strstr(info->dlpi_name, "libseccomp"))
		return 0;
	spared = info->dlpi_addr;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		if (h->p_type == PT_LOAD && spared + h->p_vaddr + h->p_memsz > spared_end)
			spared_end = spared + h->p_vaddr + h->p_memsz;
	}
	return 1;
}

/* By the bare calls: the others are what is counted. */
[[gnu::constructor]] static void
set_up(void)
{
	const char *name = getenv("CALL_SHIM_PAGE");

	if (!name || page)
		return;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		_exit(74);
	void *p = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		_exit(74);
	(void)syscall(SYS_close, fd);
	(void)dl_iterate_phdr(find_spared, NULL);
	page = p;
}

static enum shim_verdict
judge(uint32_t kind, const char *name, const int *errors, size_t n, bool may_be_short)
{
	if (!page || !(__atomic_load_n(&page->armed, __ATOMIC_ACQUIRE) & kind))
		return SHIM_PASS;
	if (__atomic_add_fetch(&page->count, 1, __ATOMIC_RELAXED) != page->n)
		return SHIM_PASS;
	size_t ways = n + may_be_short;
	size_t pick = page->wraps ? page->pick % ways : page->pick;
	strncpy(page->name, name, sizeof(page->name) - 1);
	if (pick >= ways)
		return SHIM_PASS;
	if (pick == n) {
		__atomic_store_n(&page->hit, -1, __ATOMIC_RELEASE);
		return SHIM_SHORT;
	}
	__atomic_store_n(&page->hit, errors[pick], __ATOMIC_RELEASE);
	errno = errors[pick];
	return SHIM_FAIL;
}

bool
shim_fails(const char *name, const int *errors, size_t n)
{
	return judge(SHIM_CALLS, name, errors, n, false) == SHIM_FAIL;
}

enum shim_verdict
shim_octets(const char *name, const int *errors, size_t n, bool may_be_short)
{
	return judge(SHIM_CALLS, name, errors, n, may_be_short);
}

bool
shim_starves(const char *name, const void *caller)
{
	static const int errors[] = {ENOMEM};

	if ((uintptr_t)caller >= spared && (uintptr_t)caller < spared_end)
		return false;
	if (judge(SHIM_ALLOCATIONS, name, errors, 1, false) != SHIM_FAIL)
		return false;
	page->caller = (uintptr_t)caller - base;
	return true;
}

void
shim_is_stream(int fd, bool is)
{
	if (fd >= 0 && fd < STREAMS_MAX)
		streams[fd] = is;
}

bool
shim_is_stream_now(int fd)
{
	return fd >= 0 && fd < STREAMS_MAX && streams[fd];
}
