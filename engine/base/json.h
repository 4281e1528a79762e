/* json.h - strict JSON with errors a person can act on; a thin layer over jansson.  Prefix js_:
 * json_ is jansson's own.
 *
 * Strict: one value and nothing after it, no duplicate keys, UTF-8 only, no NUL in keys, nesting at
 * most LIMIT_JSON_DEPTH, at most LIMIT_JSON_VALUES values and LIMIT_JSON_BYTES bytes; all three are
 * checked before a tree is built, so hostile bytes cost one linear pass.
 *
 * Error lines read `config.json · key "n_head" · expected an integer 1..1024, found "abc"`.
 * Threads: a document is read-only after js_parse; any number of threads may read it.
 * A node is a value, copied freely; it and every string taken from it live as long as the document.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct json_t; /* jansson's */
struct js_doc;

struct js_node {
    const struct js_doc *doc;
    struct json_t *value; /* NULL: absent */
    size_t index;  /* private: 1 + the last index of the path, not yet written into it; 0 = none */
    char path[72]; /* private: "rope_scaling.factor", "merges[3]"; cut with "…" if long */
};

/* `name` is what messages call the document (copied).  The bytes may be freed afterwards.
 * NULL and *e on failure. */
struct js_doc *js_parse(const char *name, const char *bytes, size_t len, struct err *e);
/* The same for a document of which no integer is wanted: those may be of any size, and js_int finds
 * none. */
struct js_doc *js_parse_texts(const char *name, const char *bytes, size_t len, struct err *e);
/* Read and parse a regular file; messages call it by `path`. */
struct js_doc *js_open(const char *path, struct err *e);
/* The same, as js_parse_texts. */
struct js_doc *js_open_texts(const char *path, struct err *e);
/* A document from a tree, which it takes, also on failure. */
struct js_doc *js_take(const char *name, struct json_t *root, struct err *e);
void js_close(struct js_doc *doc);
const char *js_name(const struct js_doc *doc);

struct js_node js_root(const struct js_doc *doc);
/* Member of an object; absent when there is none or `object` is not an object. */
struct js_node js_get(struct js_node object, const char *key);
/* Element of an array; absent when out of range or `array` is not an array. */
struct js_node js_at(struct js_node array, size_t i);
/* Elements of an array, members of an object, else 0. */
size_t js_count(struct js_node node);
bool js_is_set(struct js_node node); /* there, and not null */
bool js_is_object(struct js_node node);
bool js_is_array(struct js_node node);
bool js_is_string(struct js_node node);

/* The value of a node, checked.  Absent, null, of another type or outside min..max: ERR_BAD_INPUT,
 * *out untouched.  A number may be written as an integer; an integer may not be written as 1.0. */
int js_int(struct js_node node, int64_t min, int64_t max, int64_t *out, struct err *e);
int js_number(struct js_node node, double min, double max, double *out, struct err *e);
int js_bool(struct js_node node, bool *out, struct err *e);
/* *len may be NULL; then a string holding a NUL is refused.  Always NUL-terminated. */
int js_string(struct js_node node, const char **out, size_t *len, struct err *e);

/* The same for a member that may be left out: absent or null gives `fallback`. */
int js_int_or(struct js_node node, int64_t min, int64_t max, int64_t fallback, int64_t *out,
              struct err *e);
int js_bool_or(struct js_node node, bool fallback, bool *out, struct err *e);
int js_string_or(struct js_node node, const char *fallback, const char **out, struct err *e);

/* ERR_BAD_INPUT with "FILE · key "PATH" · expected EXPECTED, found WHAT-IS-THERE". */
int js_expected(struct js_node node, const char *expected, struct err *e);

/* Walk an object's members in file order:
 *   for (struct js_iter it = js_members(node); js_next(&it);) use(it.key, it.key_len, it.value); */
struct js_iter {
    struct js_node object, value;
    const char *key;
    size_t key_len;
    void *pos; /* private */
    bool started;
};
struct js_iter js_members(struct js_node object);
bool js_next(struct js_iter *it);

#endif
