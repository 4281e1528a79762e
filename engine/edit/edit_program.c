/* edit_program.c - what edits become: lists of instructions, their memory, order and equality
 * (edit.h, edit_parts.h).
 *
 * A program and everything that its instructions refer to are freed together, with the last copy.
 * Tested in tests/engine/test_edit_resolve.c. */
#include "edit/edit_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "edit/reference.h"

/* The owner of a program's memory, shared by its copies. */
struct arena {
    atomic_int refs;
    struct edit_program *program;
    struct edit_chunk *chunks;
};

struct edit_chunk {
    struct edit_chunk *next;
    max_align_t bytes[];
};

void *edit_chunk_alloc(struct edit_chunk **chunks, size_t bytes)
{
    struct edit_chunk *c = malloc(sizeof *c + bytes);
    if (!c)
        return NULL;
    c->next = *chunks;
    *chunks = c;
    return c->bytes;
}

struct edit_chunk **edit_program_chunks(struct edit_program *p)
{
    struct arena *a = p->arena;
    return &a->chunks;
}

float *edit_program_floats(struct edit_program *p, int64_t n)
{
    return edit_chunk_alloc(edit_program_chunks(p), (size_t)n * sizeof(float));
}

struct edit_program *edit_program_new(void)
{
    struct edit_program *p = calloc(1, sizeof *p);
    struct arena *a = calloc(1, sizeof *a);
    if (!p || !a) {
        free(p);
        free(a);
        return NULL;
    }
    atomic_init(&a->refs, 1);
    a->program = p;
    p->arena = a;
    return p;
}

struct edit_program *edit_program_copy(const struct edit_program *p)
{
    struct arena *a = p->arena;
    atomic_fetch_add(&a->refs, 1);
    return a->program;
}

void edit_program_free(struct edit_program *p)
{
    struct arena *a = p ? p->arena : NULL;
    if (!a || atomic_fetch_sub(&a->refs, 1) != 1)
        return;
    for (int32_t i = 0; i < p->n_sets; i++)
        reference_free(p->sets[i]);
    for (struct edit_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(p->instrs);
    free(p->weights);
    free(p->sources);
    free(p->sets);
    free(p);
    free(a);
}

/* ---- growing ---- */

struct edit_instr edit_instr_of(const struct edit *ed, int32_t edit, struct site_ref site, int rank)
{
    return (struct edit_instr){.site = site,
                               .op = ed->op,
                               .value = ed->value,
                               .number = ed->number,
                               .source = -1,
                               .source_prompt = -1,
                               .source_pos = ed->source_pos,
                               .lo = ed->lo,
                               .hi = ed->hi,
                               .sigma = ed->sigma,
                               .seed = ed->seed,
                               .renormalize = ed->renormalize,
                               .rank = rank,
                               .edit = edit};
}

int edit_program_add(struct edit_program *p, const struct edit_instr *instr, struct err *e)
{
    struct edit_instr **list = instr->weight ? &p->weights : &p->instrs;
    int32_t *n = instr->weight ? &p->n_weights : &p->n_instrs;
    if (*n == LIMIT_INSTRS)
        return err_set(e, ERR_BAD_INPUT,
                       "edits on more than %d hooks in all · use fewer edits or narrower patterns",
                       LIMIT_INSTRS);
    if (!list_room(list, (size_t)*n, sizeof *instr))
        return err_memory(e, "edits");
    (*list)[(*n)++] = *instr;
    return 0;
}

int edit_program_source(struct edit_program *p, struct edit_source want, int32_t *out,
                        struct err *e)
{
    struct arena *a = p->arena;
    for (int32_t i = 0; i < p->n_sources; i++)
        if (strcmp(p->sources[i].name, want.name) == 0 && p->sources[i].set == want.set &&
            p->sources[i].prompt == want.prompt) {
            *out = i;
            return 0;
        }
    size_t size = strlen(want.name) + 1;
    char *name = edit_chunk_alloc(&a->chunks, size);
    if (!name || !list_room(&p->sources, (size_t)p->n_sources, sizeof want))
        return err_memory(e, "edits");
    want.name = memcpy(name, want.name, size);
    p->sources[p->n_sources] = want;
    *out = p->n_sources++;
    return 0;
}

int edit_program_hold(struct edit_program *p, const struct reference_set *set, struct err *e)
{
    for (int32_t i = 0; i < p->n_sets; i++)
        if (p->sets[i] == set)
            return 0;
    if (!list_room(&p->sets, (size_t)p->n_sets, sizeof *p->sets))
        return err_memory(e, "edits");
    p->sets[p->n_sets++] = reference_hold(set);
    return 0;
}

/* ids[n] from position row on, as values of hook_tokens. */
static struct edit_instr tokens_instr(const struct config *cfg, const int32_t *ids, int32_t row,
                                      int32_t n, float *vec)
{
    for (int32_t i = 0; i < n; i++)
        vec[i] = (float)ids[i];
    return (struct edit_instr){.site = {SITE_TOKENS, SITE_ROOT},
                               .op = EDIT_SET,
                               .value = EDIT_FILE,
                               .number = 1,
                               .source = -1,
                               .source_prompt = -1,
                               .source_pos = EDIT_SAME_POS,
                               .vec = vec,
                               .vec_n = n,
                               .vec_stride = {1},
                               .rank = 1,
                               .axis = {{.lo = row, .n = n}},
                               .row_min = config_first_reached_row(cfg, row),
                               .edit = -1};
}

static bool add_all(struct edit_program *p, const struct edit_instr *list, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (edit_program_add(p, &list[i], NULL))
            return false;
    return true;
}

struct edit_program *edit_program_tokens(const struct edit_program *p, const struct config *cfg,
                                         const int32_t *tokens, const int32_t *now, int32_t n)
{
    struct edit_program *out = edit_program_new();
    int32_t lo = 0, hi = n, source;
    while (lo < hi && tokens[lo] == now[lo])
        lo++;
    while (hi > lo && tokens[hi - 1] == now[hi - 1])
        hi--;
    float *vec = out && lo < hi ? edit_program_floats(out, hi - lo) : NULL;
    bool made = out && (vec || lo == hi);
    struct edit_instr ids = {0};
    if (made && lo < hi)
        ids = tokens_instr(cfg, tokens + lo, lo, hi - lo, vec);
    made = made && (lo == hi || add_all(out, &ids, 1)) &&
           (!p || (add_all(out, p->instrs, p->n_instrs) && add_all(out, p->weights, p->n_weights)));
    for (int32_t i = 0; made && p && i < p->n_sources; i++)
        made = !edit_program_source(out, p->sources[i], &source, NULL);
    if (made)
        return out;
    edit_program_free(out);
    return NULL;
}

/* ---- order ---- */

/* Do two sites belong to one layer, or to one end of the model? */
static bool same_layer(struct site_ref a, struct site_ref b)
{
    return site_table[a.id].scope == site_table[b.id].scope && a.layer == b.layer;
}

/* Of two lists of n keys: which comes first. */
static int compare(const int32_t *a, const int32_t *b, int n)
{
    int i = 0;
    while (i < n - 1 && a[i] == b[i])
        i++;
    return (a[i] > b[i]) - (a[i] < b[i]);
}

static int by_stage(const void *a, const void *b)
{
    int32_t key[2][8];
    for (int i = 0; i < 2; i++) {
        const struct edit_instr *x = i ? b : a;
        /* parts of one edit are disjoint; any order will do, but the same every time */
        memcpy(key[i],
               (const int32_t[]){x->backward, (int32_t)site_table[x->site.id].scope, x->site.layer,
                                 (int32_t)x->site.id, x->edit, x->part, edit_axis_min(&x->axis[1]),
                                 edit_axis_min(&x->axis[2])},
               sizeof key[i]);
    }
    return compare(key[0], key[1], 8);
}

static int by_weight(const void *a, const void *b)
{
    const struct edit_instr *x = a, *y = b;
    return compare((int32_t[]){x->weight->layer, (int32_t)x->weight->id, x->edit},
                   (int32_t[]){y->weight->layer, (int32_t)y->weight->id, y->edit}, 3);
}

/* What one edit unmasks in a layer, every other edit of its scores and pattern sees; where nothing
 * is masked they all do.  Instructions of a layer stand together. */
static void spread_full(struct edit_program *p, bool all)
{
    for (int32_t i = 0, end; i < p->n_instrs; i = end) {
        bool full = all;
        for (end = i; end < p->n_instrs && same_layer(p->instrs[end].site, p->instrs[i].site);
             end++)
            full |= p->instrs[end].full;
        for (int32_t k = i; full && k < end; k++)
            if (site_is_attention(p->instrs[k].site.id)) {
                p->instrs[k].full = true;
                p->instrs[k].row_min = 0;
            }
    }
}

void edit_program_order(struct edit_program *p, const struct config *cfg)
{
    if (p->n_instrs > 0)
        qsort(p->instrs, (size_t)p->n_instrs, sizeof *p->instrs, by_stage);
    for (; p->n_instrs > 0 && p->instrs[p->n_instrs - 1].backward; p->n_instrs--)
        p->n_back++;
    p->back = p->instrs ? p->instrs + p->n_instrs : NULL;
    if (p->n_weights > 0)
        qsort(p->weights, (size_t)p->n_weights, sizeof *p->weights, by_weight);
    spread_full(p, cfg->bidirectional);
}

/* ---- equality ---- */

static bool axis_equal(const struct edit_axis *a, const struct edit_axis *b)
{
    if (a->n != b->n || !a->list != !b->list)
        return false;
    return a->list ? memcmp(a->list, b->list, (size_t)a->n * sizeof *a->list) == 0 : a->lo == b->lo;
}

bool edit_same_weight(const struct edit_instr *a, const struct edit_instr *b)
{
    return a->weight->id == b->weight->id && a->weight->layer == b->weight->layer;
}

bool edit_instr_equal(const struct edit_instr *a, const struct edit_instr *b)
{
    if (!a->weight != !b->weight ||
        (a->weight && (!edit_same_weight(a, b) || strcmp(a->weight->name, b->weight->name) != 0)))
        return false;
    if (!site_same(a->site, b->site) || a->expert != b->expert || a->op != b->op ||
        a->value != b->value || a->full != b->full || a->renormalize != b->renormalize ||
        memcmp(&a->number, &b->number, sizeof a->number) != 0)
        return false;
    if (memcmp(&a->lo, &b->lo, sizeof a->lo) != 0 || memcmp(&a->hi, &b->hi, sizeof a->hi) != 0)
        return false;
    if (memcmp(&a->sigma, &b->sigma, sizeof a->sigma) != 0 || a->seed != b->seed ||
        a->source_pos != b->source_pos || a->vec_n != b->vec_n ||
        memcmp(a->vec_stride, b->vec_stride, sizeof a->vec_stride) != 0 ||
        (a->vec_n && memcmp(a->vec, b->vec, (size_t)a->vec_n * sizeof *a->vec) != 0))
        return false;
    if ((a->value == EDIT_FROM || a->value == EDIT_RESAMPLE) &&
        (strcmp(a->source_name, b->source_name) != 0 || a->source_prompt != b->source_prompt))
        return false;
    for (int i = 0; i < a->rank; i++)
        if (!axis_equal(&a->axis[i], &b->axis[i]))
            return false;
    return true;
}
