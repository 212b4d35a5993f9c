/* The start of OpenSSL without memory: told, or made good, never a crash at the first
 * use. */
#include "no_memory.h"
#include "os/tls_client.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP 5 /* what matters most are some thirty that follow each other */

/* What a program does next; whatever comes of it. */
static void
use(void)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	(void)EVP_Digest("x", 1, digest, &n, EVP_sha256(), NULL);
}

enum came_of { BEGUN, TOLD, ODD };

/* In a child, for a process begins once. */
static enum came_of
begin_without(size_t n, size_t *ret_count)
{
	int pipe_fds[2], status = 0;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		const struct rlimit none = {0, 0};
		(void)setrlimit(RLIMIT_CORE, &none);
		failing = n;
		if (!no_memory_here())
			_exit(ODD);
		int r = tls_client_begin();
		if (r == 0)
			use();
		ssize_t put = write(pipe_fds[1], &allocations, sizeof(allocations));
		_exit(put != (ssize_t)sizeof(allocations) ? ODD
				: r == 0		  ? BEGUN
				: r == -ENOMEM		  ? TOLD
							  : ODD);
	}
	(void)close(pipe_fds[1]);
	ssize_t got = read(pipe_fds[0], ret_count, sizeof(*ret_count));
	(void)close(pipe_fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status))
		fail_msg("without allocation %zu: signal %d", n, WTERMSIG(status));
	assert_int_equal(got, sizeof(*ret_count));
	return (enum came_of)WEXITSTATUS(status);
}

static void
test_each_allocation_of_the_start(void **state)
{
	size_t count = 0, scratch, told = 0;

	(void)state;
	assert_int_equal(begin_without(0, &count), BEGUN);
	assert_true(count > 100);
	for (size_t n = 1; n <= count; n += STEP) {
		enum came_of c = begin_without(n, &scratch);
		assert_int_not_equal(c, ODD);
		told += c == TOLD;
	}
	/* Its own texts may be missing, and it works; its context may not. */
	assert_true(told > 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_of_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
