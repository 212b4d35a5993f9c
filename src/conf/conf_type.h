/*
 * conf_type.h: rows of options and the types of their values, for every table of options
 * in the house (options.def here, fetch_options.def of room fetch).
 *
 * A value is a text until its row reads it into a field of C: a duration NAME becomes the
 * field NAME_ms, an ENUM its place among the words from 0.
 */
#ifndef CONF_CONF_TYPE_H
#define CONF_CONF_TYPE_H

#include "conf/ini.h"

#define CONF_LIST_MAX 16
#define CONF_NEVER    UINT64_MAX

enum conf_type {
	CONF_TYPE_BOOL,
	CONF_TYPE_NUMBER,   /* words: one word that stands for CONF_NEVER */
	CONF_TYPE_DURATION, /* the same */
	CONF_TYPE_SECONDS,  /* a duration where a bare number means seconds */
	CONF_TYPE_SIZE,	    /* octets, or with k, M, G; words as for NUMBER */
	CONF_TYPE_TEXT,
	CONF_TYPE_SECRET, /* as TEXT, and never shown */
	CONF_TYPE_PATH,
	CONF_TYPE_LIST,
	CONF_TYPE_TEXTS, /* as TEXT, and may be set several times */
	CONF_TYPE_ENUM
};

struct conf_list {
	size_t n;
	const char *at[CONF_LIST_MAX];
	uint32_t lines[CONF_LIST_MAX]; /* of TEXTS, in their file */
};

#define CONF_FIELD_BOOL(name)	  bool name;
#define CONF_FIELD_NUMBER(name)	  uint64_t name; /* 0: empty */
#define CONF_FIELD_DURATION(name) uint64_t name##_ms;
#define CONF_FIELD_SECONDS(name)  uint64_t name##_ms;
#define CONF_FIELD_SIZE(name)	  uint64_t name;
#define CONF_FIELD_TEXT(name)	  const char *name; /* never NULL */
#define CONF_FIELD_SECRET(name)	  const char *name;
#define CONF_FIELD_PATH(name)	  const char *name;
#define CONF_FIELD_LIST(name)	  struct conf_list name;
#define CONF_FIELD_TEXTS(name)	  struct conf_list name;
#define CONF_FIELD_ENUM(name)	  uint8_t name;

/* The name of a row's field, for offsetof. */
#define CONF_AT_BOOL(name)     name
#define CONF_AT_NUMBER(name)   name
#define CONF_AT_DURATION(name) name##_ms
#define CONF_AT_SECONDS(name)  name##_ms
#define CONF_AT_SIZE(name)     name
#define CONF_AT_TEXT(name)     name
#define CONF_AT_SECRET(name)   name
#define CONF_AT_PATH(name)     name
#define CONF_AT_LIST(name)     name
#define CONF_AT_TEXTS(name)    name
#define CONF_AT_ENUM(name)     name

struct conf_row {
	const char *name;
	uint8_t section; /* below 32; what it means is the table's own */
	enum conf_type type;
	const char *def; /* as in a file; "" none */
	uint64_t min, max;
	const char *words; /* or NULL */
	const char *help;
	size_t offset;	      /* of the field in the struct of its section */
	const char *argument; /* what help and manual call the value; NULL: nothing */
};

/*
 * Reads the text of a value into the row's field; what it points to is kept in the pool.
 * An empty text is good where the row has no default: the field is then empty. *ret is
 * the text as kept (an ENUM's first spelling); ret may be NULL. False after an error was
 * reported.
 */
bool conf_type_set(struct ini *ini, const struct conf_row *row, struct view value,
	void *field, struct view *ret);

/* Of the field. */
size_t conf_type_octets(enum conf_type type);

/* The row of that name in one of the sections (bits 1 << section), or NULL. */
const struct conf_row *conf_type_find(
	const struct conf_row *rows, size_t n, uint32_t sections, struct view name);
/* The most similar name of those sections, or NULL if none is near. */
const char *conf_type_suggest(
	const struct conf_row *rows, size_t n, uint32_t sections, struct view name);
/* How many letters are to be changed; both at most CONF_NAME_OCTETS_MAX. */
size_t conf_name_distance(struct view a, struct view b);
/* Whether a name is near enough to be what was meant. */
bool conf_name_is_near(struct view wrong, struct view known, size_t *ret_distance);

/* "delete_after" as --delete-after. */
const char *conf_as_option(const char *name, char option[CONF_NAME_OCTETS_MAX + 3]);

/* Absolute, not / itself, no empty part, no `.` or `..`, no slash at the end. */
[[nodiscard]] bool conf_path_is_normal(struct view path);

#endif
