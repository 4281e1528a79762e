/* lesson_draw.c - the text of a lesson, in rows of its own below the view (see lesson_play.h). */
#include <stdio.h>
#include <string.h>

#include "lesson/lesson.h"
#include "lesson/lesson_play.h"

enum { MARGIN = 1, TEXT_COLUMNS_MAX = 110, ROOMY_ROWS = 30 };

/* ---- wrapping ---- */

/* Where text goes: into a canvas, or nowhere, to be measured. */
struct flow {
    struct canvas *c; /* NULL: measure */
    struct rect r;
    int x, y;
};

/* Words from `s`, each whole on a line where it fits one; newlines end paragraphs. */
static void flow_text(struct flow *f, const char *s, struct canvas_style st)
{
    while (*s) {
        if (*s == '\n') {
            f->x = 0;
            f->y++;
            s++;
            continue;
        }
        size_t blanks = strspn(s, " "), n = strcspn(s + blanks, " \n");
        int width = text_width(s + blanks, n, TEXT_PLAIN);
        int gap = f->x ? (int)blanks : 0;
        if (f->x && f->x + gap + width > f->r.w) {
            f->x = gap = 0;
            f->y++;
        }
        if (f->c && n && f->y < f->r.h)
            canvas_put_text(f->c, f->r, f->x + gap, f->y, st, s + blanks, n, TEXT_OWN);
        f->x += gap + width;
        s += blanks + n;
    }
}

static void flow_line(struct flow *f, const char *mark, const char *s, struct canvas_style st)
{
    if (f->x) {
        f->x = 0;
        f->y++;
    }
    flow_text(f, mark, st);
    flow_text(f, s, st);
}

/* ---- text with figures ---- */

struct filling {
    const struct app *a;
    struct bytes *out;
};

static void fill_each(void *to, const char *text, size_t n, const struct fact *f)
{
    struct filling *x = to;
    if (f)
        fact_add(x->a, f, x->out);
    else
        bytes_add(x->out, text, n);
}

static const char *filled(const struct app *a, const char *text, struct bytes *out)
{
    char why[160];
    struct filling x = {a, out};
    bytes_clear(out);
    if (text)
        lesson_text(text, fill_each, &x, why);
    return out->failed || !out->data ? "" : out->data;
}

/* What is said of the answer: the lesson's own words, else these. */
static void add_verdict(const struct app *a, const struct lesson_view *v, struct bytes *own,
                        struct flow *f)
{
    const struct lesson_step *s = v->step;
    struct canvas_style bold = canvas_plain(CANVAS_BOLD), plain = canvas_plain(0);
    struct bytes answer = {0};
    if (s->ask)
        fact_add(a, &s->answer, &answer);
    const char *known = answer.data && !answer.failed ? answer.data : "";
    if (v->state == LESSON_DONE) {
        flow_line(f, "✓ ", "", bold);
        flow_text(f, s->right ? filled(a, s->right, own) : s->ask ? known : "done", plain);
    } else if (v->state == LESSON_MISSED) {
        flow_line(f, "✗ ", "", bold);
        flow_text(f, s->wrong ? filled(a, s->wrong, own) : s->ask ? "no" : "not yet", plain);
        flow_text(f,
                  s->ask     ? " · an empty answer shows it"
                  : s->solve ? " · n shows how"
                             : "",
                  canvas_plain(CANVAS_DIM));
    } else if (v->state == LESSON_SHOWN) {
        flow_line(f, "→ ", s->ask ? known : s->solve ? s->solve : "", bold);
        flow_text(f, s->right ? "  " : "", plain);
        flow_text(f, filled(a, s->right, own), plain);
    }
    bytes_free(&answer);
}

static void flow_step(const struct app *a, const struct lesson_view *v, struct flow *f)
{
    const struct lesson_step *s = v->step;
    struct bytes text = {0};
    flow_text(f, filled(a, s->say, &text), canvas_plain(0));
    if (s->ask || s->attempt)
        flow_line(f, s->ask ? "? " : "▶ ", s->ask ? s->ask : s->attempt, canvas_plain(CANVAS_BOLD));
    add_verdict(a, v, &text, f);
    bytes_free(&text);
}

/* ---- rows ---- */

static int text_columns(int w)
{
    int columns = w - 2 * MARGIN;
    return columns > TEXT_COLUMNS_MAX ? TEXT_COLUMNS_MAX : columns < 1 ? 1 : columns;
}

static int step_rows(const struct app *a, const struct lesson *l, int i, int w)
{
    static const enum lesson_state states[] = {LESSON_MISSED, LESSON_DONE, LESSON_SHOWN};
    int most = 0;
    for (size_t k = 0; k < sizeof states / sizeof *states; k++) {
        struct lesson_view v = {l, &l->step[i], i, states[k], false};
        struct flow f = {.r = {0, 0, text_columns(w), 0}};
        flow_step(a, &v, &f);
        most = f.y + (f.x > 0) > most ? f.y + (f.x > 0) : most;
        if (!v.step->ask && !v.step->attempt)
            break;
    }
    return most;
}

int lesson_rows(const struct app *a, int w, int h)
{
    struct lesson_view v;
    if (!lesson_see(a, &v) || h < 4)
        return 0;
    if (v.out)
        return 1;
    int rows = 0;
    /* The same for all steps, so that nothing moves on its own; where rows are dear, this one's. */
    for (int i = h < ROOMY_ROWS ? v.at : 0; i < (h < ROOMY_ROWS ? v.at + 1 : v.l->n); i++) {
        int r = step_rows(a, v.l, i, w);
        rows = r > rows ? r : rows;
    }
    rows++;
    return rows > h * 3 / 5 ? h * 3 / 5 : rows;
}

static void add_key(const struct app *a, unsigned where, const char *command, const char *word,
                    struct bytes *out)
{
    char keys[KEYMAP_SEQ_MAX * KEYS_NAME_MAX];
    keymap_keys_of(a->opt.keymap, where, command, keys, sizeof keys);
    if (*keys)
        bytes_addf(out, "%s %s  ", keys, word);
    else
        bytes_addf(out, ":%s %s  ", command, word);
}

/* The rule above the text: which lesson, which step, and the keys. */
static void draw_rule(const struct app *a, const struct lesson_view *v, struct canvas *c,
                      struct rect r)
{
    struct bytes keys = {0}, head = {0};
    bool false_claim = false;
    for (int i = 0; i < v->step->n_claims && !v->out; i++)
        false_claim |= v->state == LESSON_TOLD && lesson_holds(a, &v->step->claim[i]) == 0;
    if (v->out) {
        add_key(a, 1u << a->cur.view, "lesson again", "comes back", &keys);
        add_key(a, 1u << a->cur.view, "lesson leave", "ends it", &keys);
    } else {
        add_key(a, CTX_LESSON, "lesson next",
                v->step->ask && v->state != LESSON_DONE ? "answer" : "next", &keys);
        add_key(a, CTX_LESSON, "lesson back", "back", &keys);
        add_key(a, CTX_LESSON, "lesson again", "again", &keys);
        add_key(a, CTX_LESSON, "lesson leave", "out", &keys);
    }
    bytes_addf(&head, "─── %d/%d %s%s ", v->at + 1, v->l->n, v->step->title,
               v->out        ? " (left)"
               : false_claim ? " (not true of what is on show)"
                             : "");
    canvas_fill(c, (struct rect){r.x, r.y, r.w, 1}, canvas_plain(CANVAS_DIM), "─");
    int width = keys.failed ? 0 : text_width(keys.data, keys.len, TEXT_PLAIN) + 1;
    if (!head.failed)
        canvas_put_text(c, r, 0, 0, canvas_plain(CANVAS_BOLD), head.data, head.len, TEXT_OWN);
    if (!keys.failed && width < r.w / 2 + 12) {
        canvas_put(c, r, r.w - width - 1, 0, canvas_plain(0), " ");
        canvas_put_text(c, r, r.w - width, 0, canvas_plain(0), keys.data, keys.len, TEXT_OWN);
    }
    bytes_free(&keys);
    bytes_free(&head);
}

void lesson_draw(const struct app *a, struct canvas *c, struct rect r)
{
    struct lesson_view v;
    if (!lesson_see(a, &v) || rect_is_empty(r))
        return;
    canvas_fill(c, r, canvas_plain(0), " ");
    draw_rule(a, &v, c, rect_cut_top(&r, 1));
    struct flow f = {.c = c, .r = {r.x + MARGIN, r.y, text_columns(r.w), r.h}};
    if (!v.out)
        flow_step(a, &v, &f);
}

void lesson_say(const struct app *a, struct bytes *out)
{
    struct lesson_view v;
    struct bytes text = {0};
    if (!lesson_see(a, &v))
        return;
    const struct lesson_step *s = v.step;
    bytes_addf(out, "lesson, step %d of %d%s: %s\n", v.at + 1, v.l->n, v.out ? ", left" : "",
               s->title);
    if (!v.out && v.state == LESSON_TOLD)
        bytes_addf(out, "%s\n", filled(a, s->say, &text));
    if (!v.out && v.state == LESSON_TOLD && (s->ask || s->attempt))
        bytes_addf(out, "%s: %s\n", s->ask ? "question" : "task", s->ask ? s->ask : s->attempt);
    if (v.state == LESSON_MISSED)
        bytes_addf(out, "not so: %s\n", s->wrong ? filled(a, s->wrong, &text) : "again");
    if (v.state == LESSON_SHOWN && s->ask) {
        bytes_add_string(out, "the answer: ");
        fact_add(a, &s->answer, out);
        bytes_add_char(out, '\n');
    }
    if (v.state >= LESSON_DONE)
        bytes_addf(out, "%s%s\n", v.state == LESSON_DONE ? "right: " : "",
                   s->right ? filled(a, s->right, &text) : "done");
    bytes_add_string(out, v.out ? "lesson again comes back\n" : "n goes on\n");
    bytes_free(&text);
}
