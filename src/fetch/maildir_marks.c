#include "fetch/maildir_marks.h"

#include "fetch/durable.h"
#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool
marks_of_name(const char *name, uint8_t ret[MARK_OCTETS])
{
	size_t i = 0;

	while (name[i] >= '0' && name[i] <= '9')
		i++;
	if (i == 0 || name[i] != '.' || name[i + 1] != 'R')
		return false;
	i += 2;
	if (strnlen(name + i, (size_t)2 * MARK_OCTETS + 1) <= (size_t)2 * MARK_OCTETS)
		return false;
	return name[i + (size_t)2 * MARK_OCTETS] == '.' &&
		durable_unhex(name + i, (size_t)2 * MARK_OCTETS, ret);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, MARK_OCTETS);
}

int
marks_add(struct mark_set *m, const uint8_t mark[MARK_OCTETS])
{
	if (m->n == m->room) {
		size_t room = m->room ? 2 * m->room : 256;
		void *p = reallocarray(m->marks, room, MARK_OCTETS);

		if (!p)
			return -ENOMEM;
		m->marks = p;
		m->room = room;
	}
	memcpy(m->marks[m->n++], mark, MARK_OCTETS);
	return 0;
}

static int
take(void *arg, const char *name)
{
	uint8_t mark[MARK_OCTETS];

	return marks_of_name(name, mark) ? marks_add(arg, mark) : 0;
}

static void
sort(struct mark_set *m)
{
	size_t kept = 0;

	qsort(m->marks, m->n, MARK_OCTETS, compare);
	for (size_t i = 0; i < m->n; i++)
		if (kept == 0 || compare(m->marks[kept - 1], m->marks[i]) != 0)
			memmove(m->marks[kept++], m->marks[i], MARK_OCTETS);
	m->n = m->sorted = kept;
}

int
marks_read(struct mark_set *m, int new_dir, int cur_dir)
{
	int r = 0;

	m->n = m->sorted = 0;
	m->was_read = false;
	for (int pass = 0; r == 0 && pass < 2; pass++) {
		r = durable_scan(new_dir, take, m);
		if (r == 0)
			r = durable_scan(cur_dir, take, m);
		if (r == 0 && m->n > 0)
			sort(m);
	}
	if (r < 0)
		return r;
	m->read_ms = clock_ms();
	m->read_n = m->n;
	m->was_read = true;
	return 0;
}

int
marks_refresh(struct mark_set *m, int new_dir, int cur_dir)
{
	return m->was_read && m->n - m->read_n <= MARKS_ADDED_MAX
		? 0
		: marks_read(m, new_dir, cur_dir);
}

bool
marks_have(struct mark_set *m, const uint8_t mark[MARK_OCTETS])
{
	if (m->n == 0)
		return false;
	if (bsearch(mark, m->marks, m->sorted, MARK_OCTETS, compare))
		return true;
	/* The few that were added since: sorted in when they become many. */
	for (size_t i = m->sorted; i < m->n; i++)
		if (compare(mark, m->marks[i]) == 0)
			return true;
	if (m->n - m->sorted > 256)
		sort(m);
	return false;
}

void
marks_free(struct mark_set *m)
{
	free(m->marks);
	*m = (struct mark_set){0};
}
