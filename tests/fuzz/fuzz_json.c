/* Fuzz: any bytes as JSON, and every getter on every value of what is accepted. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct js_node node, int depth)
{
    struct err e = {0};
    int64_t i = -1;
    double d = -1;
    bool b;
    const char *s;
    size_t len;
    if (!js_int(node, -5, 1000, &i, &e) && (i < -5 || i > 1000))
        abort();
    if (!js_number(node, 0, 1, &d, &e) && !(d >= 0 && d <= 1))
        abort();
    (void)js_bool_or(node, true, &b, &e);
    if (!js_string(node, &s, &len, &e) && s[len] != '\0')
        abort();
    if (js_expected(node, "something else", &e) != ERR_BAD_INPUT || !strstr(e.text, "fuzz.json"))
        abort();
    if (depth > 80)
        abort(); /* deeper than what may be accepted */
    for (struct js_iter it = js_members(node); js_next(&it);)
        walk(it.value, depth + 1);
    for (size_t k = 0; js_is_array(node) && k < js_count(node); k++)
        walk(js_at(node, k), depth + 1);
    (void)js_int_or(js_get(node, "n_head"), 1, 8, 1, &i, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    char *text = malloc(size + !size);
    memcpy(text, data, size);
    struct js_doc *doc = js_parse("fuzz.json", text, size, &e);
    free(text); /* the document must not need it */
    if (doc)
        walk(js_root(doc), 0);
    else if (e.code != ERR_BAD_INPUT || !e.text[0])
        abort();
    js_close(doc);
    return 0;
}
