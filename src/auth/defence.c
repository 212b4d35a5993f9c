#include "auth/defence.h"
#include "auth/sip.h"
#include "base/check.h"
#include "base/network.h"

#include <stdlib.h>
#include <string.h>

#define WAYS	      8
#define NETWORKS_SETS 8192  /* 64 Ki networks */
#define ACCOUNTS_SETS 8192  /* 64 Ki accounts */
#define PAIRS_SETS    16384 /* 128 Ki known pairs at the most */
#define PAIRS_FIRST   64    /* ... and 512 to begin with */
#define NETWORKS_MAX  32

/* One failure is forgotten in this time; a long run of them after a while. */
#define FORGET_MS    600000
#define COUNT_MAX    64
#define KNOWN_MS     ((uint64_t)30 * 24 * 3600 * 1000)
#define DELAY_MS_MAX 30000
/* Failures of an account that slow down networks which are strange to it. */
#define ACCOUNT_FREE 10
/* From so many on a network's guesses are hashed last. */
#define SUSPECT_FROM 3
/* From so many on an account's logins from elsewhere are hashed after all others'. */
#define STRANGE_FROM 20
/* The bucket of an account counts in thousandths of a login. */
#define TOKEN 1000

/* A row says its own age; `key` 0 is free. */
struct failures {
	uint64_t key;
	uint64_t at_ms;
	uint32_t count;
	uint32_t tokens; /* of accounts: what is left of the bucket, in thousandths */
	uint64_t tokens_ms;
};

struct pair {
	uint64_t key;
	uint64_t at_ms; /* of the last right password */
};

struct defence {
	struct defence_options o;
	uint64_t key[2];
	size_t trusted_n;
	uint8_t trusted[NETWORKS_MAX * NETWORK_OCTETS];
	struct failures networks[NETWORKS_SETS * WAYS];
	struct failures accounts[ACCOUNTS_SETS * WAYS];
	/* Only users make them: as many as there are users, close together. */
	struct pair *pairs;
	size_t pairs_sets;
};

struct defence *
defence_new(const struct defence_options *o, const uint8_t key[16])
{
	struct defence *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->pairs = calloc(PAIRS_FIRST * WAYS, sizeof(*d->pairs));
	if (!d->pairs) {
		free(d);
		return NULL;
	}
	d->pairs_sets = PAIRS_FIRST;
	d->o = *o;
	memcpy(d->key, key, sizeof(d->key));
	d->trusted_n = o->trusted.n / NETWORK_OCTETS * NETWORK_OCTETS;
	if (d->trusted_n > sizeof(d->trusted))
		d->trusted_n = sizeof(d->trusted);
	if (d->trusted_n > 0)
		memcpy(d->trusted, o->trusted.p, d->trusted_n);
	d->o.trusted = (struct view){d->trusted, d->trusted_n};
	return d;
}

void
defence_free(struct defence **d)
{
	if (*d)
		free((*d)->pairs);
	free(*d);
	*d = NULL;
}

/* ---- keys
 * ------------------------------------------------------------------------------
 */

/* Never 0, which is the key of a free row. */
static uint64_t
key_of(const struct defence *d, uint64_t table, struct view a, struct view b)
{
	struct sip s = sip_begin(d->key);

	sip_word(&s, table);
	sip_octets(&s, a);
	sip_octets(&s, b);
	return sip_end(&s) | 1;
}

/* An IPv4 address whole, of an IPv6 one the first 64 bits. */
static struct view
network_of(const uint8_t address[16])
{
	static const uint8_t v4_mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	bool v4 = memcmp(address, v4_mapped, sizeof(v4_mapped)) == 0;

	return (struct view){address, v4 ? 16 : 8};
}

struct keys {
	uint64_t network, account, pair;
};

static struct keys
keys_of(const struct defence *d, const uint8_t address[16], struct view name)
{
	const struct view none = {address, 0};
	struct view network = network_of(address);

	return (struct keys){
		.network = key_of(d, 1, network, none),
		.account = key_of(d, 2, name, none),
		.pair = key_of(d, 3, network, name),
	};
}

/* ---- rows ----------------------------------------------------------------------------
 */

static const struct failures *
row_find(const struct failures *table, size_t sets, uint64_t key)
{
	const struct failures *set = &table[(key >> 1) % sets * WAYS];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

/* The row of this key, or the oldest of its set made into it. */
static struct failures *
row_take(struct failures *table, size_t sets, uint64_t key)
{
	struct failures *set = &table[(key >> 1) % sets * WAYS];
	struct failures *oldest = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].at_ms < oldest->at_ms)
			oldest = &set[i];
	}
	*oldest = (struct failures){.key = key};
	return oldest;
}

/* What still counts: half of it goes with each FORGET_MS. */
static uint32_t
count_now(const struct failures *f, uint64_t now_ms)
{
	if (!f)
		return 0;
	uint64_t halves = now_ms > f->at_ms ? (now_ms - f->at_ms) / FORGET_MS : 0;
	return halves < 32 ? f->count >> halves : 0;
}

static void
count_up(struct failures *f, uint64_t now_ms)
{
	uint32_t count = count_now(f, now_ms);

	f->count = count < COUNT_MAX ? count + 1 : COUNT_MAX;
	f->at_ms = now_ms;
}

static struct pair *
pairs_set(struct pair *pairs, size_t sets, uint64_t key)
{
	return &pairs[(key >> 1) % sets * WAYS];
}

static bool
is_known(const struct defence *d, uint64_t key, uint64_t now_ms)
{
	const struct pair *set = pairs_set(d->pairs, d->pairs_sets, key);

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].key == key)
			return now_ms - set[i].at_ms < KNOWN_MS;
	return false;
}

/* Twice as many sets: what was in one goes to two, which have the room. */
static bool
pairs_grow(struct defence *d)
{
	size_t sets = d->pairs_sets * 2;
	struct pair *grown =
		sets <= PAIRS_SETS ? calloc(sets * WAYS, sizeof(*grown)) : NULL;

	if (!grown)
		return false;
	for (size_t i = 0; i < d->pairs_sets * WAYS; i++) {
		if (d->pairs[i].key == 0)
			continue;
		struct pair *to = pairs_set(grown, sets, d->pairs[i].key);
		while (to->key != 0)
			to++;
		*to = d->pairs[i];
	}
	free(d->pairs);
	d->pairs = grown;
	d->pairs_sets = sets;
	return true;
}

/* The place of this key in its set, else a free one, else that of the oldest. */
static struct pair *
pair_place(struct defence *d, uint64_t key)
{
	struct pair *set = pairs_set(d->pairs, d->pairs_sets, key), *place = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (place->key != 0 && (set[i].key == 0 || set[i].at_ms < place->at_ms))
			place = &set[i];
	}
	return place;
}

static void
make_known(struct defence *d, uint64_t key, uint64_t now_ms)
{
	struct pair *place = pair_place(d, key);

	/* Another user's, who may come again. */
	while (place->key != 0 && place->key != key && now_ms - place->at_ms < KNOWN_MS &&
		pairs_grow(d))
		place = pair_place(d, key);
	*place = (struct pair){key, now_ms};
}

static bool
is_trusted(const struct defence *d, const uint8_t address[16])
{
	return network_list_has((struct view){d->trusted, d->trusted_n}, address);
}

/* ---- what is asked -------------------------------------------------------------------
 */

enum defence_lane
defence_lane(const struct defence *d, const uint8_t address[16], struct view name,
	uint64_t now_ms)
{
	struct keys k = keys_of(d, address, name);

	if (is_known(d, k.pair, now_ms))
		return DEFENCE_KNOWN;
	if (is_trusted(d, address))
		return DEFENCE_UNKNOWN;
	if (count_now(row_find(d->networks, NETWORKS_SETS, k.network), now_ms) >=
		SUSPECT_FROM)
		return DEFENCE_SUSPECT;
	if (count_now(row_find(d->accounts, ACCOUNTS_SETS, k.account), now_ms) >=
		STRANGE_FROM)
		return DEFENCE_STRANGE;
	return DEFENCE_UNKNOWN;
}

static uint32_t
delay_of(const struct defence *d, uint32_t failures)
{
	uint64_t delay = d->o.failure_delay_ms;

	for (uint32_t i = 1; d->o.growing && i < failures && delay < DELAY_MS_MAX; i++)
		delay *= 2;
	return (uint32_t)(delay < DELAY_MS_MAX ? delay : DELAY_MS_MAX);
}

uint32_t
defence_failed(
	struct defence *d, const uint8_t address[16], struct view name, uint64_t now_ms)
{
	struct keys k = keys_of(d, address, name);
	bool known = is_known(d, k.pair, now_ms);
	uint32_t strange = 0;

	if (is_trusted(d, address))
		return delay_of(d, 1);
	struct failures *network = row_take(d->networks, NETWORKS_SETS, k.network);
	count_up(network, now_ms);
	/* His own typing slips must not make strangers of his other places. */
	if (!known) {
		struct failures *account =
			row_take(d->accounts, ACCOUNTS_SETS, k.account);
		count_up(account, now_ms);
		if (account->count > ACCOUNT_FREE)
			strange = account->count - ACCOUNT_FREE;
	}
	return delay_of(d, network->count > strange ? network->count : strange);
}

uint32_t
defence_unchecked(const struct defence *d, const uint8_t address[16], struct view name,
	uint64_t now_ms)
{
	struct keys k = keys_of(d, address, name);
	uint32_t network =
		count_now(row_find(d->networks, NETWORKS_SETS, k.network), now_ms);

	if (is_trusted(d, address) || is_known(d, k.pair, now_ms))
		return delay_of(d, 1);
	return delay_of(d, network);
}

void
defence_abandoned(struct defence *d, const uint8_t address[16], uint64_t now_ms)
{
	struct keys k = keys_of(d, address, (struct view){address, 0});

	if (!is_trusted(d, address))
		count_up(row_take(d->networks, NETWORKS_SETS, k.network), now_ms);
}

static bool
take_token(
	const struct defence *d, struct failures *account, uint64_t rate, uint64_t now_ms)
{
	uint64_t full = (uint64_t)d->o.logins_burst * TOKEN;

	if (full < TOKEN)
		full = TOKEN;
	uint64_t gone = account->tokens_ms ? now_ms - account->tokens_ms : UINT32_MAX;
	/* After a day any bucket that gives one a minute is full again. */
	uint64_t more = gone > 86400000 ? full : gone * rate * TOKEN / 60000;
	uint64_t tokens = account->tokens + more < full ? account->tokens + more : full;
	account->tokens_ms = now_ms;
	if (account->at_ms < now_ms && account->count == 0)
		account->at_ms = now_ms;
	account->tokens = (uint32_t)(tokens >= TOKEN ? tokens - TOKEN : tokens);
	return tokens >= TOKEN;
}

bool
defence_succeeded(struct defence *d, const uint8_t address[16], struct view name,
	uint32_t logins_per_minute, uint64_t now_ms)
{
	struct keys k = keys_of(d, address, name);

	make_known(d, k.pair, now_ms);
	if (logins_per_minute == 0)
		return true;
	return take_token(d, row_take(d->accounts, ACCOUNTS_SETS, k.account),
		logins_per_minute, now_ms);
}

void
defence_look(const struct defence *d, const uint8_t address[16], struct view name,
	uint64_t now_ms, uint32_t *ret_network, uint32_t *ret_account, bool *ret_known)
{
	struct keys k = keys_of(d, address, name);

	*ret_network = count_now(row_find(d->networks, NETWORKS_SETS, k.network), now_ms);
	*ret_account = count_now(row_find(d->accounts, ACCOUNTS_SETS, k.account), now_ms);
	*ret_known = is_known(d, k.pair, now_ms);
}
