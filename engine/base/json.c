/* json.c - strict JSON over jansson (see json.h).
 *
 * Invariant: jansson only ever sees bytes that check_bounds has passed, so its recursion
 * (LIMIT_JSON_DEPTH) and its tree (LIMIT_JSON_VALUES) are bounded before it allocates anything.
 * Tested in tests/engine/test_json.c (with the JSONTestSuite) and tests/fuzz/fuzz_json.c. */
#include "base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "base/limit.h"

struct js_doc {
    char *name;
    json_t *root;
};

/* One pass over the bytes that knows strings and brackets only; whether they are JSON is jansson's
 * job. */
static int check_bounds(const char *name, const char *bytes, size_t len, struct err *e)
{
    size_t depth = 0, values = 1;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        if (c == '\0') /* jansson takes one after the value for the end of input */
            return err_set(e, ERR_BAD_INPUT, "%s · byte %zu · not valid JSON: NUL byte", name, i);
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        switch (c) {
        case '"': in_string = true; break;
        case ',': values++; break;
        case '[':
        case '{':
            values++;
            if (++depth > LIMIT_JSON_DEPTH)
                return err_set(e, ERR_BAD_INPUT, "%s · byte %zu · nested deeper than %d", name, i,
                               LIMIT_JSON_DEPTH);
            break;
        case ']':
        case '}': depth -= depth > 0; break;
        default: break;
        }
    }
    if (values > LIMIT_JSON_VALUES)
        return err_set(e, ERR_BAD_INPUT, "%s · holds about %zu values, at most %d are read", name,
                       values, LIMIT_JSON_VALUES);
    return 0;
}

static struct js_doc *parse(const char *name, const char *bytes, size_t len, size_t flags,
                            struct err *e)
{
    if (len > LIMIT_JSON_BYTES) {
        err_set(e, ERR_BAD_INPUT, "%s · is %zu bytes long, at most %d are read", name, len,
                LIMIT_JSON_BYTES);
        return NULL;
    }
    if (check_bounds(name, bytes, len, e))
        return NULL;
    struct js_doc *doc = calloc(1, sizeof *doc);
    json_error_t why;
    if (!doc || !(doc->name = strdup(name))) {
        err_memory(e, "%s", name);
        goto fail;
    }
    doc->root = json_loadb(bytes, len,
                           flags | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (!doc->root) {
        if (json_error_code(&why) == json_error_out_of_memory)
            err_memory(e, "%s", name);
        else
            err_set(e, ERR_BAD_INPUT, "%s · line %d, byte %d · not valid JSON: %s", name, why.line,
                    why.position, why.text);
        goto fail;
    }
    return doc;
fail:
    js_close(doc);
    return NULL;
}

struct js_doc *js_parse(const char *name, const char *bytes, size_t len, struct err *e)
{
    return parse(name, bytes, len, 0, e);
}

struct js_doc *js_parse_texts(const char *name, const char *bytes, size_t len, struct err *e)
{
    return parse(name, bytes, len, JSON_DECODE_INT_AS_REAL, e);
}

struct js_doc *js_take(const char *name, json_t *root, struct err *e)
{
    struct js_doc *doc = calloc(1, sizeof *doc);
    if (doc && root && (doc->name = strdup(name))) {
        doc->root = root;
        return doc;
    }
    free(doc);
    json_decref(root);
    err_memory(e, "%s", name);
    return NULL;
}

static struct js_doc *open_file(const char *path, size_t flags, struct err *e)
{
    char *bytes = NULL;
    size_t len = 0;
    if (file_read_all(path, LIMIT_JSON_BYTES, &bytes, &len, e))
        return NULL;
    struct js_doc *doc = parse(path, bytes, len, flags, e);
    free(bytes);
    return doc;
}

struct js_doc *js_open(const char *path, struct err *e)
{
    return open_file(path, 0, e);
}

struct js_doc *js_open_texts(const char *path, struct err *e)
{
    return open_file(path, JSON_DECODE_INT_AS_REAL, e);
}

void js_close(struct js_doc *doc)
{
    if (!doc)
        return;
    json_decref(doc->root);
    free(doc->name);
    free(doc);
}

const char *js_name(const struct js_doc *doc)
{
    return doc->name;
}

/* ---- nodes ---- */

/* Append to a path without ever overflowing it; a path that is full ends in "…". */
static void path_add(char *path, size_t size, const char *text, size_t len)
{
    static const char more[] = "…";
    size_t used = strlen(path);
    if (used >= sizeof more - 1 && strcmp(path + used - (sizeof more - 1), more) == 0)
        return;
    if (used + len + sizeof more > size) {
        len = size - sizeof more - used;
        memcpy(path + used, text, len);
        memcpy(path + used + len, more, sizeof more);
    } else {
        memcpy(path + used, text, len);
        path[used + len] = '\0';
    }
}

/* An index is written only when somebody looks: lists are long and messages rare. */
static void path_flush(struct js_node *n)
{
    char text[32];
    if (!n->index)
        return;
    int len = snprintf(text, sizeof text, "[%zu]", n->index - 1);
    n->index = 0;
    path_add(n->path, sizeof n->path, text, (size_t)len);
}

static struct js_node child_by_key(struct js_node object, json_t *value, const char *key,
                                   size_t len)
{
    struct js_node n = object;
    path_flush(&n);
    n.value = value;
    if (n.path[0])
        path_add(n.path, sizeof n.path, ".", 1);
    path_add(n.path, sizeof n.path, key, len);
    return n;
}

struct js_node js_root(const struct js_doc *doc)
{
    return (struct js_node){.doc = doc, .value = doc->root};
}

struct js_node js_get(struct js_node object, const char *key)
{
    return child_by_key(object, json_object_get(object.value, key), key, strlen(key));
}

struct js_node js_at(struct js_node array, size_t i)
{
    struct js_node n = array;
    path_flush(&n);
    n.value = json_array_get(array.value, i);
    n.index = i + 1;
    return n;
}

size_t js_count(struct js_node node)
{
    return json_is_array(node.value) ? json_array_size(node.value) : json_object_size(node.value);
}

bool js_is_set(struct js_node node)
{
    return node.value && !json_is_null(node.value);
}

bool js_is_object(struct js_node node)
{
    return json_is_object(node.value);
}

bool js_is_array(struct js_node node)
{
    return json_is_array(node.value);
}

bool js_is_string(struct js_node node)
{
    return json_is_string(node.value);
}

/* ---- checked values ---- */

static void describe(char *buf, size_t size, const json_t *v)
{
    enum { SHOWN = 40 };
    if (!v) {
        snprintf(buf, size, "nothing");
        return;
    }
    switch (json_typeof(v)) {
    case JSON_OBJECT: snprintf(buf, size, "an object"); break;
    case JSON_ARRAY: snprintf(buf, size, "a list of %zu", json_array_size(v)); break;
    case JSON_STRING:
        snprintf(buf, size, "\"%.*s%s\"", SHOWN, json_string_value(v),
                 json_string_length(v) > SHOWN ? "…" : "");
        break;
    case JSON_INTEGER: snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v)); break;
    case JSON_REAL: {
        double d = json_real_value(v);
        snprintf(buf, size, "%.15g%s", d, fabs(d) < 1e15 && d == floor(d) ? ".0" : "");
        break;
    }
    case JSON_TRUE: snprintf(buf, size, "true"); break;
    case JSON_FALSE: snprintf(buf, size, "false"); break;
    case JSON_NULL: snprintf(buf, size, "null"); break;
    }
}

int js_expected(struct js_node node, const char *expected, struct err *e)
{
    char found[96];
    path_flush(&node);
    describe(found, sizeof found, node.value);
    if (!node.path[0])
        return err_set(e, ERR_BAD_INPUT, "%s · expected %s, found %s", node.doc->name, expected,
                       found);
    return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · expected %s, found %s", node.doc->name,
                   node.path, expected, found);
}

int js_int(struct js_node node, int64_t min, int64_t max, int64_t *out, struct err *e)
{
    if (json_is_integer(node.value)) {
        int64_t v = json_integer_value(node.value);
        if (v >= min && v <= max) {
            *out = v;
            return 0;
        }
    }
    char expected[80];
    snprintf(expected, sizeof expected, "an integer %" PRId64 "..%" PRId64, min, max);
    return js_expected(node, expected, e);
}

int js_number(struct js_node node, double min, double max, double *out, struct err *e)
{
    if (json_is_number(node.value)) {
        double v = json_number_value(node.value);
        if (v >= min && v <= max) {
            *out = v;
            return 0;
        }
    }
    char expected[80];
    snprintf(expected, sizeof expected, "a number %g..%g", min, max);
    return js_expected(node, expected, e);
}

int js_bool(struct js_node node, bool *out, struct err *e)
{
    if (!json_is_boolean(node.value))
        return js_expected(node, "true or false", e);
    *out = json_is_true(node.value);
    return 0;
}

int js_string(struct js_node node, const char **out, size_t *len, struct err *e)
{
    if (!json_is_string(node.value))
        return js_expected(node, "a string", e);
    const char *s = json_string_value(node.value);
    size_t n = json_string_length(node.value);
    if (!len && strlen(s) != n)
        return js_expected(node, "a string without NUL", e);
    *out = s;
    if (len)
        *len = n;
    return 0;
}

int js_int_or(struct js_node node, int64_t min, int64_t max, int64_t fallback, int64_t *out,
              struct err *e)
{
    if (js_is_set(node))
        return js_int(node, min, max, out, e);
    *out = fallback;
    return 0;
}

int js_bool_or(struct js_node node, bool fallback, bool *out, struct err *e)
{
    if (js_is_set(node))
        return js_bool(node, out, e);
    *out = fallback;
    return 0;
}

int js_string_or(struct js_node node, const char *fallback, const char **out, struct err *e)
{
    if (js_is_set(node))
        return js_string(node, out, NULL, e);
    *out = fallback;
    return 0;
}

/* ---- walking an object ---- */

struct js_iter js_members(struct js_node object)
{
    return (struct js_iter){.object = object};
}

bool js_next(struct js_iter *it)
{
    it->pos = it->started ? json_object_iter_next(it->object.value, it->pos)
                          : json_object_iter(it->object.value);
    it->started = true;
    if (!it->pos)
        return false;
    it->key = json_object_iter_key(it->pos);
    it->key_len = json_object_iter_key_len(it->pos);
    it->value = child_by_key(it->object, json_object_iter_value(it->pos), it->key, it->key_len);
    return true;
}
