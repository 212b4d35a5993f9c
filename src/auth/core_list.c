#include "auth/core.h"
#include "base/check.h"

void
attempts_add(struct attempt_list *l, struct attempt *a, uint64_t deadline_ms)
{
	CHECK(!a->list);
	a->list = l;
	a->deadline_ms = deadline_ms;
	a->list_next = NULL;
	a->list_before = l->last;
	if (l->last)
		l->last->list_next = a;
	else
		l->first = a;
	l->last = a;
	l->n++;
}

void
attempts_remove(struct attempt *a)
{
	struct attempt_list *l = a->list;

	if (!l)
		return;
	if (a->list_before)
		a->list_before->list_next = a->list_next;
	else
		l->first = a->list_next;
	if (a->list_next)
		a->list_next->list_before = a->list_before;
	else
		l->last = a->list_before;
	l->n--;
	a->list = NULL;
	a->list_next = a->list_before = NULL;
}
