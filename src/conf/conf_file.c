#include "conf/conf.h"
#include "conf/conf_reader.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct conf *
conf_new(void)
{
	return calloc(1, sizeof(struct conf));
}

void
conf_free(struct conf **c)
{
	free(*c);
	*c = NULL;
}

static void
learn_facts(struct conf_facts *facts, char *hostname, size_t n)
{
	cpu_set_t set;

	facts->processors = 1;
	/* What this process may use, which is less than the machine has in a container.
	 */
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		facts->processors = (uint32_t)CPU_COUNT(&set);
	if (gethostname(hostname, n - 1) != 0)
		hostname[0] = '\0';
	hostname[n - 1] = '\0';
	facts->hostname = hostname;
}

size_t
conf_load_file(const char *path, struct conf_sink *sink, struct conf *conf)
{
	struct conf_facts facts;
	char hostname[256];
	AUTO_FREE uint8_t *octets = NULL;
	size_t n = 0;

	learn_facts(&facts, hostname, sizeof(hostname));
	if (path[0] == '\0')
		return conf_load(
			(struct view){NULL, 0}, "(defaults)", &facts, sink, conf);
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc = fd < 0 ? -errno : fd_read_file(fd, CONF_FILE_OCTETS_MAX, &octets, &n);
	if (rc < 0) {
		struct ini ini = {.file = path, .sink = sink};
		memset(conf, 0, sizeof(*conf));
		ini_report(&ini, 0, "cannot be read: %s", strerror(-rc));
		return ini.errors;
	}
	return conf_load((struct view){octets, n}, path, &facts, sink, conf);
}
