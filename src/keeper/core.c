#include "keeper/core.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/num.h"

#include <errno.h>

#define IN(state) (1U << (state))

static const struct permission {
	uint16_t number;
	uint8_t states;
	uint8_t right; /* needed; 0: none */
} permissions[] = {
	{MSG_WANT, IN(KEEPER_SERVING), RIGHT_READ},
	{MSG_FETCH, IN(KEEPER_SERVING), RIGHT_READ},
	{MSG_SEEN, IN(KEEPER_SERVING), RIGHT_READ},
	/* Without RIGHT_DELETE a verdict is answered with VERDICT_DENIED. */
	{MSG_VERDICT, IN(KEEPER_SERVING) | IN(KEEPER_JUDGING), 0},
	{MSG_DEPOSIT, IN(KEEPER_ACCEPTING), RIGHT_DELIVER},
};

bool
keeper_allows(enum keeper_state state, uint16_t number, uint8_t rights)
{
	for (size_t i = 0; i < ARRAY_SIZE(permissions); i++) {
		const struct permission *p = &permissions[i];
		if (p->number != number)
			continue;
		return (p->states & IN(state)) && (rights & p->right) == p->right;
	}
	return false;
}

bool
keeper_rights_are_sound(uint8_t rights)
{
	return !(rights & RIGHT_DELIVER) || rights == RIGHT_DELIVER;
}

bool
keeper_wants_take(struct keeper_wants *w, struct view msgnos, uint32_t count)
{
	struct cursor c = cursor_over(msgnos);
	struct keeper_wants got = {.n = 0};

	CHECK(w->at == w->n);
	while (c.n > 0) {
		uint32_t msgno = cursor_u32(&c);
		if (c.bad || msgno < 1 || msgno > count || got.n == SLICES_BATCH_MAX)
			return false;
		got.msgno[got.n++] = msgno;
	}
	if (got.n == 0)
		return false;
	*w = got;
	return true;
}

bool
keeper_form_take(struct keeper_form *f, uint8_t utf8)
{
	if (utf8 > 1 || (f->said && f->utf8 != (utf8 == 1)))
		return false;
	*f = (struct keeper_form){.said = true, .utf8 = utf8 == 1};
	return true;
}

bool
keeper_fetch_is_sound(const struct msg_fetch *m, uint32_t count)
{
	uint64_t end;

	if (m->msgno < 1 || m->msgno > count)
		return false;
	if (m->length < 1 || m->length > KEEPER_PIECE_MAX)
		return false;
	return num_add(m->offset, m->length, &end) && end <= INT64_MAX;
}

static bool
mark(struct keeper_marks *m, uint64_t msgno)
{
	if (msgno < 1 || msgno > m->count)
		return false;
	uint64_t idx = msgno - 1;
	m->octets[idx / 8] |= (uint8_t)(1U << (idx % 8));
	m->marked++;
	return true;
}

bool
keeper_marks_take(struct keeper_marks *m, const struct msg_verdict *part)
{
	uint64_t first = part->first;

	/* Rising, and each part says something: so parts are bounded by the maildrop. */
	if (first < 1 || first < m->next)
		return false;
	if (part->marks.n == 0 && !part->last)
		return false;
	if (part->last > 1 || part->marks.n > (uint64_t)m->count / 8 + 1)
		return false;
	for (size_t i = 0; i < part->marks.n * 8; i++)
		if (part->marks.p[i / 8] >> (i % 8) & 1)
			if (!mark(m, first + i))
				return false;
	m->next = first + part->marks.n * 8;
	return true;
}

static enum keeper_admission
refuse(uint8_t code, uint8_t *ret_code)
{
	*ret_code = code;
	return KEEPER_REFUSE;
}

enum keeper_admission
keeper_admit(const struct keeper_question *q, uint8_t *ret_code)
{
	if (q->others_max > 0 && q->others >= q->others_max)
		return refuse(REFUSAL_CONNECTIONS, ret_code);
	if (q->held) {
		if (q->takeover_s == 0 || (q->asked && q->now_ms >= q->ask_until_ms))
			return refuse(REFUSAL_IN_USE, ret_code);
		return q->asked ? KEEPER_WAIT : KEEPER_YIELD;
	}
	/* RFC 2449 s.6.5 and s.8.1.1 */
	if (q->delay_s > 0 && q->last_login_ms > 0 &&
		q->now_ms < q->last_login_ms + UINT64_C(1000) * q->delay_s)
		return refuse(REFUSAL_LOGIN_DELAY, ret_code);
	return KEEPER_ADMIT;
}

uint8_t
keeper_refusal_of(int e)
{
	switch (-e) {
	case ELOOP:
	case ENOTDIR:
	case EXDEV:
	case EACCES:
	case EPERM:
	case EINVAL:
	case EFBIG:
	case ENAMETOOLONG:
	/* The identity log is damaged, or a later version wrote it. */
	case EBADMSG:
	case EPROTONOSUPPORT: return REFUSAL_PERMANENT;
	default: return REFUSAL_TEMPORARY;
	}
}

uint8_t
keeper_outcome_of(int result, uint32_t remain)
{
	if (result < 0)
		return VERDICT_UNKNOWN;
	return remain > 0 ? VERDICT_PARTIAL : VERDICT_DONE;
}

uint8_t
keeper_deposit_outcome_of(int result)
{
	static const struct row {
		int error;
		uint8_t outcome;
	} rows[] = {
		{0, DEPOSIT_DONE},
		{EDQUOT, DEPOSIT_FULL},
		{ENOSPC, DEPOSIT_NO_SPACE},
		{EFBIG, DEPOSIT_TOO_LARGE},
		/* The maildrop or the way to it is not what it should be. */
		{EACCES, DEPOSIT_CLOSED},
		{EPERM, DEPOSIT_CLOSED},
		{EROFS, DEPOSIT_CLOSED},
		{ELOOP, DEPOSIT_CLOSED},
		{EXDEV, DEPOSIT_CLOSED},
		{ENOTDIR, DEPOSIT_CLOSED},
		{EISDIR, DEPOSIT_CLOSED},
		{EINVAL, DEPOSIT_CLOSED},
		{ENAMETOOLONG, DEPOSIT_CLOSED},
		{EBADMSG, DEPOSIT_CLOSED},
		{EPROTONOSUPPORT, DEPOSIT_CLOSED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].error == -result)
			return rows[i].outcome;
	return DEPOSIT_TEMPORARY;
}
