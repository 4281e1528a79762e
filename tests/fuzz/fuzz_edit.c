/* fuzz_edit.c - lines of text as an edit list: parse, print, parse again, resolve on small models,
 * apply. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../host_apply.h"
#include "model/arch.h"
#include "edit/edit.h"
#include "model/model.h"
#include "edit/reference.h"

enum { N_POS = 5, LINES_MAX = 8, APPLIED_MAX = 64 };

static const struct config models[] = {
    {.n_layers = 3,
     .n_heads = 4,
     .n_kv_heads = 4,
     .d_model = 8,
     .d_head = 2,
     .d_mlp = 9,
     .d_vocab = 11,
     .n_ctx = 8,
     .pos = POS_LEARNED,
     .norm_center = true},
    {.n_layers = 12,
     .n_heads = 6,
     .n_kv_heads = 2,
     .d_model = 12,
     .d_head = 2,
     .d_mlp = 7,
     .d_vocab = 11,
     .n_ctx = 8,
     .pos = POS_ROTARY,
     .gated = true},
    {.n_layers = 1,
     .n_heads = 1,
     .n_kv_heads = 1,
     .d_model = 2,
     .d_head = 2,
     .d_mlp = 3,
     .d_vocab = 5,
     .n_ctx = 8,
     .pos = POS_ROTARY,
     .parallel = true},
};

static struct reference_set *set; /* "ref": prompts of 2 and 5 tokens */

static void must(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static int32_t token_text(void *user, int32_t pos, const char **text)
{
    static const char *const tokens[N_POS] = {"a", " John", "\xff\n", "John", ""};
    (void)user;
    *text = tokens[pos];
    return (int32_t)strlen(tokens[pos]);
}

/* What is printed parses, to an edit that prints the same. */
static struct edit *round_trip(const char *line)
{
    struct edit *ed = NULL, *again = NULL;
    struct err e = {0, ""};
    if (edit_parse(&ed, line, &e)) {
        must(e.code < 0 && e.text[0] && !strchr(e.text, '\n'), "a refusal has one line");
        return NULL;
    }
    static char once[LIMIT_EDIT_TEXT], twice[LIMIT_EDIT_TEXT];
    must(edit_print(ed, once, sizeof once) < LIMIT_EDIT_TEXT, "printed text is within the limit");
    must(edit_parse(&again, once, &e) == 0, "printed text parses");
    edit_print(again, twice, sizeof twice);
    must(strcmp(once, twice) == 0, "printing is a fixpoint");
    edit_free(again);
    return ed;
}

static void check_axis(const struct edit_axis *a, int64_t size)
{
    must(a->n >= 1, "an axis selects something");
    for (int32_t i = 0, before = -1; i < a->n; i++) {
        int32_t v = a->list ? a->list[i] : a->lo + i;
        must(v > before && v < size, "values ascend within the axis");
        before = v;
    }
}

static void apply(const struct config *cfg, const struct edit_instr *instr)
{
    int64_t shape[SITE_RANK_MAX], n = 1;
    int rank = site_shape(cfg, instr->site.id, N_POS, shape);
    must(rank == instr->rank, "an instr has its site's rank");
    struct kn_view v = {.dtype = KN_F32, .ndim = rank};
    for (int i = rank - 1; i >= 0; i--) {
        check_axis(&instr->axis[i], shape[i]);
        v.shape[i] = shape[i];
        v.stride[i] = n;
        n *= shape[i];
    }
    float *x = calloc((size_t)n, sizeof *x), *s = calloc((size_t)n, sizeof *s);
    must(x && s, "memory");
    struct kn_view src = v;
    v.data = x;
    src.data = s;
    host_apply(instr, &v, 0, &src);
    int row_axis = site_row_axis(instr->site.id);
    v.shape[row_axis] = src.shape[row_axis] = 2;
    host_apply(instr, &v, 2, &src);
    free(x);
    free(s);
}

/* An instruction on a weight, on a tensor of its shape. */
static void apply_weight(const struct edit_instr *instr)
{
    const struct edit_weight *w = instr->weight;
    struct kn_view v = {.dtype = KN_F32, .ndim = w->rank};
    int64_t n = 1;
    must(instr->rank == w->rank && instr->row_min >= 0, "an instr has its weight's rank");
    for (int i = w->rank - 1; i >= 0; i--) {
        v.shape[i] = w->shape[i] / (i == 0 ? w->repeat : 1);
        v.stride[i] = n;
        check_axis(&instr->axis[i], v.shape[i]);
        n *= v.shape[i];
    }
    v.data = calloc((size_t)n, sizeof(float));
    must(v.data != NULL, "memory");
    host_apply(instr, &v, 0, NULL);
    free(v.data);
}

static void resolve(const struct config *cfg, struct edit *const *edits, int32_t n)
{
    static struct tokenizer *tok;
    if (!tok)
        must((tok = tokenizer_none(11, NULL)) != NULL, "a tokenizer");
    struct model m = {.cfg = *cfg, .tok = tok}; /* names of weights need no weights */
    struct edit_context ctx = {.cfg = cfg,
                               .model = &m,
                               .n_pos = N_POS,
                               .token_text = token_text,
                               .sets = &set,
                               .n_sets = 1,
                               .gradients = true};
    struct edit_program *p;
    struct err e = {0, ""};
    if (edit_resolve(&p, edits, NULL, n, &ctx, &e)) {
        must(e.code < 0 && e.text[0] && !strchr(e.text, '\n'), "a refusal has one line");
        return;
    }
    for (int32_t i = 0; i < p->n_instrs && i < APPLIED_MAX; i++) {
        if (p->instrs[i].value != EDIT_MEAN_REF) /* its values come from runs */
            apply(cfg, &p->instrs[i]);
        must(edit_instr_equal(&p->instrs[i], &p->instrs[i]), "an instr equals itself");
    }
    for (int32_t i = 0; i < p->n_weights && i < APPLIED_MAX; i++) {
        apply_weight(&p->weights[i]);
        must(edit_instr_equal(&p->weights[i], &p->weights[i]), "an instr equals itself");
    }
    edit_program_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct edit *edits[LINES_MAX];
    int32_t n = 0;
    for (char *line = text, *end; line && n < LINES_MAX; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        if ((edits[n] = round_trip(line)))
            n++;
    }
    static const int32_t tokens[] = {1, 2, 3, 4, 0}, lengths[] = {2, N_POS};
    static const int32_t *const prompts[] = {tokens, tokens};
    if (!set)
        must(reference_make(&set, "ref", prompts, lengths, 2, NULL) == 0, "a set");
    static const int family[] = {0, 2, 1}; /* whose module names: gpt2, llama, gpt_neox */
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct config cfg = models[i];
        cfg.arch = arch_table[family[i]];
        resolve(&cfg, edits, n);
        for (int32_t k = 0; k < n; k++)
            resolve(&cfg, &edits[k], 1);
    }
    for (int32_t i = 0; i < n; i++)
        edit_free(edits[i]);
    free(text);
    return 0;
}
