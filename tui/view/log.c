/* log.c - the commands that ran, the newest last. */
#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "keybar.h"
#include "save/figure.h"
#include "say.h"

static void log_layout(struct app *a, struct rect body)
{
    int32_t n = a->log.n > 0 ? a->log.n : 1;
    if (a->log.n != a->log_seen) /* what is new is seen */
        a->cur.log = n - 1;
    a->log_seen = a->log.n;
    a->cur.log = draw_clamp(a->cur.log, n);
    a->page = body.h > 3 ? body.h - 3 : 1;
    a->log_top = draw_scroll(a->log_top, a->cur.log, a->log.n, a->page);
    a->rows_y = body.y + 1;
}

static void log_want(const struct app *a, struct want_list *l)
{
    (void)a;
    (void)l; /* status line alone */
}

static void log_draw(struct app *a, struct frame *f, struct rect body)
{
    struct canvas *c = f->canvas;
    canvas_put(c, body, 3, 0, canvas_plain(CANVAS_DIM), "  no  command");
    if (!a->log.n)
        canvas_put(c, body, 3, 2, canvas_plain(0), "nothing ran yet");
    for (int y = 0; y < a->page && a->log_top + y < a->log.n; y++) {
        int i = a->log_top + y;
        bool on = i == a->cur.log;
        struct canvas_style st = canvas_plain(on ? CANVAS_BOLD : 0);
        canvas_putf(c, body, 1, y + 1, st, "%s %5d  ", on ? "▶" : " ", i + 1);
        canvas_put_text(c, body, 10, y + 1, st, a->log.line[i], strlen(a->log.line[i]), TEXT_PLAIN);
    }
    static const char *const keys[] = {"{enter} runs it again", "{copy} copies it",
                                       ":w FILE.log writes all", ":source FILE runs a file"};
    keybar_items(a, c, body, 3, body.h - 1, keys, sizeof keys / sizeof *keys);
}

static void log_title(const struct app *a, struct bytes *out)
{
    bytes_addf(out, "%d command%s", a->log.n, a->log.n == 1 ? "" : "s");
}

static void log_move(struct app *a, enum move m, int count)
{
    draw_move_cursor(m, count, &a->cur.log, a->log.n > 0 ? a->log.n : 1, a->page, NULL, 0);
}

static bool log_enter(struct app *a)
{
    if (!a->log.n)
        return false;
    act_RUN(a, "");
    return true;
}

static bool log_click(struct app *a, int x, int y)
{
    (void)x;
    int32_t i = a->log_top + y - a->rows_y;
    if (y < a->rows_y || i >= a->log.n)
        return false;
    a->cur.log = i;
    return true;
}

static void log_say(const struct app *a, struct bytes *b)
{
    if (a->log.n)
        bytes_addf(b, "command %d of %d: %s\n", (int)a->cur.log + 1, a->log.n,
                   a->log.line[a->cur.log]);
    else
        bytes_add_string(b, "no command ran yet\n");
}

static void log_copy(const struct app *a, struct bytes *out)
{
    if (a->log.n)
        bytes_add_string(out, a->log.line[a->cur.log]);
}

static void log_figures(const struct app *a, struct figures *to)
{
    for (int i = 0; i < a->log.n; i++) {
        struct figure f = figure_make();
        snprintf(f.index, sizeof f.index, "%d", i + 1);
        figure_text(to, &f, "command", a->log.line[i]);
    }
}

const struct view view_log = {
    .help = "every command that ran, keys as the edits they made; {enter} runs one again, "
            "{copy} copies it",
    .layout = log_layout,
    .want = log_want,
    .draw = log_draw,
    .title = log_title,
    .move = log_move,
    .enter = log_enter,
    .click = log_click,
    .say = log_say,
    .figures = log_figures,
    .copy = log_copy};
