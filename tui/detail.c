/* detail.c - one lens cell in full (see detail.h). */
#include "detail.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"
#include "spark.h"

void detail_name(const struct app *a, char buf[LIMIT_NAME + 24])
{
    char name[LIMIT_NAME];
    snprintf(buf, LIMIT_NAME + 24, "%s[%d]", site_name(run_lens_site(a->m, a->cur.column), name),
             (int)a->cur.row);
}

void detail_want(const struct app *a, struct session_want *w, int k)
{
    w->cell_column = a->cur.column;
    w->cell_row = a->cur.row;
    w->cell_k = k > LENS_TOP_MAX ? LENS_TOP_MAX : k < 2 ? 2 : k;
}

static void draw_figures(struct app *a, struct canvas *c, struct rect r, const struct snapshot *s,
                         enum show show)
{
    const struct snapshot_face *f = &s->face[show == SHOW_BASE ? FACE_BASE : FACE_EDITED];
    char n[3][NUMBER_BYTES];
    canvas_putf(c, r, 1, 1, canvas_plain(0), "norm %s   +attn %s   +mlp %s",
                number_fit(n[0], (double)f->detail_norm, 6, 1, NUMBER_LEFT),
                number_fit(n[1], (double)f->detail_attn, 6, 1, NUMBER_LEFT),
                number_fit(n[2], (double)f->detail_mlp, 6, 1, NUMBER_LEFT));
    int x = 1 + canvas_putf(c, r, 1, 2, canvas_plain(0), "entropy %s",
                            number_fit(n[0], (double)f->detail.entropy, 6, 2, NUMBER_LEFT));
    if (s->target < 0)
        return;
    struct bytes b = {0};
    bytes_add_string(&b, "   rank of \"");
    draw_add_token(a, s->target, &b);
    bytes_addf(&b, "\" %d", (int)f->detail.target_rank + 1);
    if (!b.failed)
        canvas_put_text(c, r, x, 2, canvas_plain(0), b.data, b.len, TEXT_PLAIN);
    bytes_free(&b);
}

static void draw_top_one(struct app *a, struct canvas *c, struct rect r,
                         const struct snapshot_face *f, int k)
{
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD), "top");
    canvas_put(c, r, 20, 0, canvas_plain(CANVAS_BOLD), "   p     logit");
    for (int i = 0; i < k && i + 1 < r.h; i++) {
        char n[NUMBER_BYTES];
        const struct lens_top *t = &f->detail_top[i];
        canvas_putf(c, r, 0, i + 1, canvas_plain(0), "%3d", i + 1);
        draw_token(a, c, r, 4, i + 1, canvas_plain(0), t->id, 15);
        canvas_putf(c, r, 20, i + 1, canvas_plain(0), "%5.3f",
                    exp((double)t->logit - (double)f->detail.lse));
        canvas_put(c, r, 26, i + 1, canvas_plain(0), number_fit(n, (double)t->logit, 8, 2, 0));
    }
}

/* Base, edited and difference beside each other: the edited face's best tokens, or the base's. */
static void draw_top_both(struct app *a, struct canvas *c, struct rect r, const struct snapshot *s)
{
    const struct snapshot_face *base = &s->face[FACE_BASE], *edited = &s->face[FACE_EDITED];
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD), "p of");
    canvas_put(c, r, 18, 0, canvas_plain(CANVAS_BOLD), " base edited   diff");
    int row = 1;
    for (int i = 0; i < 2 * s->detail_k && row < r.h; i++) {
        const struct snapshot_face *from = i % 2 ? edited : base; /* the best of both, in turn */
        int32_t id = from->detail_top[i / 2].id;
        bool seen = false;
        for (int j = 0; j < i && !seen; j++)
            seen = (j % 2 ? edited : base)->detail_top[j / 2].id == id;
        if (seen)
            continue;
        float logit = from->detail_top[i / 2].logit,
              other = (i % 2 ? base : edited)->detail_cross[i / 2];
        double pb = exp((double)(i % 2 ? other : logit) - (double)base->detail.lse);
        double pe = exp((double)(i % 2 ? logit : other) - (double)edited->detail.lse);
        char n[3][NUMBER_BYTES];
        draw_token(a, c, r, 1, row, canvas_plain(0), id, 16);
        canvas_put(c, r, 18, row, canvas_plain(0), number_fit(n[0], pb, 5, 3, 0));
        canvas_put(c, r, 24, row, canvas_plain(0), number_fit(n[1], pe, 6, 3, 0));
        canvas_put(c, r, 31, row, canvas_plain(0), number_fit(n[2], pe - pb, 6, 3, NUMBER_SIGN));
        row++;
    }
}

static void draw_through(struct app *a, struct canvas *c, struct rect r, const struct snapshot *s,
                         enum show show)
{
    int n = s->n_columns;
    float *v = calloc((size_t)n, sizeof *v);
    if (!v || s->target < 0) {
        free(v);
        return;
    }
    for (int i = 0; i < n; i++)
        v[i] = show_value(show, s->face[FACE_BASE].detail_columns[i].target_logit,
                          s->face[FACE_EDITED].detail_columns
                              ? s->face[FACE_EDITED].detail_columns[i].target_logit
                              : 0);
    struct bytes b = {0};
    bytes_add_string(&b, "\"");
    draw_add_token(a, s->target, &b);
    bytes_add_string(&b, "\" through the layers  ");
    int x = 1;
    if (!b.failed)
        x += canvas_put_text(c, r, 1, 0, canvas_plain(0), b.data, b.len, TEXT_PLAIN);
    bytes_free(&b);
    spark_put(c, r, x, 0, canvas_plain(0), v, (size_t)n, scale_fit(SCALE_LINEAR, v, (size_t)n));
    x = 1;
    for (int i = 0; i < n && x + 6 < r.w - 8; i++) {
        char num[NUMBER_BYTES];
        x += canvas_putf(
            c, r, x, 1, canvas_plain(i == a->cur.column ? CANVAS_BOLD : 0), "%s ",
            number_fit(num, (double)v[i], 5, 1, show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0));
    }
    canvas_put(c, r, x + 1, 1, canvas_plain(0), "(logit)");
    free(v);
}

void detail_draw(struct app *a, struct frame *f, struct rect r)
{
    struct canvas *c = f->canvas;
    char name[LIMIT_NAME + 24];
    detail_name(a, name);
    int x = canvas_put(c, r, 0, 0, canvas_plain(CANVAS_BOLD), name) + 2;
    x = x < 26 ? 26 : x;
    x += canvas_putf(c, r, x, 0, canvas_plain(0), "%d \"", (int)a->cur.row);
    size_t len;
    const char *text = tokenizer_text(a->m->tok, a->tokens[a->cur.row], &len);
    x += canvas_put_text(c, r, x, 0, canvas_plain(0), text, len, TEXT_TOKEN);
    canvas_put(c, r, x, 0, canvas_plain(0), "\"");
    bool stale;
    const struct snapshot *s = app_part(a, PART_DETAIL, &stale);
    if (!s) {
        canvas_put(c, r, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    stale = stale || s->cell_column != a->cur.column || s->cell_row != a->cur.row;
    enum show show = app_show(a, s);
    draw_figures(a, c, r, s, show);
    struct rect rest = r;
    rect_cut_top(&rest, 4);
    struct rect bottom = rect_cut_bottom(&rest,
                                         a->edits.n ? (a->edits.n < 6 ? a->edits.n : 6) + 1 : 0);
    struct rect through = rect_cut_bottom(&rest, 3);
    if (rest.h > s->detail_k + 1) { /* keep it together */
        through.y = rest.y + s->detail_k + 2;
        rest.h = s->detail_k + 1;
    }
    if (show == SHOW_BASE)
        draw_top_one(a, c, rest, &s->face[FACE_BASE], s->detail_k);
    else
        draw_top_both(a, c, rest, s);
    draw_through(a, c, through, s, show);
    if (stale)
        canvas_restyle(c, (struct rect){r.x, r.y + 1, r.w, r.h - 1}, canvas_plain(CANVAS_DIM));
    if (a->edits.n) {
        canvas_put(c, bottom, 1, 0, canvas_plain(CANVAS_BOLD), "edits");
        rect_cut_top(&bottom, 1);
        draw_edits(a, c, bottom);
    }
}
