/* help.c - see help.h. */
#include "help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input/complete.h"
#include "draw.h"
#include "keybar.h"
#include "explain.h"

enum { KEYS_BYTES = 128, ROWS_MAX = 512, NARROW = 90, WHOLE_ROWS = 2 };

struct help_row {
    enum action_id id;
    const char *command; /* of a key; NULL: it has none here, and is typed */
    bool here;
};

/* All keys of a command in this view. */
static void keys_of(const struct app *a, const char *command, char *buf, size_t size)
{
    const struct keymap *m = a->opt.keymap;
    size_t at = 0;
    buf[0] = 0;
    for (size_t j = 0; command && j < m->n; j++) {
        char keys[KEYMAP_SEQ_MAX * KEYS_NAME_MAX];
        if (!keymap_is_active(m, j, 1u << a->cur.view) ||
            strcmp(m->binding[j].command, command) != 0)
            continue;
        keymap_sequence(m->binding[j].key, m->binding[j].n, keys, sizeof keys);
        int n = snprintf(buf + at, size - at, "%s%s", at ? " " : "", keys);
        if (n < 0 || (size_t)n >= size - at)
            break;
        at += (size_t)n;
    }
}

static bool is_found(const struct app *a, const struct help_row *row)
{
    const char *filter = line_text(&a->line);
    const struct action *act = &action_table[row->id];
    char keys[KEYS_BYTES];
    keys_of(a, row->command, keys, sizeof keys);
    return !*filter || strcasestr(row->command ? row->command : act->name, filter) ||
           strcasestr(act->usage, filter) || strcasestr(act->help, filter) || strstr(keys, filter);
}

/* Rows of one action: its keys' commands, or its bare name. */
static int action_rows(const struct app *a, enum action_id id, struct help_row *rows, int n)
{
    const struct keymap *m = a->opt.keymap;
    unsigned where = 1u << a->cur.view;
    int first = n;
    for (size_t i = 0; i < m->n && n < ROWS_MAX; i++) {
        if (!keymap_is_active(m, i, where) || action_find(m->binding[i].command, NULL) != id)
            continue;
        bool again = false; /* one row for all keys of a command */
        for (int k = first; k < n && !again; k++)
            again = strcmp(rows[k].command, m->binding[i].command) == 0;
        if (!again)
            rows[n++] = (struct help_row){id, m->binding[i].command, true};
    }
    bool here = action_table[id].where & where;
    if (n == first && n < ROWS_MAX && (here || *line_text(&a->line)))
        rows[n++] = (struct help_row){id, NULL, here};
    return n;
}

/* What changes the model and the questions first, then what moves and chooses. */
static int list(const struct app *a, struct help_row rows[ROWS_MAX])
{
    int n = 0, kept = 0;
    for (int i = 0; i < ACTION_COUNT; i++) {
        int id = (i + ACTION_ZERO) % ACTION_COUNT;
        if (action_table[id].where & CTX_VIEWS)
            n = action_rows(a, (enum action_id)id, rows, n);
    }
    for (int i = 0; i < n; i++)
        if (is_found(a, &rows[i]))
            rows[kept++] = rows[i];
    return kept;
}

char *help_chosen(const struct app *a)
{
    static struct help_row rows[ROWS_MAX];
    int n = list(a, rows), at = draw_clamp(a->help_at, n);
    if (!n)
        return NULL;
    const struct action *act = &action_table[rows[at].id];
    struct bytes b = {0};
    if (rows[at].command)
        bytes_add_string(&b, rows[at].command);
    else
        bytes_addf(&b, "%s%s%s", *act->usage ? ":" : "", act->name, *act->usage ? " " : "");
    return b.data;
}

unsigned help_run(struct app *a, const char *chosen)
{
    if (*chosen != ':')
        return app_command(a, chosen);
    app_line_open(a, LINE_COMMAND, chosen + 1);
    complete_find(a);
    return 0;
}

bool help_click(struct app *a, int x, int y)
{
    static struct help_row rows[ROWS_MAX];
    int at = a->help_top + y - a->help_rows.y, before = a->help_at;
    if (!rect_has(a->help_rows, x, y) || at >= list(a, rows))
        return false;
    a->help_at = at;
    return at == before;
}

static void draw_row(const struct app *a, struct canvas *c, struct rect in, int y, bool on,
                     const struct help_row *row)
{
    const struct action *act = &action_table[row->id];
    struct canvas_style st = canvas_plain((on ? CANVAS_REVERSE : 0) | (row->here ? 0 : CANVAS_DIM));
    char keys[KEYS_BYTES], command[KEYMAP_COMMAND_MAX];
    int of_keys = in.w < NARROW ? 10 : 18, of_command = in.w < NARROW ? 18 : 26;
    keys_of(a, row->command, keys, sizeof keys);
    snprintf(command, sizeof command, ":%s%s%s", row->command ? row->command : act->name,
             row->command || !*act->usage ? "" : " ", row->command ? "" : act->usage);
    canvas_fill(c, (struct rect){in.x, in.y + y, in.w, 1}, st, " ");
    canvas_put(c, in, 0, y, st, on ? "▶" : " ");
    canvas_put_field(c, in, 2, y, st, keys, strlen(keys), TEXT_PLAIN, of_keys, true);
    canvas_put_field(c, in, 3 + of_keys, y, st, command, strlen(command), TEXT_PLAIN, of_command,
                     true);
    int x = 4 + of_keys + of_command;
    struct bytes help = {0};
    bytes_addf(&help, "%s%s", act->help, row->here ? "" : " (not in this view)");
    if (!help.failed)
        canvas_put_field(c, in, x, y, st, help.data, help.len, TEXT_OWN, in.w - x, false);
    bytes_free(&help);
}

void help_draw(struct app *a, struct frame *f)
{
    static struct help_row rows[ROWS_MAX];
    struct bytes how = {0};
    explain_noun(a, &how);
    int n = list(a, rows), high = n + 6 + 2 * WHOLE_ROWS, room = a->h - 3;
    a->help_at = n ? draw_clamp(a->help_at, n) : 0;
    struct rect r = {0, 1, a->w, room};
    char noun[256], named[KEYBAR_TEXT];
    struct rect in = frame_popup(
        f, rect_center(r, 110, high < room ? high : room),
        keybar_text(a, "type to search, {accept} runs, {cancel} closes", named));
    if (app_noun_text(a, false, noun))
        canvas_putf(f->canvas, in, 1, 0, canvas_plain(CANVAS_BOLD), "under the cursor: %s", noun);
    rect_cut_top(&in, 1);
    if (how.len && !how.failed && in.h > 5 * WHOLE_ROWS) { /* how it comes about */
        int lines = text_width(how.data, how.len, TEXT_PLAIN) > in.w - 2 ? WHOLE_ROWS : 1;
        bytes_add_char(&how, 0);
        draw_sentence(f->canvas, rect_cut_top(&in, lines), 1, canvas_plain(CANVAS_DIM), how.data);
    }
    bytes_free(&how);
    const char *about = keybar_text(a, app_view(a)->help, named);
    int of_view = text_width(about, strlen(about), TEXT_PLAIN) > in.w - 2;
    draw_sentence(f->canvas, rect_cut_top(&in, 1 + of_view), 1, canvas_plain(CANVAS_DIM), about);
    /* all that the row under the cursor says, which its own line may cut */
    struct rect whole = rect_cut_bottom(&in, in.h > 4 * WHOLE_ROWS ? WHOLE_ROWS : 0);
    if (n)
        draw_sentence(f->canvas, whole, 1, canvas_plain(CANVAS_DIM),
                      action_table[rows[a->help_at].id].help);
    a->help_top = draw_scroll(a->help_top, a->help_at, n, in.h);
    a->help_rows = in;
    for (int y = 0; y < in.h && a->help_top + y < n; y++)
        draw_row(a, f->canvas, in, y, a->help_top + y == a->help_at, &rows[a->help_top + y]);
    if (!n)
        canvas_put(f->canvas, in, 2, 0, canvas_plain(0), "no command has that");
}
