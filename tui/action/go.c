/* go.c - the command that goes to a position, a token or a column by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "tensor.h"

bool go_is_place(const char *text)
{
    text += *text == '#';
    text += *text == '-';
    return *text && text[strspn(text, "0123456789")] == 0;
}

/* A number that is all of `text`, from the end when negative; -1: it is none of 0..n-1. */
static int32_t number(const char *text, int32_t n)
{
    char *end;
    long v = strtol(text, &end, 10);
    v += v < 0 ? n : 0;
    return !*text || *end || v < 0 || v >= n ? -1 : (int32_t)v;
}

/* The next position, from the cursor on, whose token is this text, with its space or without. */
static int32_t find(const struct app *a, const char *text)
{
    for (int32_t i = 1; i <= a->n; i++) {
        int32_t row = (a->cur.row + i) % a->n;
        size_t len;
        const char *token = model_input_text(a->m, a->tokens[row], &len);
        size_t skip = len && token[0] == ' ' && *text != ' ';
        if (len - skip == strlen(text) && memcmp(token + skip, text, len - skip) == 0)
            return row;
    }
    return -1;
}

/* #N: what a column is depends on the view. */
static void to_column(struct app *a, const char *text)
{
    bool map = a->cur.view == VIEW_ATTENTION;
    struct tensor_slice s = tensor_slice(a);
    int32_t n = map ? a->n : s.columns, at = number(text, n);
    if (a->cur.view != VIEW_TENSOR && !map)
        app_complain(a, "#%s is a column of a tensor or a source of attention · 5 shows the tensor",
                     text);
    else if (at < 0)
        app_complain(a, "#%s: %s are #0 to #%d, #-1 the last", text, map ? "sources" : "columns",
                     (int)n - 1);
    else if (map)
        a->cur.src = at, a->cur.map = true;
    else
        a->cur.element = at;
}

unsigned act_GO(struct app *a, const char *args)
{
    bool digits = *args == '-' || (*args >= '0' && *args <= '9');
    if (!*args) {
        app_line_open(a, LINE_COMMAND, "go ");
        app_say(a, "a position, a token, or #COLUMN");
        return 0;
    }
    if (*args == '#') {
        to_column(a, args + 1);
        return 0;
    }
    char *quoted = app_quoted(args);
    int32_t at = quoted || !digits ? find(a, quoted ? quoted : args) : number(args, a->n);
    if (at >= 0)
        a->cur.row = at;
    else if (quoted || !digits)
        app_complain(a, "no position holds \"%s\" · {search} searches parts of tokens",
                     quoted ? quoted : args);
    else
        app_complain(a, "no position %s · 0 to %d, -1 the last", args, (int)a->n - 1);
    free(quoted);
    return 0;
}
