/* Which certificate serves which name (RFC 6125 s.6.4; RFC 9525 s.6.3). */
#include "base/ascii.h"
#include "os/tls_server_parts.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* Of one certificate; more is a mistake, and memory of every front. */
#define NAMES_MAX 1000

bool
tls_name_clean(struct view said, char ret[TLS_SERVER_NAME_MAX + 1], uint8_t *ret_n)
{
	size_t n = said.n;

	/* RFC 6066 s.3 wants no last dot, and some send it. */
	if (n > 1 && said.p[n - 1] == '.')
		n--;
	if (n == 0 || n > TLS_SERVER_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = ascii_lower(said.p[i]);
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
			c == '_' || c == '.';
		if (!ok || (c == '.' && (i == 0 || said.p[i - 1] == '.')))
			return false;
		ret[i] = (char)c;
	}
	ret[n] = 0;
	*ret_n = (uint8_t)n;
	return true;
}

static bool
name_add(struct tls_server *s, const char *text, size_t i)
{
	if (s->names_n == s->names_cap) {
		size_t cap = s->names_cap ? s->names_cap * 2 : 8;
		struct tls_name *grown = reallocarray(s->names, cap, sizeof(*grown));
		if (!grown)
			return false;
		s->names = grown;
		s->names_cap = cap;
	}
	char *copy = strdup(text);
	if (!copy)
		return false;
	s->names[s->names_n++] =
		(struct tls_name){.text = copy, .certificate = (uint8_t)i};
	return true;
}

/*
 * "*.rest" as a whole first label, with two labels at least behind it; other wildcards
 * match nothing (RFC 6125 s.6.4.3). False: no memory.
 */
static bool
dns_name_add(struct tls_server *s, struct view said, size_t i)
{
	char text[TLS_SERVER_NAME_MAX + 3] = "*.";
	uint8_t n;
	bool wild = said.n > 2 && said.p[0] == '*' && said.p[1] == '.';

	if (!wild)
		return !tls_name_clean(said, text, &n) || name_add(s, text, i);
	struct view rest = {said.p + 2, said.n - 2};
	if (!tls_name_clean(rest, text + 2, &n) || !memchr(text + 2, '.', n))
		return true;
	return name_add(s, text, i);
}

const char *
tls_names_add(struct tls_server *s, size_t i)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(
		s->certificates[i].leaf, NID_subject_alt_name, NULL, NULL);
	const char *failed = NULL;
	int n = list ? sk_GENERAL_NAME_num(list) : 0;

	if (n > NAMES_MAX)
		failed = "the certificate has more than 1000 names";
	for (int k = 0; !failed && k < n; k++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(list, k);
		if (g->type != GEN_DNS)
			continue;
		struct view said = {ASN1_STRING_get0_data(g->d.dNSName),
			(size_t)ASN1_STRING_length(g->d.dNSName)};
		if (!dns_name_add(s, said, i))
			failed = "no memory";
	}
	GENERAL_NAMES_free(list);
	return failed;
}

static int
by_text(const void *a, const void *b)
{
	const struct tls_name *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	return order ? order : x->certificate - y->certificate;
}

void
tls_names_sort(struct tls_server *s)
{
	if (s->names_n > 1)
		qsort(s->names, s->names_n, sizeof(s->names[0]), by_text);
}

/* The first of that text, or names_n. */
static size_t
first_of(const struct tls_server *s, const char *text)
{
	size_t low = 0, high = s->names_n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(s->names[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
collect(const struct tls_server *s, const char *text, struct tls_set *set)
{
	for (size_t i = first_of(s, text); i < s->names_n; i++) {
		if (strcmp(s->names[i].text, text) != 0)
			return;
		int at = s->names[i].certificate;
		int *of = &set->of[s->certificates[at].type];
		if (*of < 0)
			*of = at;
	}
}

bool
tls_names_find(const struct tls_server *s, struct view name, struct tls_set *ret)
{
	char text[TLS_SERVER_NAME_MAX + 2];
	struct tls_set set;
	bool found = false;

	for (size_t i = 0; i < TLS_KEY_TYPES; i++)
		set.of[i] = -1;
	if (name.n == 0 || name.n > TLS_SERVER_NAME_MAX)
		return false;
	memcpy(text, name.p, name.n);
	text[name.n] = 0;
	collect(s, text, &set);
	const char *dot = strchr(text, '.');
	if (dot && dot > text) {
		size_t n = strlen(dot);
		memmove(text + 1, dot, n + 1);
		text[0] = '*';
		collect(s, text, &set);
	}
	for (size_t i = 0; i < TLS_KEY_TYPES; i++)
		found = found || set.of[i] >= 0;
	if (found)
		*ret = set;
	return found;
}
