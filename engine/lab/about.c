/* about.c - see about.h.  Tested in tests/engine/test_stats.c. */
#include "lab/about.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit/edit.h"

int about_make(char **out, const struct model *m, const struct texts_options *o,
               const struct pair_target *target, const struct token_filter *f,
               struct fingerprint rest, struct err *e)
{
    struct fingerprint model = fingerprint_model(m);
    char text[LIMIT_EDIT_TEXT];
    for (int32_t i = 0; i < target->n_edits; i++) {
        edit_print(target->edits[i], text, sizeof text);
        fingerprint_add(&rest, text, strlen(text));
    }
    fingerprint_add(&rest, f->ids, (size_t)f->n * sizeof *f->ids);
    const int32_t numbers[] = {f->without, f->next, f->first, f->last};
    fingerprint_add(&rest, numbers, sizeof numbers);
    snprintf(text, sizeof text,
             "model %016" PRIx64 "%016" PRIx64 " window %d stride %d bos %d edits, filter "
             "and center %016" PRIx64 "%016" PRIx64,
             model.a, model.b, o->window, o->stride, o->bos, rest.a, rest.b);
    *out = strdup(text);
    return *out ? 0 : err_memory(e, "texts");
}
