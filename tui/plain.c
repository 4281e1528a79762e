/* plain.c - the explorer as linear text (see plain.h). */
#include "plain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lesson/lesson_play.h"
#include "model/process.h"
#include "run/run.h"
#include "compare.h"
#include "say.h"

enum { BEST = 3, SETTLE_MAX = 400, COLUMNS = 100, ROWS = 40 };

/* What is true now, a sentence or several lines each: said again when it is another one. */
enum fact {
    FACT_MODEL,
    FACT_PROMPT,
    FACT_EDITS,
    FACT_ANSWER,
    FACT_PAIR,
    FACT_KL,
    FACT_NONFINITE,
    FACT_PINS,
    FACT_COST,
    FACT_VIEW,
    FACT_HERE,
    FACT_LESSON,
    FACT_COUNT
};

struct plain {
    struct app *a;
    struct session *s;
    const struct plain_options *o;
    struct bytes said[FACT_COUNT];
    bool quit;
};

/* ---- facts ---- */

static void fact_model(const struct app *a, struct bytes *b)
{
    const struct config *c = &a->m->cfg;
    char process[PROCESS_TEXT_MAX];
    bytes_addf(b, "model %s, %d layers, %d heads, width %d, %s, %s weights\n", a->m->name,
               (int)c->n_layers, (int)c->n_heads, (int)c->d_model, a->m->dtype,
               process_text(a->m->process, process, sizeof process));
}

static void fact_prompt(const struct app *a, struct bytes *b)
{
    bytes_addf(b, "prompt, %d position%s: ", (int)a->n, a->n == 1 ? "" : "s");
    text_add(b, a->prompt, strlen(a->prompt), TEXT_PLAIN);
    say_line(b);
}

static void fact_edits(const struct app *a, struct bytes *b)
{
    if (!a->edits.n)
        bytes_add_string(b, "no edits\n");
    for (int i = 0; i < a->edits.n; i++)
        bytes_addf(b, "edit %d, %s: %s\n", i + 1,
                   a->edits.why[i]  ? "out of force"
                   : a->edits.on[i] ? "on"
                                    : "off",
                   a->edits.text[i]);
}

static struct want best_want(const struct app *a)
{
    int32_t row = model_answer_row(a->m, a->tokens, a->n), vocab = a->m->cfg.d_vocab;
    struct want w = want_make(WANT_BEST, run_lens_site(a->m, a->m->cfg.n_layers), row, row + 1);
    w.k = BEST < vocab ? BEST : vocab;
    return w;
}

static struct want cell_want(const struct app *a)
{
    struct want w = best_want(a);
    w.kind = WANT_CELL;
    w.k = 0;
    return w;
}

static void add_best(const struct app *a, struct bytes *b, enum face face)
{
    struct want w = best_want(a), c = cell_want(a);
    const struct want_best *best = snapshot_at(a->snap, face, &w, w.row0);
    const struct want_cell *cell = snapshot_at(a->snap, face, &c, c.row0);
    for (int i = 0; best && cell && i < w.k; i++) {
        bytes_add_string(b, i ? ", " : " ");
        say_token(a, b, best[i].id);
        bytes_add_char(b, ' ');
        say_number(b, exp((double)best[i].logit - (double)cell->cell.lse), 3, NUMBER_SMALL);
    }
}

static void fact_answer(const struct app *a, struct bytes *b)
{
    if (a->m->cfg.headless)
        return;
    bytes_addf(b, "answer at position %d%s:", (int)model_answer_row(a->m, a->tokens, a->n),
               a->snap->edited && compare_is_on(a) ? " in B" : "");
    add_best(a, b, a->snap->edited ? FACE_EDITED : FACE_BASE);
    say_line(b);
    if (a->snap->edited) {
        bytes_add_string(b, compare_is_on(a) ? "in A:" : "without the edits:");
        add_best(a, b, FACE_BASE);
        say_line(b);
    }
}

static void fact_pair(const struct app *a, struct bytes *b)
{
    const struct want w = app_pair_want(a);
    const float *base = snapshot_at(a->snap, FACE_BASE, &w, 0),
                *edited = snapshot_at(a->snap, FACE_EDITED, &w, 0);
    if (!base || a->pair[0] < 0 || a->pair[1] < 0)
        return;
    double before = (double)base[0] - (double)base[1];
    bytes_add_string(b, "logit difference ");
    say_token(a, b, a->pair[0]);
    bytes_add_string(b, " minus ");
    say_token(a, b, a->pair[1]);
    bytes_add_string(b, ": ");
    say_number(b, before, 2, NUMBER_SIGN);
    if (edited) {
        double after = (double)edited[0] - (double)edited[1];
        bytes_add_string(b, compare_is_on(a) ? ", in B " : ", with the edits ");
        say_number(b, after, 2, NUMBER_SIGN);
        bytes_add_string(b, ", change ");
        say_number(b, after - before, 2, NUMBER_SIGN);
    }
    say_line(b);
}

static void fact_kl(const struct app *a, struct bytes *b)
{
    const struct want w = app_kl_want(a);
    const double *nats = snapshot_at(a->snap, FACE_EDITED, &w, 0);
    if (!nats)
        return;
    bytes_add_string(b, "divergence from the base run: ");
    say_number(b, *nats, 3, NUMBER_SMALL);
    bytes_add_string(b, " nats\n");
}

static void fact_nonfinite(const struct app *a, struct bytes *b)
{
    const struct lens_nonfinite *at = app_nonfinite(a);
    char name[LIMIT_NAME];
    if (at)
        bytes_addf(b, "warning: %s from %s on, the command nonfinite goes there\n",
                   isnan(at->value) ? "NaN" : "infinity", site_name(at->site, name));
}

static void fact_cost(const struct app *a, struct bytes *b)
{
    bytes_addf(b, "computed %.0f percent", a->snap->share * 100);
    if (!a->opt.fixed)
        bytes_addf(b, " in %.1f ms", (double)a->snap->time_us / 1000);
    say_line(b);
}

static void fact_view(const struct app *a, struct bytes *b)
{
    bytes_addf(b, "view %s: ", view_names[a->cur.view]);
    app_view(a)->title(a, b);
    bytes_addf(b, ", face %s\n", compare_face(a, (int)app_show(a, a->snap)));
}

static void fact_here(const struct app *a, struct bytes *b)
{
    app_view(a)->say(a, b);
}

static void (*const facts[FACT_COUNT])(const struct app *, struct bytes *) = {
    [FACT_MODEL] = fact_model,         [FACT_PROMPT] = fact_prompt, [FACT_EDITS] = fact_edits,
    [FACT_ANSWER] = fact_answer,       [FACT_PAIR] = fact_pair,     [FACT_KL] = fact_kl,
    [FACT_NONFINITE] = fact_nonfinite, [FACT_COST] = fact_cost,     [FACT_VIEW] = fact_view,
    [FACT_HERE] = fact_here,           [FACT_LESSON] = lesson_say,  [FACT_PINS] = pins_say};

/* ---- speaking ---- */

static void print_lines(const struct plain *p, const char *text, size_t len)
{
    unsigned flags = p->o->ascii ? TEXT_PLAIN | TEXT_ASCII | TEXT_OWN : TEXT_PLAIN;
    struct bytes b = {0};
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - text) - at : len - at;
        text_add(&b, text + at, n, flags);
        bytes_add_char(&b, '\n');
        at += n + 1;
    }
    if (b.len > 0 && !b.failed)
        fwrite(b.data, 1, b.len, p->o->out);
    bytes_free(&b);
}

static size_t line_end(const struct bytes *b, size_t at)
{
    const char *end = memchr(b->data + at, '\n', b->len - at);
    return end ? (size_t)(end - b->data) + 1 : b->len;
}

static bool has_line(const struct bytes *b, const char *line, size_t len)
{
    for (size_t at = 0, end; at < b->len; at = end) {
        end = line_end(b, at);
        if (end - at == len && memcmp(b->data + at, line, len) == 0)
            return true;
    }
    return false;
}

/* Of the same place, the lines that are not as they were; of another, all. */
static void print_new_lines(const struct plain *p, const struct bytes *now, const struct bytes *was)
{
    bool same_place = was->len && has_line(was, now->data, line_end(now, 0)) &&
                      line_end(now, 0) == line_end(was, 0);
    for (size_t at = 0, end; at < now->len; at = end) {
        end = line_end(now, at);
        if (!same_place || !has_line(was, now->data + at, end - at))
            print_lines(p, now->data + at, end - at);
    }
}

/* The facts that are others than those that were said last. */
static void say_changes(struct plain *p, bool reran)
{
    for (int i = 0; i < FACT_COUNT; i++) {
        struct bytes now = {0};
        facts[i](p->a, &now);
        bool same = now.len == p->said[i].len &&
                    (!now.len || memcmp(now.data, p->said[i].data, now.len) == 0);
        if (!now.failed && now.len && (i == FACT_COST ? reran : !same)) {
            if (i == FACT_HERE)
                print_new_lines(p, &now, &p->said[i]);
            else
                print_lines(p, now.data, now.len);
        }
        bytes_free(&p->said[i]);
        p->said[i] = now;
    }
}

/* What a popup would hold, and the message. */
static void say_message(const struct plain *p)
{
    struct bytes b = {0};
    for (const char *s = p->a->notice ? p->a->notice : ""; *s; s += *s == '\n') {
        size_t n = strcspn(s, "\n");
        bytes_addf(&b, "warning: %.*s\n", (int)n, s);
        s += n;
    }
    free(p->a->notice);
    p->a->notice = NULL;
    print_lines(p, b.data, b.failed ? 0 : b.len);
    bytes_clear(&b);
    if (p->a->message[0]) {
        bytes_addf(&b, "%s%s", p->a->message_bad ? "error: " : "", p->a->message);
        print_lines(p, b.data, b.failed ? 0 : b.len);
    }
    bytes_free(&b);
}

static int settle(struct plain *p, struct err *e)
{
    for (int i = 0; i < SETTLE_MAX; i++) {
        struct session_want w;
        app_want(p->a, &w);
        if (!p->a->m->cfg.headless) {
            want_add(&p->a->wants, best_want(p->a));
            want_add(&p->a->wants, cell_want(p->a));
        }
        w.wants = p->a->wants.item;
        w.n_wants = p->a->wants.n;
        beside_ask(p->a, &w);          /* of the other prompt or model too */
        bool pair = p->a->pair_wanted; /* what it brings is asked about anew */
        app_asked(p->a, session_request(p->s, &w));
        const struct snapshot *snap = session_wait(p->s, p->a->generation);
        if (!snap)
            return err_set(e, ERR_SYSTEM, "out of memory");
        if (snap->err.code < 0 && !p->a->snap) {
            *e = snap->err;
            snapshot_release(snap);
            return e->code;
        }
        app_take(p->a, snap);
        if (!pair && app_is_settled(p->a))
            break;
    }
    return 0;
}

/* ---- listening ---- */

static void say_help(const struct plain *p, const char *filter)
{
    struct bytes b = {0};
    bytes_add_string(&b, "a line is a command, or a key such as x or <C-r>\n");
    for (int i = 0; i < ACTION_COUNT; i++) {
        const struct action *x = &action_table[i];
        if (!(x->where & (1u << p->a->cur.view)) ||
            (*filter && !strcasestr(x->name, filter) && !strcasestr(x->help, filter)))
            continue;
        bytes_addf(&b, "%s%s%s: %s\n", x->name, *x->usage ? " " : "", x->usage, x->help);
    }
    print_lines(p, b.data, b.failed ? 0 : b.len);
    bytes_free(&b);
}

/* One key as key maps write it; false if the line is none: a word that is no command should not run
 * as the keys that it has. */
static bool press(struct plain *p, const char *line)
{
    struct input in = {.kind = INPUT_KEY};
    if (!keys_read_name(&line, &in.key) || *line)
        return false;
    p->quit = app_input(p->a, &in) & REACT_QUIT;
    return true;
}

static void obey(struct plain *p, const char *line)
{
    struct app *a = p->a;
    const char *args;
    bool key = line[0] && !line[1]; /* e is the key, not what `:e` is short for */
    enum action_id id = key ? ACTION_COUNT : action_find(line, &args);
    a->message[0] = 0;
    a->message_bad = false;
    if (a->mode != LINE_NONE) { /* what a key opened: this is its text */
        line_set(&a->line, line, strlen(line));
        app_line_changed(a);
        p->quit = app_line_accept(a) & REACT_QUIT;
    } else if (id == ACTION_HELP || strcmp(line, "?") == 0) {
        say_help(p, id == ACTION_HELP ? args : "");
    } else if (id != ACTION_COUNT) {
        p->quit = app_command(a, line) & REACT_QUIT;
    } else if (!press(p, line)) {
        app_complain(a, "no command and no key: \"%.60s\" · help lists the commands", line);
    }
    if (a->mode == LINE_HELP) {
        app_line_cancel(a);
        say_help(p, "");
    } else if (a->mode != LINE_NONE) {
        struct bytes b = {0};
        bytes_addf(&b, "the next line replaces: %s", line_text(&a->line));
        print_lines(p, b.data, b.failed ? 0 : b.len);
        bytes_free(&b);
    }
}

int plain_main(struct app *a, struct session *s, const struct plain_options *o, struct err *e)
{
    struct plain p = {.a = a, .s = s, .o = o};
    char *line = NULL;
    size_t size = 0;
    if (a->mode == LINE_PROMPT) /* nothing to type over: a prompt is a command here */
        app_line_cancel(a);
    app_resize(a, COLUMNS, ROWS);
    int r = settle(&p, e);
    if (r == 0) {
        say_message(&p);
        say_changes(&p, false);
    }
    if (r == 0 && o->ask)
        fputs("type a command; help lists them, quit leaves\n", o->out);
    while (r == 0 && o->in && !p.quit) {
        if (o->ask)
            fputs("> ", o->out);
        fflush(o->out);
        ssize_t n = getline(&line, &size, o->in);
        if (n < 0)
            break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = 0;
        uint64_t before = a->values_generation;
        bool heard = n > 0 || a->mode != LINE_NONE; /* an empty answer is one */
        if (heard)
            obey(&p, line);
        r = p.quit ? 0 : settle(&p, e);
        if (r == 0 && !p.quit && heard) {
            say_message(&p);
            say_changes(&p, a->values_generation != before);
        }
    }
    if (r == 0 && (fflush(o->out) || ferror(o->out)))
        r = err_set(e, ERR_SYSTEM, "cannot write the text");
    free(line);
    for (int i = 0; i < FACT_COUNT; i++)
        bytes_free(&p.said[i]);
    return r;
}
