/* explain.c - see explain.h. */
#include "explain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "draw.h"

/* What a step does with %0, %1, %2 (ops.def); NULL: told as name(a, b, c). */
static const char *const forms[KN_OP_COUNT] = {
    [KN_OP_EMBED] = "row %0 of %1",
    [KN_OP_COPY] = "%0",
    [KN_OP_ADD] = "%0 + %1",
    [KN_OP_NORM_SCALE] = "sqrt(mean(%0^2) + eps)",
    [KN_OP_NORMALIZE] = "%0 / %1",
    [KN_OP_AFFINE] = "%0 × %1 + %2",
    [KN_OP_LINEAR] = "%0 · %1 + %2",
    [KN_OP_ACT] = "act(%0)",
    [KN_OP_SOFTCAP] = "cap × tanh(%0 / cap)",
    [KN_OP_CLIP] = "%0 within its limits",
    [KN_OP_GATE] = "act(%0) × %1",
    [KN_OP_ROPE] = "%0 rotated by its position",
    [KN_OP_ATTN_SCORES] = "%0 · %1 of every source × scale",
    [KN_OP_SOFTMAX] = "softmax over sources of %0",
    [KN_OP_ATTN_MIX] = "sum over sources of %0 × %1",
    [KN_OP_HEAD_RESULT] = "%0 · %1, head by head",
    [KN_OP_BLEND] = "sum over experts of %0 × %1",
    [KN_OP_ROUTE] = "softmax over the best of %0",
};

/* Does an element come of the same element of its inputs, or of them first of all? */
static bool is_elementwise(enum kn_op op)
{
    return op == KN_OP_COPY || op == KN_OP_ADD || op == KN_OP_NORMALIZE || op == KN_OP_AFFINE ||
           op == KN_OP_ACT || op == KN_OP_SOFTCAP || op == KN_OP_CLIP || op == KN_OP_GATE ||
           op == KN_OP_SOFTMAX || op == KN_OP_ROUTE;
}

/* The step that writes a site where nothing is edited; NULL: none. */
static const struct step *step_of(const struct app *a, struct site_ref s, int32_t *stage)
{
    const struct plan *p = a->m->plan;
    int32_t n;
    *stage = plan_stage_of(p, s);
    if (*stage < 0 || *stage >= plan_stages(p))
        return NULL;
    const struct step *steps = plan_stage(p, *stage, &n);
    for (int32_t i = 0; i < n; i++)
        if (steps[i].site == s.id && steps[i].when != STEP_IF_EDITED && !steps[i].in_place)
            return &steps[i];
    return NULL;
}

/* The site that an operand reads; false: it is no site. */
static bool site_of(const struct app *a, int32_t stage, struct operand o, struct site_ref *out)
{
    if (o.kind != OPERAND_SITE && o.kind != OPERAND_FLAT && o.kind != OPERAND_ALL &&
        o.kind != OPERAND_PREV && o.kind != OPERAND_REPEAT && o.kind != OPERAND_ROOT)
        return false;
    int32_t at = o.kind == OPERAND_ROOT ? 0 : o.kind == OPERAND_PREV ? stage - 1 : stage;
    out->id = (enum site_id)o.id;
    out->layer = at < 1 || at > a->m->cfg.n_layers ? SITE_ROOT : at - 1;
    return true;
}

/* The same, through copies that nobody asked for: "attn.q.hook_in" is what it is a copy of. */
static bool input_of(const struct app *a, int32_t stage, struct operand o, struct site_ref *out)
{
    if (!site_of(a, stage, o, out))
        return false;
    for (int hops = 0; hops < 4; hops++) {
        int32_t at;
        struct site_ref from;
        const struct step *s = step_of(a, *out, &at);
        if (!s || s->op != KN_OP_COPY || s->when != STEP_IF_WANTED ||
            !site_of(a, at, s->in[0], &from))
            break;
        *out = from;
    }
    return true;
}

static void add_operand(const struct app *a, int32_t stage, struct operand o, struct bytes *b)
{
    static const char *const words[] = {
        [OPERAND_TOKENS] = "token", [OPERAND_POSITIONS] = "position",
        [OPERAND_TYPES] = "type",   [OPERAND_PATCHES] = "pixels",
        [OPERAND_COS] = "cos",      [OPERAND_SIN] = "sin"};
    struct site_ref s;
    char name[LIMIT_NAME];
    if (input_of(a, stage, o, &s))
        bytes_add_string(b, o.kind == OPERAND_PREV ? site_name(s, name) : site_table[s.id].name);
    else if (o.kind == OPERAND_WEIGHT || o.kind == OPERAND_EXPERT)
        bytes_add_string(b, weight_table[o.id].name);
    else if (o.kind < sizeof words / sizeof *words && words[o.kind])
        bytes_add_string(b, words[o.kind]);
}

/* No bias, no scale: nothing is added. */
static bool is_absent(const struct app *a, int32_t stage, struct operand o)
{
    return o.kind == OPERAND_NONE ||
           ((o.kind == OPERAND_WEIGHT || o.kind == OPERAND_EXPERT) &&
            model_weight(a->m, stage > 0 ? stage - 1 : 0, (enum weight_id)o.id)->ndim == 0);
}

static void add_form(const struct app *a, int32_t stage, const struct step *s, const char *form,
                     struct bytes *b)
{
    for (; *form; form++) {
        if (*form != '%') {
            if (strncmp(form, " + %", 4) == 0 && is_absent(a, stage, s->in[form[4] - '0']))
                form += 4;
            else
                bytes_add_char(b, *form);
            continue;
        }
        add_operand(a, stage, s->in[*++form - '0'], b);
    }
}

void explain_formula(const struct app *a, struct site_ref site, struct bytes *b)
{
    int32_t stage;
    const struct step *s = step_of(a, site, &stage);
    char name[LIMIT_NAME];
    bytes_addf(b, "%s = ", site_name(site, name));
    if (!s) {
        bytes_add_string(b, "what the model is given");
        return;
    }
    if (s->op < KN_OP_COUNT && forms[s->op]) {
        add_form(a, stage, s, forms[s->op], b);
        return;
    }
    bytes_addf(b, "%s(", kn_op_name(s->op));
    for (int i = 0; i < KN_IN_MAX && s->in[i].kind != OPERAND_NONE; i++) {
        bytes_add_string(b, i ? ", " : "");
        add_operand(a, stage, s->in[i], b);
    }
    bytes_add_char(b, ')');
}

/* ---- the numbers ---- */

/* Rows of an input: its own axis of positions. */
static struct want row_want(struct site_ref s, int32_t row)
{
    return want_make(WANT_VALUES, s, row, row + 1);
}

/* The sites that one row of the step's result reads one row of. */
static int inputs(const struct app *a, struct site_ref site, struct site_ref in[KN_IN_MAX],
                  const struct step **step)
{
    int32_t stage;
    const struct step *s = *step = step_of(a, site, &stage);
    int n = 0;
    for (int i = 0; s && i < KN_IN_MAX; i++)
        if (s->in[i].kind != OPERAND_ALL && input_of(a, stage, s->in[i], &in[n]))
            n++;
    return n;
}

void explain_want(const struct app *a, struct site_ref site, int32_t row, struct want_list *l)
{
    struct site_ref in[KN_IN_MAX];
    const struct step *s;
    int n = inputs(a, site, in, &s);
    for (int i = 0; i < n; i++)
        want_add(l, row_want(in[i], row));
}

/* Of one head where the site has heads as the result has. */
static bool number_of(const struct app *a, const struct step *s, struct site_ref in, int32_t row,
                      int32_t head, int32_t element, const char **what, double *out)
{
    bool stale;
    const struct snapshot *snap = app_newest(a, &stale);
    struct want w = row_want(in, row);
    const float *v = snap ? snapshot_at(snap,
                                        app_show(a, snap) == SHOW_BASE ? FACE_BASE : FACE_EDITED,
                                        &w, row)
                          : NULL;
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(&a->m->cfg, in.id, a->n, shape);
    if (!v || rank < 2)
        return false;
    size_t width = (size_t)shape[rank - 1],
           heads = rank == 3 ? (size_t)shape[site_row_axis(in.id) == 1 ? 0 : 1] : 1;
    bool per_head = rank == 3 && s->in[0].kind != OPERAND_FLAT && (size_t)head < heads;
    v += per_head ? (size_t)head * width : 0;
    size_t count = per_head ? width : width * heads;
    *what = "";
    if (element >= 0 && is_elementwise(s->op) && ((size_t)element < count || count == 1)) {
        *out = (double)v[count == 1 ? 0 : element];
        return true;
    }
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += isfinite(v[i]) || isnan(v[i]) ? (double)v[i] * (double)v[i] : 0; /* not the mask */
    *what = "norm of ";
    *out = sqrt(sum);
    return true;
}

void explain_inputs(const struct app *a, struct site_ref site, int32_t row, int32_t head,
                    int32_t element, struct bytes *b)
{
    struct site_ref in[KN_IN_MAX];
    const struct step *s;
    int n = inputs(a, site, in, &s);
    for (int i = 0; i < n; i++) {
        const char *what = "";
        double v;
        char name[LIMIT_NAME], text[NUMBER_BYTES];
        bool there = number_of(a, s, in[i], row, head, element, &what, &v);
        bytes_addf(b, "%s%s %s\n", what, site_name(in[i], name),
                   there ? number_fit(text, v, 9, 4, NUMBER_LEFT | (a->ascii ? NUMBER_ASCII : 0))
                         : "…");
    }
}

int explain_draw(const struct app *a, struct canvas *c, struct rect r, struct site_ref s,
                 int32_t row, int32_t head, int32_t element)
{
    struct bytes b = {0};
    explain_formula(a, s, &b);
    if (b.len)
        bytes_add_char(&b, '\n');
    explain_inputs(a, s, row, head, element, &b);
    int y = 0;
    for (const char *at = b.failed || !b.len ? "" : b.data; *at && y < r.h; at += *at == '\n') {
        size_t line = strcspn(at, "\n");
        while (line && y < r.h) { /* as many as it needs */
            char part[256];
            snprintf(part, sizeof part, "%.*s", (int)(line < sizeof part ? line : sizeof part - 1),
                     at);
            size_t n = draw_wrap(part, r.w - 2);
            const char *nan = memmem(at, n, " NaN", 4);
            canvas_put_text(c, r, 1, y++, canvas_plain(CANVAS_DIM), at, n, TEXT_OWN);
            if (nan) /* in its colour, as everywhere; names are ASCII before it */
                draw_number(c, r, 2 + text_width(at, (size_t)(nan - at), TEXT_OWN), y - 1,
                            canvas_plain(0), NAN, 4, 0, NUMBER_LEFT);
            at += n + (n < line && at[n] == ' ');
            line -= n + (n < line && at[-1] == ' ' ? 1 : 0);
        }
    }
    bytes_free(&b);
    return y;
}

/* ---- of the noun ---- */

void explain_noun_want(const struct app *a, struct want_list *l)
{
    struct noun n = {0};
    if (app_view(a)->noun && app_view(a)->noun(a, &n))
        explain_want(a, n.site, a->cur.row, l);
}

void explain_noun(const struct app *a, struct bytes *out)
{
    struct noun n = {0};
    struct bytes in = {0};
    if (!app_view(a)->noun || !app_view(a)->noun(a, &n))
        return;
    explain_formula(a, n.site, out);
    explain_inputs(a, n.site, a->cur.row, n.expert ? -1 : a->cur.head,
                   a->cur.view == VIEW_TENSOR ? a->cur.element : -1, &in);
    for (const char *at = in.failed || !in.len ? "" : in.data; *at; at += *at == '\n') {
        size_t line = strcspn(at, "\n");
        bytes_add_string(out, out->len ? "; " : "");
        bytes_add(out, at, line);
        at += line;
    }
    bytes_free(&in);
}
