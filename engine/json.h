/* json.h - strict JSON with errors a person can act on; a thin layer over jansson.
 *
 * Strict: one value and nothing after it, no duplicate keys, UTF-8 only, no NUL in keys, nesting at
 * most LIMIT_JSON_DEPTH, at most LIMIT_JSON_VALUES values and LIMIT_JSON_BYTES bytes; all three are
 * checked before a tree is built, so hostile bytes cost one linear pass.
 *
 * Error lines read `config.json · key "n_head" · expected an integer 1..1024, found "abc"`.
 * Threads: a document is read-only after json_parse; any number of threads may read it.
 * A node is a value, copied freely; it and every string taken from it live as long as the document. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct json_t; /* jansson's */
struct json_doc;

struct json_node {
    const struct json_doc *doc;
    struct json_t *value; /* NULL: absent */
    char path[80];        /* "rope_scaling.factor", "vocab[3]", for messages; cut with "…" if long */
};

/* `name` is what messages call the document (copied).  The bytes may be freed afterwards.
 * NULL and *e on failure. */
struct json_doc *json_parse(const char *name, const char *bytes, size_t len, struct err *e);
/* Read and parse a regular file; messages call it by `path`. */
struct json_doc *json_open(const char *path, struct err *e);
void json_close(struct json_doc *doc);
const char *json_name(const struct json_doc *doc);

struct json_node json_root(const struct json_doc *doc);
/* Member of an object; absent when there is none or `object` is not an object. */
struct json_node json_get(struct json_node object, const char *key);
/* Element of an array; absent when out of range or `array` is not an array. */
struct json_node json_at(struct json_node array, size_t i);
/* Elements of an array, members of an object, else 0. */
size_t json_count(struct json_node node);
bool json_is_set(struct json_node node); /* there, and not null */
bool json_is_object(struct json_node node);
bool json_is_array(struct json_node node);
bool json_is_string(struct json_node node);
bool json_is_int(struct json_node node);
bool json_is_bool(struct json_node node);

/* The value of a node, checked.  Absent, null, of another type or outside min..max: ERR_BAD_INPUT,
 * *out untouched.  A number may be written as an integer; an integer may not be written as 1.0. */
int json_int(struct json_node node, int64_t min, int64_t max, int64_t *out, struct err *e);
int json_number(struct json_node node, double min, double max, double *out, struct err *e);
int json_bool(struct json_node node, bool *out, struct err *e);
/* *len may be NULL; then a string holding a NUL is refused.  Always NUL-terminated. */
int json_string(struct json_node node, const char **out, size_t *len, struct err *e);

/* The same for a member that may be left out: absent or null gives `fallback`. */
int json_int_or(struct json_node node, int64_t min, int64_t max, int64_t fallback, int64_t *out, struct err *e);
int json_number_or(struct json_node node, double min, double max, double fallback, double *out, struct err *e);
int json_bool_or(struct json_node node, bool fallback, bool *out, struct err *e);
int json_string_or(struct json_node node, const char *fallback, const char **out, struct err *e);

/* ERR_BAD_INPUT with "FILE · key "PATH" · expected EXPECTED, found WHAT-IS-THERE". */
int json_expected(struct json_node node, const char *expected, struct err *e);

/* Walk an object's members in file order:
 *   for (struct json_iter it = json_members(node); json_next(&it);) use(it.key, it.key_len, it.value); */
struct json_iter {
    struct json_node object, value;
    const char *key;
    size_t key_len;
    void *pos; /* private */
    bool started;
};
struct json_iter json_members(struct json_node object);
bool json_next(struct json_iter *it);

#endif
