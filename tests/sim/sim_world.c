#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TAIL	  120
#define STEPS_MAX 3000000 /* a seed has some ten thousand */
#define LINE_MAX_ 200
#define HUGE	  ((size_t)1 << 21) /* a page of the larger kind */
#define ROOM	  ((size_t)1 << 30)

struct k_world k_world;

struct event {
	uint64_t at_ns, order;
	void (*fn)(void *);
	void *arg;
};

static struct event *heap;
static size_t heap_n, heap_cap;
static uint64_t orders;
static char tail[TAIL][LINE_MAX_];

static uint64_t
mix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
k_world_begin(uint64_t seed)
{
	uint64_t s = seed;

	k_world.seed = seed;
	k_world.hash = UINT64_C(0xcbf29ce484222325);
	k_world.now_ns = K_S;
	for (int i = 0; i < 4; i++)
		k_world.random[i] = mix(&s);
}

static uint64_t
turn(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256** */
uint64_t
k_random(void)
{
	uint64_t *s = k_world.random;
	uint64_t result = turn(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = turn(s[3], 45);
	return result;
}

uint64_t
k_below(uint64_t n)
{
	return n == 0 ? 0 : k_random() % n;
}

bool
k_chance(uint32_t permille)
{
	return permille > 0 && k_below(1000) < permille;
}

/* Never given back: out of a room whose pages are zero until they are written. */
void *
k_new(size_t n)
{
#ifdef RESTANTE_SANITIZED
	void *p = calloc(1, n > 0 ? n : 1);
	if (!p)
		abort();
	return p;
#else
	static uint8_t *room;
	static size_t used = ROOM;
	n = (n + 31) / 16 * 16;
	if (used + n > ROOM) {
		used = 0;
		room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (room == MAP_FAILED || n > ROOM)
			abort();
		(void)madvise(room, ROOM, MADV_HUGEPAGE);
	}
	void *p = room + used;
	used += n;
	return p;
#endif
}

/* The same for what is large and may be emptied again. */
void *
k_new_pages(size_t n)
{
	uint8_t *p = mmap(NULL, n + 2 * HUGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	p += HUGE - (uintptr_t)p % HUGE;
	if (n >= HUGE / 2)
		(void)madvise(p, HUGE, MADV_HUGEPAGE);
	return p;
}

bool
k_planted(const char *name)
{
	return k_world.plant && strcmp(k_world.plant, name) == 0;
}

bool
k_plant(const char *name, uint32_t permille)
{
	return k_planted(name) && k_chance(permille);
}

void
k_trace(const char *format, ...)
{
	char *line = tail[k_world.traced++ % TAIL];
	int n = snprintf(
		line, LINE_MAX_, "%9.3f ", (double)(k_world.now_ns / 1000) / 1000.0);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line + n, LINE_MAX_ - (size_t)n, format, args);
	va_end(args);
	for (const char *p = line; *p; p++)
		k_world.hash = (k_world.hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	if (k_world.prints)
		(void)puts(line);
}

void
k_violation(const char *format, ...)
{
	uint64_t first = k_world.traced > TAIL ? k_world.traced - TAIL : 0;
	va_list args;

	if (!k_world.prints)
		for (uint64_t i = first; i < k_world.traced; i++)
			(void)printf("  %s\n", tail[i % TAIL]);
	(void)printf("seed %llu: ", (unsigned long long)k_world.seed);
	va_start(args, format);
	(void)vprintf(format, args);
	va_end(args);
	(void)printf(", at %.3f ms\n", (double)(k_world.now_ns / 1000) / 1000.0);
	(void)fflush(stdout);
	_exit(1);
}

/* ---- what happens later ------------------------------------------------------------ */

static bool
earlier(const struct event *a, const struct event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void
swap(size_t a, size_t b)
{
	struct event e = heap[a];

	heap[a] = heap[b];
	heap[b] = e;
}

void
k_after(uint64_t delay_ns, void (*fn)(void *), void *arg)
{
	size_t i = heap_n++;

	if (heap_n > heap_cap) {
		heap_cap = heap_cap ? 2 * heap_cap : 256;
		heap = realloc(heap, heap_cap * sizeof(*heap));
		if (!heap)
			abort();
	}
	heap[i] = (struct event){k_world.now_ns + delay_ns, ++orders, fn, arg};
	for (; i > 0 && earlier(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(i, (i - 1) / 2);
}

uint64_t
k_next_event(void)
{
	return heap_n > 0 ? heap[0].at_ns : K_NEVER;
}

static struct event
take_first(void)
{
	struct event first = heap[0];
	size_t i = 0;

	heap[0] = heap[--heap_n];
	for (;;) {
		size_t least = i, l = 2 * i + 1;
		if (l < heap_n && earlier(&heap[l], &heap[least]))
			least = l;
		if (l + 1 < heap_n && earlier(&heap[l + 1], &heap[least]))
			least = l + 1;
		if (least == i)
			return first;
		swap(i, least);
		i = least;
	}
}

bool
k_fire(void)
{
	if (heap_n == 0 || heap[0].at_ns > k_world.now_ns)
		return false;
	struct event e = take_first();
	e.fn(e.arg);
	return true;
}

void
k_run(uint64_t until_ns, bool (*done)(void))
{
	while (k_world.now_ns < until_ns && !(done && done())) {
		if (++k_world.steps == STEPS_MAX)
			k_violation("no end: something runs in circles");
		while (k_fire())
			continue;
		k_wake_due();
		if (k_run_one()) {
			k_world.now_ns += 200 + k_below(20000);
			continue;
		}
		uint64_t next = k_next_event(), deadline = k_next_deadline();
		if (deadline < next)
			next = deadline;
		k_world.now_ns = next < until_ns ? next : until_ns;
	}
}
