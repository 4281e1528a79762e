/* about.c - see about.h.  Tested in tests/engine/test_stats.c. */
#include "lab/about.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int about_make(char **out, const struct model *m, const struct texts_options *o,
               const struct pair_target *target, const struct token_filter *f,
               struct fingerprint rest, struct err *e)
{
    struct fingerprint model = fingerprint_model(m), read = {0, 0};
    char text[300], tail[60] = "";
    int rc = pair_about_read(&read, target, e);
    if (!rc)
        rc = pair_about_tokenizer(&read, m, e);
    if (rc)
        return rc;
    if (read.a || read.b)
        snprintf(tail, sizeof tail, ABOUT_READ "%016" PRIx64 "%016" PRIx64, read.a, read.b);
    pair_about_edits(&rest, target);
    fingerprint_add(&rest, f->ids, (size_t)f->n * sizeof *f->ids);
    const int32_t numbers[] = {f->without, f->next, f->first, f->last};
    fingerprint_add(&rest, numbers, sizeof numbers);
    snprintf(text, sizeof text,
             "model %016" PRIx64 "%016" PRIx64 " window %d stride %d bos %d edits, filter "
             "and center %016" PRIx64 "%016" PRIx64 "%s",
             model.a, model.b, o->window, o->stride, o->bos, rest.a, rest.b, tail);
    *out = strdup(text);
    return *out ? 0 : err_memory(e, "texts");
}

bool about_read_differs(const char *a, const char *b)
{
    const char *x = strstr(a, ABOUT_READ), *y = strstr(b, ABOUT_READ);
    return x && y && x - a == y - b && !memcmp(a, b, (size_t)(x - a)) && strcmp(x, y) != 0;
}
