/* mouse.c - see mouse.h. */
#include "mouse.h"

#include "help.h"
#include "input/complete.h"
#include "keybar.h"

enum { WHEEL_LINES = 3 };

/* The tabs: " [1 grid] 2 attention ..." */
static void click_tab(struct app *a, int at)
{
    for (int v = 0; v < VIEW_COUNT; v++) {
        int x, width;
        app_tab(a, v, &x, &width);
        if (at >= x && at < x + width) {
            app_show_view(a, (enum view_id)v);
            return;
        }
    }
}

static unsigned press(struct app *a, const struct input *in)
{
    bool small = a->w < SMALL_COLUMNS || a->h < SMALL_ROWS;
    a->message[0] = 0;
    a->dragging = a->selecting = false;
    if (in->y == 1 && !small) {
        click_tab(a, in->x);
    } else if (in->y == a->h - 1 && !small && !a->keybar_off) {
        const char *command = keybar_at(a, a->w, in->x);
        return command ? app_command(a, command) : 0;
    } else if (app_view(a)->click(a, in->x, in->y) && a->cur.view == VIEW_GRID) {
        a->dragging = true;
        a->select_row = a->cur.row, a->select_column = a->cur.column;
    }
    return 0;
}

/* A rectangle of the grid's cells from where the button went down. */
static void drag(struct app *a, const struct input *in)
{
    if (!a->dragging || a->cur.view != VIEW_GRID || !app_view(a)->click(a, in->x, in->y))
        return;
    a->selecting = a->cur.row != a->select_row || a->cur.column != a->select_column;
    if (a->selecting)
        app_say(a, "a verb acts on the rectangle · {cancel} forgets it");
}

/* In the help: the wheel and a click choose, a click on the chosen one runs it. */
static unsigned in_help(struct app *a, const struct input *in)
{
    if (in->act == MOUSE_WHEEL_UP || in->act == MOUSE_WHEEL_DOWN)
        a->help_at += in->act == MOUSE_WHEEL_UP ? -WHEEL_LINES : WHEEL_LINES;
    else if (in->act == MOUSE_PRESS && in->button == 0 && help_click(a, in->x, in->y))
        return app_line_accept(a);
    return 0;
}

/* In what a line may go on with: the wheel shows more, a click takes. */
static void in_completion(struct app *a, const struct input *in)
{
    if (in->act == MOUSE_WHEEL_UP || in->act == MOUSE_WHEEL_DOWN)
        complete_scroll(a, in->act == MOUSE_WHEEL_UP ? -WHEEL_LINES : WHEEL_LINES);
    else if (in->act == MOUSE_PRESS && in->button == 0)
        complete_click(a, in->x, in->y);
}

unsigned mouse_input(struct app *a, const struct input *mouse)
{
    struct input in = *mouse;
    in.y /= a->present.apart ? 2 : 1;
    if (a->mode == LINE_HELP)
        return in_help(a, &in);
    if (a->mode != LINE_NONE) {
        in_completion(a, &in);
        return 0;
    }
    switch (in.act) {
    case MOUSE_WHEEL_UP: app_view(a)->move(a, MOVE_UP, WHEEL_LINES); break;
    case MOUSE_WHEEL_DOWN: app_view(a)->move(a, MOVE_DOWN, WHEEL_LINES); break;
    case MOUSE_PRESS: return in.button == 0 ? press(a, &in) : 0;
    case MOUSE_MOVE: drag(a, &in); break;
    case MOUSE_RELEASE: a->dragging = false; break;
    }
    return 0;
}
