#include "fetch/mails.h"

#include <string.h>

struct mail *
mails_find(const struct mails *m, uint32_t number)
{
	if (number <= m->base || number - m->base > m->n)
		return NULL;

	struct mail *found = &m->at[number - m->base - 1];
	return found->number ? found : NULL;
}

struct mail *
mails_add(struct mails *m, uint32_t number)
{
	struct mail *found = mails_find(m, number);

	if (found)
		return found;
	if (number <= m->base)
		return NULL;

	uint32_t place = number - m->base - 1;
	if (place >= m->cap && !m->room(m, place + 1 - m->n, 0, 0))
		return NULL;
	for (; m->n <= place; m->n++)
		m->at[m->n] = (struct mail){0};
	m->count++;
	m->at[place] = (struct mail){
		.size = MAIL_NO_SIZE, .number = number, .known = MAIL_NO_KNOWN};
	return &m->at[place];
}

bool
mails_set_uid(struct mails *m, struct mail *mail, struct view uid)
{
	if (uid.n > LETTER_UID_MAX)
		return false;
	if (m->text_cap - m->text_n < uid.n && !m->room(m, 0, uid.n, 0))
		return false;
	if (uid.n > 0)
		memcpy(m->text + m->text_n, uid.p, uid.n);
	mail->uid_at = (uint32_t)m->text_n;
	mail->uid_n = (uint16_t)uid.n;
	m->text_n += uid.n;
	return true;
}

/* ---- sorting ------------------------------------------------------------------------
 */

enum sort_by { SORT_NUMBER, SORT_NEWEST, SORT_SIZE, SORT_UID, SORT_HEADER };

static int
compare_uids(const struct mails *m, const struct mail *a, const struct mail *b)
{
	size_t n = a->uid_n < b->uid_n ? a->uid_n : b->uid_n;
	int c = n > 0 ? memcmp(m->text + a->uid_at, m->text + b->uid_at, n) : 0;

	return c != 0 ? c : (int)a->uid_n - (int)b->uid_n;
}

/* Whether a comes after b. */
static bool
is_after(const struct mails *m, enum sort_by by, uint32_t ia, uint32_t ib)
{
	const struct mail *a = &m->at[ia], *b = &m->at[ib];
	int c;

	switch (by) {
	case SORT_NEWEST: return a->number < b->number;
	case SORT_SIZE:
		return a->size != b->size ? a->size > b->size : a->number > b->number;
	case SORT_UID:
		c = compare_uids(m, a, b);
		return c != 0 ? c > 0 : a->number > b->number;
	case SORT_HEADER:
		c = memcmp(a->header, b->header, HEADER_DIGEST);
		return c != 0 ? c > 0 : a->number > b->number;
	case SORT_NUMBER: break;
	}
	return a->number > b->number;
}

static void
sift(struct mails *m, enum sort_by by, uint32_t root, uint32_t end)
{
	uint32_t *o = m->order;

	for (uint32_t child = 2 * root + 1; child < end; child = 2 * root + 1) {
		uint32_t moved = o[root];

		if (child + 1 < end && is_after(m, by, o[child + 1], o[child]))
			child++;
		if (!is_after(m, by, o[child], moved))
			return;
		o[root] = o[child];
		o[child] = moved;
		root = child;
	}
}

/* Heap sort: no allocation, no bad case. */
static void
sort(struct mails *m, enum sort_by by)
{
	for (uint32_t i = m->order_n / 2; i > 0; i--)
		sift(m, by, i - 1, m->order_n);
	for (uint32_t end = m->order_n; end > 1; end--) {
		uint32_t last = m->order[end - 1];

		m->order[end - 1] = m->order[0];
		m->order[0] = last;
		sift(m, by, 0, end - 1);
	}
}

void
mails_sort(struct mails *m, enum fetch_order order)
{
	static const enum sort_by by[] = {
		[FETCH_ORDER_NUMBER] = SORT_NUMBER,
		[FETCH_ORDER_NEWEST] = SORT_NEWEST,
		[FETCH_ORDER_BIGGEST_LAST] = SORT_SIZE,
	};

	sort(m, by[order]);
}

void
mails_by_header(struct mails *m)
{
	m->order_n = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct mail *mail = &m->at[i];

		if (mail->number && mail->plan == MAIL_IDENTIFY && mail->has_header &&
			!mail->checked)
			m->order[m->order_n++] = i;
	}
	sort(m, SORT_HEADER);
}

uint32_t
mails_header_from(const struct mails *m, const uint8_t header[HEADER_DIGEST])
{
	uint32_t low = 0, high = m->order_n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct mail *mail = &m->at[m->order[middle]];

		if (memcmp(mail->header, header, HEADER_DIGEST) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
mails_mark_twins(struct mails *m)
{
	m->order_n = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		if (m->at[i].number)
			m->order[m->order_n++] = i;
	}
	sort(m, SORT_UID);
	for (uint32_t i = 1; i < m->order_n; i++) {
		struct mail *a = &m->at[m->order[i - 1]], *b = &m->at[m->order[i]];

		if (a->uid_n > 0 && compare_uids(m, a, b) == 0)
			a->twin = b->twin = true;
	}
	m->order_n = 0;
}
