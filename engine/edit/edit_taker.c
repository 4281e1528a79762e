/* edit_taker.c - taker's words: rows, mask, whiten (edit_parts.h).
 *
 * The arithmetic is that of taker 1.2.3's hook classes: NeuronMask, NeuronActAdd, NeuronReplace,
 * NeuronWhiten; its offsets and biases are += and -= of a file's tensor.  Tested against them in
 * tests/engine/test_taker.c. */
#include "edit/edit_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/checkpoint.h"

struct hook_file {
    struct checkpoint *st;
    const struct edit *ed;
    struct edit_chunk **chunks;
    struct err *e;
};

/* NAME.part, or NAME itself where part is ""; NULL if it is not there. */
static const struct st_tensor *find(const struct hook_file *f, const char *part)
{
    char name[LIMIT_EDIT_TEXT + 40];
    snprintf(name, sizeof name, "%s%s%s", f->ed->text[1], *part ? "." : "", part);
    return checkpoint_find(f->st, name);
}

static int fail_missing(const struct hook_file *f, const char *part)
{
    char name[LIMIT_NAME];
    snprintf(name, sizeof name, "%.80s%s", f->ed->text[1], part);
    const char *near = checkpoint_nearest(f->st, name);
    return err_set(f->e, ERR_BAD_INPUT, "no tensor \"%s\" in %s · the nearest is \"%s\"", name,
                   f->ed->text[0], near ? near : "");
}

static int64_t count_within(const struct edit_instr *a)
{
    int64_t n = 1;
    for (int i = 1; i < a->rank; i++)
        n *= a->axis[i].n;
    return n;
}

/* All elements of a tensor, `want` of them. */
static int read_all(const struct hook_file *f, const struct st_tensor *t, int64_t want, float *out)
{
    char shape[80];
    if (st_count(t) != want)
        return err_set(f->e, ERR_BAD_INPUT,
                       "%s is %s · the selection has %lld elements at a position", t->name,
                       st_shape_text(shape, sizeof shape, t->shape, t->rank), (long long)want);
    if (st_decode(t, 0, want, out))
        return 0;
    return err_set(f->e, ERR_BAD_INPUT, "%s holds %s · F32, F16, BF16 and F64 can be read", t->name,
                   st_dtype_name(t->dtype));
}

static int alloc(const struct hook_file *f, int64_t n, float **out)
{
    *out = edit_chunk_alloc(f->chunks, ((size_t)n + 1) * sizeof **out);
    return *out ? 0 : err_memory(f->e, "edits");
}

/* The strides of one number for each element of the inner axes; `rows`: other ones at every
 * position. */
static void lay(struct edit_instr *a, float *vec, int64_t n, bool rows)
{
    int64_t stride = 1;
    a->vec = vec;
    a->vec_n = n;
    for (int i = a->rank - 1; i > 0; i--) {
        a->vec_stride[i] = stride;
        stride *= a->axis[i].n;
    }
    a->vec_stride[0] = rows ? stride : 0;
}

/* ---- rows() ---- */

/* Row p: of the tensor, or the tensor called NAME.p.  NULL: there is none. */
static const struct st_tensor *row_tensor(const struct hook_file *f, const struct st_tensor *whole,
                                          int32_t p)
{
    char part[16];
    if (whole)
        return p < whole->shape[0] ? whole : NULL;
    snprintf(part, sizeof part, "%d", (int)p);
    return find(f, part);
}

static int read_row(const struct hook_file *f, const struct st_tensor *t, bool whole, int32_t p,
                    int64_t inner, float *out)
{
    struct st_tensor one = *t;
    if (whole) {
        one.nbytes = t->nbytes / (size_t)t->shape[0];
        one.data = (const char *)t->data + (size_t)p * one.nbytes;
        one.rank = t->rank - 1;
        memmove(one.shape, t->shape + 1, (size_t)one.rank * sizeof *one.shape);
    }
    return read_all(f, &one, inner, out);
}

/* Is there any row at all, at whatever position? */
static bool has_rows(const struct hook_file *f)
{
    size_t n = strlen(f->ed->text[1]);
    for (size_t i = 0; i < checkpoint_count(f->st); i++) {
        const char *name = checkpoint_at(f->st, i)->name;
        if (!strncmp(name, f->ed->text[1], n) && name[n] == '.' && name[n + 1] &&
            strspn(name + n + 1, "0123456789") == strlen(name + n + 1))
            return true;
    }
    return false;
}

static int rows_resolve(struct edit_instr *a, int *n, const struct hook_file *f)
{
    const struct st_tensor *whole = find(f, "");
    const struct edit_axis given = a->axis[0];
    int64_t inner = count_within(a);
    if (whole ? !whole->rank : !has_rows(f))
        return whole ? err_set(f->e, ERR_BAD_INPUT,
                               "%s is a single number · rows() needs one row for each position",
                               whole->name)
                     : fail_missing(f, "");
    float *vec;
    int32_t *list = edit_chunk_alloc(f->chunks, ((size_t)given.n + 1) * sizeof *list), kept = 0;
    int rc = list ? alloc(f, inner * given.n, &vec) : err_memory(f->e, "edits");
    for (int32_t i = 0; i < given.n && !rc; i++) {
        int32_t p = given.list ? given.list[i] : given.lo + i;
        const struct st_tensor *t = row_tensor(f, whole, p);
        if (t && !(rc = read_row(f, t, whole != NULL, p, inner, vec + kept * inner)))
            list[kept++] = p;
    }
    if (rc)
        return rc;
    *n = kept > 0;
    if (!kept)
        return 0;
    bool gaps = list[kept - 1] - list[0] + 1 != kept;
    a->axis[0] = (struct edit_axis){list[0], kept, gaps ? list : NULL};
    lay(a, vec, inner * kept, true);
    return 0;
}

/* ---- mask() ---- */

/* The functions in double, so that what is rounded is the result. */
static float mask_of(enum edit_mask_fn fn, float p)
{
    switch (fn) {
    case EDIT_MASK_STEP: return p > 0.0f;
    case EDIT_MASK_SIGMOID: return (float)(1.0 / (1.0 + exp(-(double)p)));
    case EDIT_MASK_TANH: return (float)tanh((double)p);
    case EDIT_MASK_RELU: return p > 0.0f || isnan(p) ? p : 0.0f;
    case EDIT_MASK_COUNT: break;
    }
    return 1.0f;
}

/* x * m, then + offset * (1 - m) where there is an offset. */
static int mask_resolve(struct edit_instr instrs[EDIT_HOOK_INSTRS], int *n,
                        const struct hook_file *f)
{
    const struct st_tensor *param = find(f, "param"), *offset = find(f, "offset");
    int64_t inner = count_within(&instrs[0]);
    float *m = NULL, *o = NULL;
    int rc = param || offset ? alloc(f, inner, &m) : fail_missing(f, ".param");
    if (!rc && offset)
        rc = alloc(f, inner, &o);
    for (int64_t i = 0; !rc && i < inner; i++)
        m[i] = f->ed->mask_fn == EDIT_MASK_SIGMOID ? INFINITY
                                                   : 1.0f; /* what an untouched hook has */
    if (!rc && param)
        rc = read_all(f, param, inner, m);
    if (!rc && offset)
        rc = read_all(f, offset, inner, o);
    if (rc)
        return rc;
    bool shifts = false;
    for (int64_t i = 0; i < inner; i++) {
        m[i] = mask_of(f->ed->mask_fn, m[i]);
        if (o)
            o[i] *= 1.0f - m[i];
        shifts |= o && !(fabsf(o[i]) <= 0.0f);
    }
    instrs[0].op = EDIT_MUL;
    lay(&instrs[0], m, inner, false);
    *n = 1 + shifts;
    if (shifts) {
        instrs[1] = instrs[0];
        instrs[1].op = EDIT_ADD;
        instrs[1].part = 1;
        lay(&instrs[1], o, inner, false);
    }
    return 0;
}

/* ---- whiten() ---- */

/* Width of the vectors that are rotated: all inner elements of a position, or the last axis; 0 =
 * neither fits. */
static int64_t whiten_width(const struct edit_instr *a, const struct hook_file *f)
{
    const struct st_tensor *t[] = {find(f, "offset"), find(f, "scale")},
                           *m[] = {find(f, "rotate.weight"), find(f, "rotate_inv.weight")};
    int64_t last = a->axis[a->rank - 1].n, all = count_within(a);
    for (int i = 0; i < 2; i++) {
        if (t[i])
            return st_count(t[i]) == all ? all : st_count(t[i]) == last ? last : 0;
        if (m[i])
            return m[i]->rank != 2          ? 0
                   : m[i]->shape[0] == all  ? all
                   : m[i]->shape[0] == last ? last
                                            : 0;
    }
    return -1;
}

/* vec = offset [d], factor [d], matrix [d, d]: edit_whiten.h. */
static int whiten_read(const struct hook_file *f, bool back, int64_t d, float *vec)
{
    const struct st_tensor *offset = find(f, "offset"), *scale = find(f, "scale"),
                           *rotate = find(f, back ? "rotate_inv.weight" : "rotate.weight");
    int rc = offset ? read_all(f, offset, d, vec) : 0;
    for (int64_t i = 0; i < d; i++)
        vec[d + i] = 1.0f;
    if (!rc && scale)
        rc = read_all(f, scale, d, vec + d);
    for (int64_t i = 0; i < d && back; i++) {
        float inverse = 1.0f / vec[d + i];
        vec[d + i] = inverse > 1e6f ? 1e6f : inverse;
    }
    if (rc)
        return rc;
    if (rotate)
        return read_all(f, rotate, d * d, vec + 2 * d);
    for (int64_t i = 0; i < d; i++)
        vec[(2 + i) * d + i] = 1.0f;
    return 0;
}

static int whiten_resolve(struct edit_instr *a, const struct edit_context *ctx,
                          const struct hook_file *f)
{
    int64_t shape[SITE_RANK_MAX], d = whiten_width(a, f);
    char name[LIMIT_NAME];
    site_shape(ctx->cfg, a->site.id, ctx->n_pos, shape);
    for (int i = 1; i < a->rank; i++)
        if (a->axis[i].n != shape[i])
            return err_set(f->e, ERR_BAD_INPUT,
                           "%s · it needs all elements of %s at a position · select positions only",
                           edit_value_words[a->value].word, site_name(a->site, name));
    if (d < 0)
        return fail_missing(f, ".offset");
    if (!d)
        return err_set(f->e, ERR_BAD_INPUT,
                       "%s · the tensors of %s do not fit %s · it has %lld elements at a position",
                       edit_value_words[a->value].word, f->ed->text[1], site_name(a->site, name),
                       (long long)count_within(a));
    float *vec;
    int rc = alloc(f, d * (d + 2), &vec);
    if (!rc) {
        memset(vec, 0, (size_t)(d * (d + 2)) * sizeof *vec);
        rc = whiten_read(f, a->value == EDIT_UNWHITEN, d, vec);
    }
    a->vec = vec, a->vec_n = d * (d + 2), a->width = (int32_t)d;
    return rc;
}

/* ---- all ---- */

bool edit_hook_is(enum edit_value_kind v)
{
    return v == EDIT_ROWS || v == EDIT_MASK || v == EDIT_WHITEN || v == EDIT_UNWHITEN;
}

int edit_hook_resolve(struct edit_instr instrs[EDIT_HOOK_INSTRS], int *n, const struct edit *ed,
                      const struct edit_context *ctx, struct edit_chunk **chunks, struct err *e)
{
    struct hook_file f = {.ed = ed, .chunks = chunks, .e = e};
    const char *form = edit_value_words[ed->value].form;
    char name[LIMIT_NAME];
    *n = 1;
    if (!edit_hook_is(ed->value))
        return 0;
    if (site_is_attention(instrs[0].site.id))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · %s has two positions, dest and src · it is for hooks with one", form,
                       site_name(instrs[0].site, name));
    if (!ctx->model)
        return err_set(e, ERR_BAD_INPUT, "%s · no weights are open here", form);
    if (!(f.st = checkpoint_open(ed->text[0], e)))
        return err_code(e);
    int rc = ed->value == EDIT_MASK   ? mask_resolve(instrs, n, &f)
             : ed->value == EDIT_ROWS ? rows_resolve(&instrs[0], n, &f)
                                      : whiten_resolve(&instrs[0], ctx, &f);
    checkpoint_close(f.st);
    return rc;
}
