/* Fuzz: any text as an edit with holes, any second line as a choice; what is accepted has axes
 * within bounds, and its first and last cells are edits that parse. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "measure/sweep_set.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct model *shape(void)
{
    static struct model *m;
    struct err e = {0};
    if (!m && model_open(&m, "tests/fixtures/models/gpt2", NULL, &e))
        abort();
    return m;
}

static void check(const struct sweep_set *s)
{
    char own[SWEEP_AXES_MAX][16], text[LIMIT_EDIT_TEXT];
    struct err e = {0};
    if (s->n_axes > SWEEP_AXES_MAX)
        abort();
    for (int end = 0; end < 2; end++) {
        const char *value[SWEEP_AXES_MAX] = {0};
        struct edit *ed = NULL;
        for (int32_t i = 0; i < s->n_axes; i++) {
            const struct sweep_axis *x = &s->axis[i];
            if (x->size < 1 || !*x->name || s->part->size[i] > x->size)
                abort();
            value[i] = sweep_axis_text(x, end ? x->size - 1 : 0, own[i]);
        }
        if (sweep_text_fill(&s->part->edit[0], value, text, &e) == 0 && !edit_parse(&ed, text, &e))
            edit_free(ed);
        else if (*e.text == '\0' || strchr(e.text, '\n'))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size), *line = strchr(text, '\n');
    const char *item = line ? line + 1 : NULL;
    const struct sweep_choose choose = {&item, item != NULL};
    struct edit_context ctx = {.cfg = &shape()->cfg, .n_pos = 9, .model = shape()};
    struct sweep_set s = {.n_axes = 0};
    struct err e = {0};
    if (line)
        *line = '\0';
    if (sweep_set_part(&s, &e))
        abort();
    if (sweep_set_add(&s, text, &choose, &ctx, &e)) {
        if (e.code >= 0 || *e.text == '\0' || strchr(e.text, '\n'))
            abort();
    } else {
        check(&s);
    }
    sweep_set_free(&s);
    free(text);
    return 0;
}
