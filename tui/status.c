/* status.c - the two rows above the views (see status.h). */
#include "status.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compare.h"
#include "draw.h"
#include "model/process.h"
#include "run/run.h"

/* ---- what it wants ---- */

static struct site_ref output_site(const struct app *a)
{
    return (struct site_ref){site_logits(&a->m->cfg), SITE_ROOT};
}

struct want app_pair_want(const struct app *a)
{
    struct want w = want_whole(WANT_LOGITS, output_site(a));
    w.id[0] = a->pair[0];
    w.id[1] = a->pair[1];
    return w;
}

struct want app_kl_want(const struct app *a)
{
    return want_whole(WANT_KL, output_site(a));
}

struct want app_nonfinite_want(const struct app *a)
{
    return want_whole(WANT_NONFINITE, a->m->cfg.headless ? run_lens_site(a->m, a->m->cfg.n_layers)
                                                         : output_site(a));
}

const struct lens_nonfinite *app_nonfinite(const struct app *a)
{
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    const struct want w = app_nonfinite_want(a);
    const struct lens_nonfinite *at = s ? snapshot_at(s,
                                                      app_show(a, s) == SHOW_BASE ? FACE_BASE
                                                                                  : FACE_EDITED,
                                                      &w, 0)
                                        : NULL;
    return at && at->found ? at : NULL;
}

/* ---- the first row ---- */

/* Its parts from left to right, and how early each is left out: 0 never. */
enum part {
    PART_PROGRAM,
    PART_NAME,
    PART_SHAPE,
    PART_EXPERTS,
    PART_DTYPE,
    PART_DEVICE,
    PART_BACKEND, /* instead of the device: "cpu" */
    PART_LOADING,
    PART_PROCESS,
    PART_EDITS,
    PART_NONFINITE,
    PART_KL,
    PART_PAIR,
    PART_CHANGE,
    PART_TIME,
    PART_SHARE,
    PART_COUNT
};
static const int leave_out[PART_COUNT] = {
    [PART_PROGRAM] = 11, [PART_DEVICE] = 10, [PART_EXPERTS] = 9, [PART_SHAPE] = 8,
    [PART_DTYPE] = 7,    [PART_CHANGE] = 6,  [PART_BACKEND] = 5, [PART_KL] = 4,
    [PART_EDITS] = 3,    [PART_PAIR] = 2,    [PART_PROCESS] = 1, [PART_NAME] = 1};

enum { NAME_MIN = 16 };

struct parts {
    struct bytes text[PART_COUNT];
    bool out[PART_COUNT];
};

static const void *figure(const struct snapshot *s, enum face face, const struct want *w)
{
    return s ? snapshot_at(s, face, w, 0) : NULL;
}

static void add_pair(const struct app *a, const struct snapshot *s, struct parts *p)
{
    struct bytes *b = &p->text[PART_PAIR];
    if (a->pair[0] < 0 || a->pair[1] < 0)
        return;
    bytes_addf(b, "%s(", draw_delta(a));
    draw_add_token(a, a->pair[0], b);
    bytes_add_string(b, " −");
    draw_add_token(a, a->pair[1], b);
    bytes_add_string(b, ") ");
    char n[NUMBER_BYTES];
    const struct want w = app_pair_want(a);
    const float *base = figure(s, FACE_BASE, &w), *edited = figure(s, FACE_EDITED, &w);
    double before = base ? (double)base[0] - (double)base[1] : 0,
           after = edited ? (double)edited[0] - (double)edited[1] : 0;
    bytes_add_string(b, base ? number_fit(n, before, 8, 2, NUMBER_SIGN | NUMBER_LEFT) : "…");
    if (base && edited) {
        bytes_addf(b, " → %s", number_fit(n, after, 8, 2, NUMBER_SIGN | NUMBER_LEFT));
        bytes_addf(&p->text[PART_CHANGE], " (%s)",
                   number_fit(n, after - before, 8, 2, NUMBER_SIGN | NUMBER_LEFT));
    } else if (s && s->edited) {
        bytes_add_string(b, " → …");
    }
}

/* Names of files can be longer than all the rest. */
static void add_clipped(struct bytes *b, const char *text, int columns)
{
    size_t n = strlen(text), all = n;
    while (n && text_width(text, n, TEXT_PLAIN) + (n < all) > columns)
        do
            n--;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80);
    text_add(b, text, n, TEXT_PLAIN);
    bytes_add_string(b, n < all ? "…" : "");
}

static void add_model(const struct app *a, struct parts *p)
{
    const struct config *cfg = &a->m->cfg;
    bool has_bos = a->n && cfg->bos_id >= 0 && a->tokens[0] == cfg->bos_id;
    bytes_add_string(&p->text[PART_PROGRAM], " borescope ");
    bytes_add_string(&p->text[PART_NAME], " ");
    add_clipped(&p->text[PART_NAME], a->m->name, a->w < 5 * NAME_MIN ? NAME_MIN : a->w / 5);
    if (compare_is_of_models(a)) {
        bytes_add_string(&p->text[PART_NAME], " | ");
        add_clipped(&p->text[PART_NAME], a->opt.against->name,
                    a->w < 5 * NAME_MIN ? NAME_MIN : a->w / 5);
    }
    bytes_addf(&p->text[PART_SHAPE], "  %d layers %d heads d %d", (int)cfg->n_layers,
               (int)cfg->n_heads, (int)cfg->d_model);
    if (cfg->n_moe)
        bytes_addf(&p->text[PART_EXPERTS], "  %d of %d experts", (int)cfg->n_active,
                   (int)cfg->n_experts);
    bytes_addf(&p->text[PART_DTYPE], "  %s", a->m->dtype);
    if (!a->opt.fixed) {
        bytes_addf(&p->text[PART_DEVICE], "  %s", a->device);
        bytes_addf(&p->text[PART_BACKEND], "  %.*s%s", (int)strcspn(a->device, " "), a->device,
                   strchr(a->device, ',') ? "…" : ""); /* of several devices the first */
    }
    char process[PROCESS_TEXT_MAX];
    bytes_addf(&p->text[PART_PROCESS], "  %s  %s",
               process_text(a->m->process, process, sizeof process),
               a->image  ? "image"
               : has_bos ? "BOS"
                         : "no BOS");
    int on = edit_list_count_in_force(&a->edits);
    if (on)
        bytes_addf(&p->text[PART_EDITS], "  %d edit%s", on, on == 1 ? "" : "s");
}

static void add_figures(const struct app *a, const struct snapshot *s, struct parts *p)
{
    char n[NUMBER_BYTES], name[LIMIT_NAME];
    const struct want kl = app_kl_want(a);
    const double *nats = figure(s, s && s->edited ? FACE_EDITED : FACE_BASE, &kl);
    if (!a->m->cfg.headless && !compare_is_on(a))
        bytes_addf(&p->text[PART_KL], "  KL %s",
                   nats ? number_fit(n, *nats, 8, 3, NUMBER_LEFT) : "…");
    bytes_add_string(&p->text[PART_PAIR], "  ");
    add_pair(a, s, p);
    if (s && s->loading)
        bytes_addf(&p->text[PART_LOADING], "  loading %d/%d", (int)s->loaded, (int)s->loading);
    const struct lens_nonfinite *bad = app_nonfinite(a);
    if (bad)
        bytes_addf(&p->text[PART_NONFINITE], " %s from %s on ", isnan(bad->value) ? "NaN" : "inf",
                   site_name(bad->site, name));
    if (s && !a->opt.fixed)
        bytes_addf(&p->text[PART_TIME], "  %s ms",
                   number_fit(n, (double)s->time_us / 1000, 8, 1, NUMBER_LEFT));
    if (s)
        bytes_addf(&p->text[PART_SHARE], "  %.0f %%", s->share * 100);
}

static int part_width(const struct parts *p, int i)
{
    return p->out[i] ? 0 : text_width(p->text[i].data, p->text[i].len, TEXT_PLAIN);
}

/* The part to leave out next, -1: all that is left stays. */
static int least(const struct parts *p)
{
    int at = -1;
    for (int i = 0; i < PART_COUNT; i++)
        if (leave_out[i] && part_width(p, i) > 0 && (at < 0 || leave_out[i] > leave_out[at]))
            at = i;
    return at;
}

static void fit(struct parts *p, int room)
{
    int width = 0;
    p->out[PART_BACKEND] = true;
    for (int i = 0; i < PART_COUNT; i++)
        width += part_width(p, i);
    for (int i = least(p); width > room && i >= 0; i = least(p)) {
        width -= part_width(p, i);
        p->out[i] = true;
        if (i != PART_DEVICE)
            continue;
        p->out[PART_BACKEND] = false;
        width += part_width(p, PART_BACKEND);
    }
}

static void draw_figures(const struct app *a, struct canvas *c)
{
    struct rect r = {0, 0, a->w, 1};
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    struct parts p = {0};
    add_model(a, &p);
    add_figures(a, s, &p);
    fit(&p, a->w - 2); /* a mark behind them: its place is kept, nothing moves */
    canvas_fill(c, r, canvas_plain(CANVAS_REVERSE), " ");
    int x = 0;
    for (int i = 0; i < PART_COUNT; i++) {
        struct canvas_style st = canvas_plain(CANVAS_REVERSE);
        if (i == PART_NONFINITE && p.text[i].len) { /* its own colour, and it says what it is */
            x++;
            st = canvas_style(color_text_over(COLORMAP_NAN), COLORMAP_NAN, CANVAS_BOLD);
        }
        st.attr |= stale && i > PART_EDITS ? CANVAS_DIM : 0;
        if (!p.out[i] && !p.text[i].failed)
            x += p.text[i].len ? canvas_put(c, r, x, 0, st, p.text[i].data) : 0;
        bytes_free(&p.text[i]);
    }
    if (stale)
        canvas_put(c, r, x, 0, canvas_plain(CANVAS_REVERSE | CANVAS_DIM), " …");
}

/* ---- the tabs ---- */

/* The first `named` views and the one on show have their names, others their key alone; without
 * room for any name two keys are not told either; less than 0: so many of the last ones neither. */
static int tab_text(const struct app *a, int v, int named, char buf[48])
{
    char digit[KEYMAP_SEQ_MAX * KEYS_NAME_MAX], command[48];
    snprintf(command, sizeof command, "view %s", view_names[v]);
    keymap_keys_of(a->opt.keymap, CTX_GRID, command, digit, sizeof digit);
    if (v == (int)a->cur.view)
        return snprintf(buf, 48, *digit ? "[%s %s]" : "[%s%s]", digit, view_names[v]);
    if (v >= VIEW_COUNT + (named < 0 ? named : 0))
        return buf[0] = 0;
    return v < named ? snprintf(buf, 48, *digit ? "%s %s" : "%s%s", digit, view_names[v])
                     : snprintf(buf, 48, "%s", named > 0 || !*digit || !digit[1] ? digit : "");
}

static int tabs_width(const struct app *a, int named)
{
    char buf[48];
    int x = 1;
    for (int v = 0; v < VIEW_COUNT; v++) {
        int width = tab_text(a, v, named, buf);
        x += width + (width > 0);
    }
    return x;
}

static void add_title(const struct app *a, struct bytes *b)
{
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    if (!a->m) /* it is being opened */
        return;
    app_view(a)->title(a, b);
    bytes_addf(b, "  b:%s", compare_face(a, s ? (int)app_show(a, s) : SHOW_BASE));
}

/* As many names as there is room for beside the title. */
static int tabs_named(const struct app *a)
{
    struct bytes title = {0};
    add_title(a, &title);
    int room = a->w - 2 - (title.failed ? 0 : text_width(title.data, title.len, TEXT_PLAIN)),
        named = VIEW_COUNT;
    bytes_free(&title);
    while (named > -VIEW_COUNT && tabs_width(a, named) > room)
        named--;
    return named;
}

void app_tab(const struct app *a, int view, int *x, int *width)
{
    char buf[48];
    int named = tabs_named(a);
    *x = 1;
    for (int v = 0; v < view; v++) {
        int before = tab_text(a, v, named, buf);
        *x += before + (before > 0);
    }
    *width = tab_text(a, view, named, buf);
}

static void draw_tabs(const struct app *a, struct canvas *c)
{
    struct rect r = {0, 1, a->w, 1};
    struct bytes b = {0};
    int named = tabs_named(a), x = 1;
    for (int v = 0; v < VIEW_COUNT; v++) {
        char buf[48];
        int width = tab_text(a, v, named, buf);
        canvas_put(c, r, x, 0, canvas_plain(v == (int)a->cur.view ? CANVAS_BOLD : 0), buf);
        x += width + (width > 0);
    }
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    add_title(a, &b);
    if (s && s->changed) {
        canvas_fill(c, r, canvas_plain(CANVAS_BOLD | CANVAS_REVERSE), " ");
        canvas_put(
            c, r, 1, 0, canvas_plain(CANVAS_BOLD | CANVAS_REVERSE),
            "model file changed · no figure on this screen can be trusted · quit and open it again");
    } else if (b.len && !b.failed) {
        int at = a->w - text_width(b.data, b.len, TEXT_PLAIN) - 1;
        canvas_put(c, r, at > x ? at : x, 0, canvas_plain(0), b.data);
    }
    bytes_free(&b);
}

void status_draw_opening(const struct app *a, const char *name, struct canvas *c)
{
    struct rect r = {0, 0, a->w, 1};
    struct bytes b = {0};
    bytes_add_string(&b, " borescope  ");
    add_clipped(&b, name, a->w < 5 * NAME_MIN ? NAME_MIN : a->w / 5);
    bytes_add_string(&b, "  opening …");
    canvas_fill(c, r, canvas_plain(CANVAS_REVERSE), " ");
    if (!b.failed)
        canvas_put(c, r, 0, 0, canvas_plain(CANVAS_REVERSE), b.data);
    bytes_free(&b);
    draw_tabs(a, c);
}

void status_draw(const struct app *a, struct canvas *c)
{
    draw_figures(a, c);
    draw_tabs(a, c);
}
