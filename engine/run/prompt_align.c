/* prompt_align.c - see prompt_align.h. */
#include "run/prompt_align.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "edit/edit_parts.h"

void prompt_maps_free(struct prompt_maps *maps)
{
    for (int32_t i = 0; i < maps->n; i++)
        free(maps->map[i]);
    free(maps->map);
    *maps = (struct prompt_maps){0};
}

/* Positions of the prompt itself. */
static int32_t prompt_length(const struct pair_target *t)
{
    return t->paired ? t->paired : t->input.n;
}

/* The prompt that an instruction reads position for position, or -1. */
static int32_t read_by(const struct pair_target *t, const struct edit_instr *a)
{
    if (a->value != EDIT_FROM || a->source_pos != EDIT_SAME_POS)
        return -1;
    int32_t i = t->n_prompts;
    while (i-- > 0)
        if (!strcmp(t->prompts[i].name, a->source_name))
            break;
    return i;
}

static int instr_check(const struct pair_target *t, const struct edit_instr *a, struct err *e)
{
    char name[LIMIT_NAME];
    int32_t k = read_by(t, a), n = prompt_length(t);
    if (k < 0 || t->prompts[k].n == n)
        return 0;
    if (site_is_attention(a->site.id))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · run %s has %d tokens, the prompt %d · patterns have two positions and "
                       "cannot be paired: prompts of one length can",
                       site_name(a->site, name), a->source_name, (int)t->prompts[k].n, (int)n);
    if (t->align == TOKEN_ALIGN_INDEX)
        return err_set(e, ERR_BAD_INPUT,
                       "run %s has %d tokens, the prompt %d · --align end or token (:align in the "
                       "explorer) says which positions belong together, from(%s, pos=N) names one",
                       a->source_name, (int)t->prompts[k].n, (int)n, a->source_name);
    return 0;
}

static int check(const struct pair_target *t, const struct edit_program *p, int32_t n_edits,
                 struct err *e)
{
    int rc = 0;
    for (int32_t i = 0; i < p->n_instrs && !rc; i++)
        if ((rc = instr_check(t, &p->instrs[i], e)) && p->instrs[i].edit < n_edits)
            err_prefix(e, "edit %d", (int)p->instrs[i].edit + 1);
    return rc;
}

/* *out is NULL where each position stands for itself. */
static int map_find(struct prompt_maps *maps, const struct pair_target *t, int32_t k,
                    const int32_t **out, struct err *e)
{
    const struct pair_prompt *from = &t->prompts[k];
    const struct run_input *own = &t->input;
    int32_t n = prompt_length(t);
    *out = NULL;
    if (t->align == TOKEN_ALIGN_INDEX || (t->align == TOKEN_ALIGN_END && from->n == n))
        return 0;
    if (!maps->map) {
        if (!(maps->map = calloc((size_t)t->n_prompts, sizeof *maps->map)))
            return err_memory(e, "aligning prompts");
        maps->n = t->n_prompts;
    }
    if (!maps->map[k]) {
        int32_t *map = malloc(((size_t)own->n + 1) * sizeof *map);
        int rc = map ? token_align(own->tokens, n, from->tokens, from->n, t->align, map, e)
                     : err_memory(e, "aligning prompts");
        if (rc) {
            free(map);
            return rc;
        }
        for (int32_t i = n; i < own->n; i++)
            map[i] = -1;
        maps->map[k] = map;
    }
    *out = maps->map[k];
    return 0;
}

static int instr_split(const struct edit_instr *a, const int32_t *map, struct edit_instr **list,
                       int32_t *n, struct err *e)
{
    int row = site_row_axis(a->site.id);
    const struct edit_axis *x = &a->axis[row];
    for (int32_t i = 0; i < x->n; i++) {
        int32_t pos = edit_axis_value(x, i);
        if (map[pos] < 0)
            continue;
        struct edit_instr one = *a;
        one.axis[row] = (struct edit_axis){.lo = pos, .n = 1};
        one.source_pos = map[pos];
        if (!list_room(list, (size_t)*n, sizeof **list))
            return err_memory(e, "edits");
        (*list)[(*n)++] = one;
    }
    return 0;
}

int prompt_align(struct prompt_maps *maps, const struct pair_target *t, struct edit_program *p,
                 int32_t n_edits, struct err *e)
{
    struct edit_instr *list = NULL;
    int32_t n = 0;
    bool split = false;
    int rc = check(t, p, n_edits, e);
    for (int32_t i = 0; i < p->n_instrs && !rc; i++) {
        const struct edit_instr *a = &p->instrs[i];
        const int32_t *map = NULL;
        int32_t k = site_is_attention(a->site.id) ? -1 : read_by(t, a);
        rc = k < 0 ? 0 : map_find(maps, t, k, &map, e);
        split |= map != NULL;
        if (!rc && map)
            rc = instr_split(a, map, &list, &n, e);
        else if (!rc && !list_room(&list, (size_t)n, sizeof *list))
            rc = err_memory(e, "edits");
        else if (!rc)
            list[n++] = *a;
    }
    if (rc || !split) {
        free(list);
        return rc;
    }
    free(p->instrs);
    p->instrs = list;
    p->n_instrs = n;
    return 0;
}

/* How many values the axis has. */
static int columns_count(const struct run_input *const *in, int32_t n, enum token_align align,
                         int32_t *columns, struct err *e)
{
    int32_t count = in[0]->n;
    for (int32_t k = 1; k < n; k++) {
        if (in[k]->n != in[0]->n && align == TOKEN_ALIGN_INDEX)
            return err_set(e, ERR_BAD_INPUT,
                           "prompt %d has %d tokens, the first one %d · --align end or token says "
                           "which positions belong together",
                           (int)k + 1, (int)in[k]->n, (int)in[0]->n);
        count = in[k]->n < count && align == TOKEN_ALIGN_END ? in[k]->n : count;
    }
    *columns = count;
    return 0;
}

int prompt_columns(const struct run_input *const *in, int32_t n, enum token_align align,
                   int32_t *columns, int32_t **column, struct err *e)
{
    int32_t count = 0, made = 0;
    int rc = columns_count(in, n, align, &count, e);
    for (; made < n && !rc; made++) {
        int32_t shift = align == TOKEN_ALIGN_END ? in[made]->n - count : 0,
                *map = malloc(((size_t)count + 1) * sizeof *map);
        for (int32_t c = 0; map && c < count; c++)
            map[c] = c + shift;
        rc = !map                         ? err_memory(e, "prompts")
             : align == TOKEN_ALIGN_TOKEN ? token_align(in[0]->tokens, in[0]->n, in[made]->tokens,
                                                        in[made]->n, align, map, e)
                                          : 0;
        column[made] = map;
    }
    while (rc && made > 0)
        free(column[--made]);
    *columns = rc ? *columns : count;
    return rc;
}
