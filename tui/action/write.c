/* write.c - the view into a file, whose ending says how. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "base/file_write.h"
#include "save/figure_file.h"
#include "save/screen_file.h"
#include "save/write.h"

/* ---- what is written ---- */

/* The screen as it would be drawn now, without what is typed. */
static int with_frame(struct app *a, struct frame_caps caps,
                      int (*use)(const struct app *a, const struct frame *f, struct bytes *out,
                                 struct err *e),
                      struct bytes *out, struct err *e)
{
    struct frame f = {.caps = caps};
    a->message[0] = 0;
    int rc = app_draw(a, &f) ? use(a, &f, out, e) : err_memory(e, "the screen");
    frame_free(&f);
    return rc;
}

static int as_txt(const struct app *a, const struct frame *f, struct bytes *out, struct err *e)
{
    (void)a, (void)e;
    canvas_dump_plain(f->canvas, out);
    return 0;
}

static int as_ansi(const struct app *a, const struct frame *f, struct bytes *out, struct err *e)
{
    (void)a, (void)e;
    canvas_dump_ansi(f->canvas, COLOR_DEPTH_TRUE, out);
    return 0;
}

static int as_html(const struct app *a, const struct frame *f, struct bytes *out, struct err *e)
{
    (void)e;
    screen_html(f->canvas, a->m->name, out);
    return 0;
}

static int as_svg(const struct app *a, const struct frame *f, struct bytes *out, struct err *e)
{
    (void)a, (void)e;
    screen_svg(f->canvas, out);
    return 0;
}

static int as_png(const struct app *a, const struct frame *f, struct bytes *out, struct err *e)
{
    (void)a;
    return screen_png(f, out, e);
}

static int plain(struct app *a, struct bytes *out, struct err *e)
{
    return with_frame(a, (struct frame_caps){0}, as_txt, out, e);
}

static const struct frame_caps colours = {.graphics = GRAPHICS_BLOCKS, .depth = COLOR_DEPTH_TRUE};

static int ansi(struct app *a, struct bytes *out, struct err *e)
{
    return with_frame(a, colours, as_ansi, out, e);
}

static int html(struct app *a, struct bytes *out, struct err *e)
{
    return with_frame(a, colours, as_html, out, e);
}

static int svg(struct app *a, struct bytes *out, struct err *e)
{
    return with_frame(a, colours, as_svg, out, e);
}

static int png(struct app *a, struct bytes *out, struct err *e)
{
    struct frame_caps caps = {GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, SCREEN_CELL_W, SCREEN_CELL_H,
                              false};
    return with_frame(a, caps, as_png, out, e);
}

static int tsv(struct app *a, struct bytes *out, struct err *e)
{
    return figure_tsv(a, out, e);
}

static int json(struct app *a, struct bytes *out, struct err *e)
{
    return figure_json(a, out, e);
}

static int log_text(struct app *a, struct bytes *out, struct err *e)
{
    (void)e;
    bytes_add_string(out, "# commands of borescope: source FILE runs them\n");
    command_log_print(&a->log, out);
    return 0;
}

static const struct {
    const char *ending;
    int (*make)(struct app *a, struct bytes *out, struct err *e); /* NULL: .npz */
} formats[] = {{".txt", plain}, {".ansi", ansi}, {".html", html}, {".svg", svg},     {".png", png},
               {".tsv", tsv},   {".json", json}, {".npz", NULL},  {".log", log_text}};

int write_format(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof formats / sizeof *formats; i++)
        if (strcasecmp(dot, formats[i].ending) == 0)
            return (int)i;
    return -1;
}

/* ---- where ---- */

int write_bytes(const char *path, const struct bytes *text, bool over, struct err *e)
{
    if (text->failed)
        return err_memory(e, "%s", path);
    int rc = write_may(path, over, e);
    return rc ? rc : file_write_all(path, text->data, text->len, e);
}

int write_may(const char *path, bool over, struct err *e)
{
    if (over || access(path, F_OK))
        return 0;
    return err_set(e, ERR_BAD_INPUT, "%s is there already · ! writes over it", path);
}

bool write_over(const char **args)
{
    bool over = **args == '!';
    *args += over;
    *args += strspn(*args, " ");
    return over;
}

unsigned act_WRITE(struct app *a, const char *args)
{
    char path[1024];
    struct err e = {0};
    struct bytes text = {0};
    bool over = write_over(&args);
    int rc = 0;
    if (*args && snprintf(path, sizeof path, "%s", args) >= (int)sizeof path)
        rc = err_set(&e, ERR_BAD_INPUT, "a path of %zu bytes · %zu at most", strlen(args),
                     sizeof path - 1);
    else if (!*args)
        for (int i = 1; i < 1000; i++) { /* the first name that is free */
            snprintf(path, sizeof path, "borescope-%s-%d.txt", view_names[a->cur.view], i);
            if (access(path, F_OK))
                break;
        }
    int as = rc ? -1 : write_format(path);
    if (!rc && as < 0)
        rc = err_set(&e, ERR_USAGE,
                     "%s · the ending says how: .txt .ansi .html .svg .png .tsv .json .npz .log",
                     path);
    else if (!rc && formats[as].make)
        rc = formats[as].make(a, &text, &e);
    if (!rc && formats[as].make)
        rc = write_bytes(path, &text, over, &e);
    else if (!rc && !(rc = write_may(path, over, &e)))
        rc = figure_npz(a, path, &e);
    if (rc)
        app_complain(a, "%s", e.text);
    else
        app_say(a, "written to %s", path);
    bytes_free(&text);
    return 0;
}
