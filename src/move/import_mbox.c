/* An mbox as the maildrop: its messages and their keys, as the store has them. */
#include "base/buf.h"
#include "move/import_source.h"
#include "store/mbox.h"

#include <errno.h>

static int
add_message(struct import *im, const struct mbox_row *row, uint32_t number)
{
	struct import_message *m = import_message_add(im);
	char text[64];
	struct buf label = buf_over(text, sizeof(text));

	if (!m)
		return -ENOMEM;
	buf_put_str(&label, "message ");
	buf_put_dec(&label, number);
	m->label = m->file = import_keep(im, buf_view(&label));
	m->key = import_keep(im, (struct view){row->digest, MBOX_DIGEST});
	m->offset = row->at;
	m->length = row->length;
	return im->no_memory ? -ENOMEM : 0;
}

static int
add_all(struct import *im, int fd, const struct mbox_table *t)
{
	int r = 0;

	for (uint32_t i = 0; i < t->pub.count && r == 0; i++)
		r = add_message(im, &t->rows[i], i + 1);
	for (uint32_t i = 0; i < im->messages_n && r == 0; i++) {
		r = import_marks_of(im, fd, &im->messages[i]);
		if (r == 0)
			r = import_measure(fd, &im->messages[i]);
	}
	return r;
}

int
import_mbox_read(struct import *im, int fd)
{
	struct mbox_table *t;
	int r = mbox_table_new(64, &t);

	if (r < 0)
		return r;
	im->is_mbox = true;
	r = mbox_read(fd, 0, t);
	if (r == 0)
		r = add_all(im, fd, t);
	mbox_table_unref(&t);
	return r;
}
