/* pins.c - see pins.h. */
#include "list/pins.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "compare.h"
#include "draw.h"
#include "edit/edit.h"
#include "measure/metric.h"
#include "run/run.h"
#include "say.h"

enum {
    ROWS_SHARE = 5,
    VALUE = 7, /* columns of a number */
    KIND = 6,
    FIGURES = 4 + VALUE + 1 + 3 + VALUE + 1 + VALUE + 2, /* "was 0.984 is 0.984 +0.000" */
    FIGURES_TWO = FIGURES + 2 + 7 + VALUE + 1            /* "base", and "edited 0.310" more */
};

/* ---- where it is ---- */

static int32_t token_text(void *user, int32_t pos, const char **text)
{
    const struct app *a = user;
    size_t len;
    *text = model_input_text(a->m, a->tokens[pos], &len);
    return (int32_t)len;
}

/* The one value of an axis, -1: all of it, -2: some of it. */
static int32_t one_of(const struct edit_axis *x, int64_t size)
{
    return x->n == 1 ? (x->list ? x->list[0] : x->lo) : x->n == size ? -1 : -2;
}

static bool is_lens_site(const struct app *a, struct site_ref s)
{
    for (int32_t column = 0; column <= a->m->cfg.n_layers; column++)
        if (site_same(run_lens_site(a->m, column), s))
            return true;
    return false;
}

static int too_many(struct err *e)
{
    return err_set(e, ERR_BAD_INPUT,
                   "a pin is one element, or all of a position · [14, 3], [14], [-1, 2, 7]");
}

/* What to ask for to know the figure that an instruction's site and index are. */
static int want_of(const struct app *a, const struct edit_instr *in, struct pin *p, struct err *e)
{
    const struct config *cfg = &a->m->cfg;
    int row_axis = site_row_axis(in->site.id), last = in->rank - 1, head_axis = -1;
    int64_t shape[SITE_RANK_MAX];
    int32_t value[SITE_RANK_MAX] = {0};
    site_shape(cfg, in->site.id, a->n, shape);
    for (int k = 0; k < in->rank; k++) {
        enum site_dim d = site_table[in->site.id].dims[k];
        value[k] = one_of(&in->axis[k], shape[k]);
        if (d == DIM_HEAD || d == DIM_KV_HEAD || (d == DIM_SLOT && in->rank == 3))
            head_axis = k;
        if (value[k] == -2)
            return too_many(e);
    }
    bool element = last != row_axis && last != head_axis && value[last] >= 0;
    int32_t head = head_axis < 0 ? -1 : value[head_axis];
    if (value[row_axis] < 0 || (element && head_axis >= 0 && head < 0))
        return too_many(e);
    enum want_kind kind = p->token >= 0 ? WANT_CELL
                          : element || last == row_axis || (last == head_axis && head >= 0)
                              ? WANT_VALUES
                          : head >= 0 ? WANT_HEAD_NORM
                                      : WANT_NORM;
    struct want w = want_make(kind, in->site, value[row_axis], value[row_axis] + 1);
    if (head >= 0)
        w.head0 = head, w.head1 = head + 1;
    if (p->token >= 0 && (element || head_axis >= 0 || !is_lens_site(a, in->site)))
        return err_set(e, ERR_BAD_INPUT,
                       "the lens reads a position of the residual stream · %s[-1] \" Mary\"",
                       "blocks.0.hook_resid_post");
    if (p->token >= 0)
        w.id[0] = p->token;
    if (!want_fit(cfg, &w, a->n))
        return too_many(e);
    p->want = w;
    p->at = element ? value[last] : 0;
    return 0;
}

/* Place it in the prompt of now. */
static int place(const struct app *a, struct pin *p, struct err *e)
{
    struct edit *ed = NULL;
    struct edit_program *prog = NULL;
    char text[PIN_TEXT_MAX + 8];
    const struct edit_context ctx = {.cfg = &a->m->cfg,
                                     .n_pos = a->n,
                                     .model = a->m,
                                     .token_text = token_text,
                                     .user = (void *)(uintptr_t)a};
    snprintf(text, sizeof text, "%s = 0", p->text);
    int rc = edit_parse(&ed, text, e);
    if (!rc && (rc = edit_resolve(&prog, &ed, NULL, 1, &ctx, e)) < 0) {
        static const char end[] = " = 0 · "; /* of "edit 1: HOOK[INDEX] = 0 · why" */
        const char *why = strstr(e->text, end);
        if (why)
            memmove(e->text, why + sizeof end - 1, strlen(why + sizeof end - 1) + 1);
    }
    if (!rc && (prog->n_weights || prog->n_back || prog->n_instrs != 1 || prog->instrs[0].expert ||
                site_holds_ids(prog->instrs[0].site.id)))
        rc = err_set(e, ERR_BAD_INPUT, "a pin is a figure of one hook · blocks.0.hook_mlp_out[-1]");
    if (!rc)
        rc = want_of(a, &prog->instrs[0], p, e);
    edit_program_free(prog);
    edit_free(ed);
    return rc;
}

/* ---- as text ---- */

void pins_text(const struct app *a, const struct pin *p, struct bytes *out)
{
    char token[LIMIT_NAME];
    bytes_add_string(out, p->text);
    if (p->token >= 0)
        bytes_addf(out, " %s", metric_token(a->m->tok, p->token, token));
}

/* Bytes of HOOK[INDEX] at the beginning of a text: up to a blank outside brackets and quotes. */
static size_t hook_length(const char *s)
{
    bool quoted = false;
    int depth = 0;
    size_t i = 0;
    for (; s[i] && (quoted || depth || s[i] != ' '); i++) {
        quoted ^= s[i] == '"' && (!i || s[i - 1] != '\\');
        depth += !quoted && s[i] == '[';
        depth -= !quoted && s[i] == ']';
    }
    return i;
}

static int read_pin(struct app *a, const char *text, struct pin *p, struct err *e)
{
    size_t n = hook_length(text);
    const char *token = text + n + strspn(text + n, " ");
    *p = (struct pin){.token = -1};
    if (!n || n >= sizeof p->text)
        return err_set(e, ERR_BAD_INPUT, "a pin of %zu bytes · 1 to %d", n, PIN_TEXT_MAX - 1);
    memcpy(p->text, text, n);
    if (*token && (p->token = app_token(a, token, strlen(token))) < 0)
        return err_set(e, ERR_BAD_INPUT, "%s", a->message);
    return place(a, p, e);
}

/* ---- the list ---- */

static int find(const struct pins *l, const struct pin *p)
{
    for (int i = 0; i < l->n; i++)
        if (l->pin[i].token == p->token && strcmp(l->pin[i].text, p->text) == 0)
            return i;
    return -1;
}

void pins_drop(struct pins *p, int i)
{
    memmove(&p->pin[i], &p->pin[i + 1], (size_t)(--p->n - i) * sizeof *p->pin);
}

static int add(struct app *a, const struct pin *p, struct err *e)
{
    if (a->pins.n == PINS_MAX)
        return err_set(e, ERR_BAD_INPUT, "%d figures are pinned · pin NUMBER lets one go",
                       PINS_MAX);
    a->pins.pin[a->pins.n++] = *p;
    return 0;
}

int pins_toggle(struct app *a, const char *text, int *at, struct err *e)
{
    struct pin p;
    struct bytes said = {0};
    int rc = read_pin(a, text, &p, e);
    if (rc)
        return rc;
    p.there = true;
    int i = find(&a->pins, &p);
    *at = i < 0 ? a->pins.n : i;
    if (i >= 0)
        pins_drop(&a->pins, i);
    else
        rc = add(a, &p, e);
    pins_text(a, &p, &said);
    if (!rc && !said.failed)
        snprintf(a->pins.last, sizeof a->pins.last, "%s", said.data);
    bytes_free(&said);
    return rc;
}

int pins_restore(struct app *a, const char *text, bool known, double was, struct err *e)
{
    struct pin p;
    int rc = read_pin(a, text, &p, e);
    p.known = known, p.was = was;
    return rc ? rc : add(a, &p, e);
}

/* The lens of a grid cell: of its best token, or of the one whose figures the grid shows. */
static bool lens_under(const struct app *a, struct bytes *out)
{
    bool lens = a->cur.view == VIEW_LENS || a->cur.view == VIEW_PAIRS ||
                (a->cur.view == VIEW_GRID && quantity_is_lens(a->quantity) &&
                 a->quantity != QUANTITY_KL);
    int32_t column = a->cur.view == VIEW_PAIRS ? a->m->cfg.n_layers : a->cur.column;
    struct site_ref site = run_lens_site(a->m, column);
    char name[LIMIT_NAME], token[LIMIT_NAME];
    if (!lens || a->selecting || a->m->cfg.headless)
        return false;
    bool best = a->cur.view != VIEW_GRID || a->quantity == QUANTITY_LENS ||
                a->quantity == QUANTITY_ENTROPY;
    int32_t id = best ? -1 : app_target(a);
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    for (int32_t i = 0; s && id < 0 && i < s->n_wants; i++) {
        const struct want *w = &s->wants[i];
        enum face face = app_show(a, s) == SHOW_BASE ? FACE_BASE : FACE_EDITED;
        const struct want_cell *cell = w->kind == WANT_CELL && site_same(w->site, site)
                                           ? snapshot_at(s, face, w, a->cur.row)
                                           : NULL;
        id = cell ? cell->top.id : -1;
    }
    if (id >= 0)
        bytes_addf(out, "%s[%d] %s", site_name(site, name), (int)draw_row_index(a, a->cur.row),
                   metric_token(a->m->tok, id, token));
    return id >= 0;
}

bool pins_under(const struct app *a, struct bytes *out)
{
    char noun[256], name[LIMIT_NAME];
    if (lens_under(a, out))
        return true;
    if (a->cur.view == VIEW_HEADS) { /* its edits are of all positions, a figure is of one */
        bytes_addf(out, "%s[%d, %d]", site_name((struct site_ref){SITE_Z, app_layer(a)}, name),
                   (int)draw_row_index(a, a->cur.row), (int)a->cur.head);
        return true;
    }
    if (a->selecting || !app_noun_text(a, false, noun))
        return false;
    bytes_add_string(out, noun);
    return true;
}

/* ---- what it is ---- */

void pins_want(struct app *a, struct want_list *l)
{
    for (int i = 0; i < a->pins.n; i++) {
        struct pin *p = &a->pins.pin[i];
        struct err e = {0};
        p->there = place(a, p, &e) == 0;
        snprintf(p->why, sizeof p->why, "%.*s", (int)sizeof p->why - 1, e.text);
        if (p->there)
            want_add(l, p->want);
    }
}

static bool value_of(const struct snapshot *s, const struct pin *p, enum face face, double *out)
{
    const void *x = s && p->there ? snapshot_at(s, face, &p->want, p->want.row0) : NULL;
    if (!x)
        return false;
    const struct lens_cell *cell = &((const struct want_cell *)x)->cell;
    *out = p->token >= 0 ? exp((double)cell->target_logit - (double)cell->lse)
                         : (double)((const float *)x)[p->at];
    return true;
}

void pins_took(struct app *a)
{
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    for (int i = 0; s && !stale && i < a->pins.n; i++) {
        struct pin *p = &a->pins.pin[i];
        enum face face = app_show(a, s) == SHOW_BASE ? FACE_BASE : FACE_EDITED;
        if (!p->known)
            p->known = value_of(s, p, face, &p->was);
    }
}

/* ---- on the screen ---- */

int pins_rows(const struct app *a, int h)
{
    int most = h / ROWS_SHARE;
    return a->pins.n < most ? a->pins.n : most;
}

/* "p" of a token, the value of an element, the norm of more. */
static const char *kind_of(const struct pin *p)
{
    return p->token >= 0 ? "p" : p->want.kind == WANT_VALUES ? "value" : "norm";
}

static int draw_figure(struct canvas *c, struct rect r, int x, struct canvas_style st,
                       const char *what, bool there, double v, unsigned how)
{
    x += canvas_putf(c, r, x, 0, canvas_plain(CANVAS_DIM), "%s ", what);
    if (there)
        draw_number(c, r, x, 0, st, v, VALUE, 3, how);
    else
        canvas_put(c, r, x + VALUE - 1, 0, canvas_plain(CANVAS_DIM), "…");
    return x + VALUE + 1;
}

/* Its end where not all of it has room: index and token tell more than the hook's beginning. */
static void draw_name(const struct app *a, struct canvas *c, struct rect r, int x, int width,
                      const struct pin *p)
{
    struct bytes b = {0};
    pins_text(a, p, &b);
    const char *at = b.failed ? "" : b.data;
    bool cut = text_width(at, strlen(at), TEXT_PLAIN) > width;
    while (cut && *at && text_width(at, strlen(at), TEXT_PLAIN) > width - 1) {
        int32_t cp;
        at += text_decode(at, strlen(at), &cp);
    }
    x += cut ? canvas_put(c, r, x, 0, canvas_plain(0), "…") : 0;
    canvas_put_text(c, r, x, 0, canvas_plain(0), at, strlen(at), TEXT_PLAIN);
    bytes_free(&b);
}

static void draw_pin(const struct app *a, struct canvas *c, struct rect r, int number,
                     const struct pin *p)
{
    bool stale, wide = r.w >= SIDE_MIN_COLUMNS - 1;
    const struct snapshot *s = app_newest(a, &stale);
    struct canvas_style st = canvas_plain(stale ? CANVAS_DIM : 0);
    unsigned how = p->token >= 0 ? NUMBER_SMALL : 0;
    double base = 0, edited = 0;
    bool two = s && s->edited, on = two && app_show(a, s) != SHOW_BASE;
    int x = r.w - (two ? FIGURES_TWO : FIGURES) - (wide ? KIND : 0);
    canvas_putf(c, r, 0, 0, canvas_plain(CANVAS_BOLD), "pin %d", number);
    draw_name(a, c, r, 6, x - 7, p);
    if (wide) {
        canvas_put(c, r, x, 0, canvas_plain(CANVAS_DIM), kind_of(p));
        x += KIND;
    }
    if (!p->there) {
        canvas_put_text(c, r, x, 0, canvas_plain(CANVAS_DIM), p->why, strlen(p->why), TEXT_PLAIN);
        return;
    }
    bool has_base = value_of(s, p, FACE_BASE, &base),
         has_edited = value_of(s, p, FACE_EDITED, &edited);
    x = draw_figure(c, r, x, canvas_plain(0), "was", p->known, p->was, how);
    x = draw_figure(c, r, x, st, two ? compare_face(a, FACE_BASE) : "is", has_base, base, how);
    if (two)
        x = draw_figure(c, r, x, st, compare_face(a, FACE_EDITED), has_edited, edited, how);
    if (p->known && (on ? has_edited : has_base))
        draw_number(c, r, x, 0, st, (on ? edited : base) - p->was, VALUE + 1, 3, how | NUMBER_SIGN);
}

void pins_draw(const struct app *a, struct canvas *c, struct rect r)
{
    int first = a->pins.n - r.h > 0 ? a->pins.n - r.h : 0; /* the newest where not all have room */
    for (int i = 0; i < r.h && first + i < a->pins.n; i++)
        draw_pin(a, c, (struct rect){r.x + 1, r.y + i, r.w - 1, 1}, first + i + 1,
                 &a->pins.pin[first + i]);
}

void pins_say(const struct app *a, struct bytes *b)
{
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    for (int i = 0; i < a->pins.n; i++) {
        const struct pin *p = &a->pins.pin[i];
        unsigned how = p->token >= 0 ? NUMBER_SMALL : 0;
        double v;
        bytes_addf(b, "pin %d, %s of ", i + 1, kind_of(p));
        pins_text(a, p, b);
        if (p->known) {
            bytes_add_string(b, ": was ");
            say_number(b, p->was, 3, how);
        }
        for (int face = 0; face < FACE_COUNT; face++)
            if (value_of(s, p, (enum face)face, &v)) {
                bytes_addf(b, ", %s ", s->edited ? compare_face(a, face) : "is");
                say_number(b, v, 3, how);
            }
        if (!p->there)
            bytes_addf(b, ", %s", p->why);
        say_line(b);
    }
}
