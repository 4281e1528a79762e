/* line.c - the line editor (see line.h). */
#include "input/line.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

const char *line_text(const struct line *l)
{
    return l->text.data ? l->text.data : "";
}

void line_set(struct line *l, const char *text, size_t len)
{
    bytes_clear(&l->text);
    l->caret = 0;
    line_insert(l, text, len);
}

void line_insert(struct line *l, const char *text, size_t len)
{
    if (len > LINE_MAX_BYTES - l->text.len)
        len = LINE_MAX_BYTES - l->text.len;
    if (!len || !bytes_reserve(&l->text, len))
        return;
    char *d = l->text.data;
    memmove(d + l->caret + len, d + l->caret, l->text.len - l->caret);
    memcpy(d + l->caret, text, len);
    l->text.len += len;
    d[l->text.len] = 0;
    l->caret += len;
}

void line_free(struct line *l)
{
    bytes_free(&l->text);
    *l = (struct line){0};
}

static bool is_inner(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t step_left(const struct line *l, size_t at)
{
    if (at)
        at--;
    while (at && is_inner(l->text.data[at]))
        at--;
    return at;
}

static size_t step_right(const struct line *l, size_t at)
{
    if (at < l->text.len)
        at++;
    while (at < l->text.len && is_inner(l->text.data[at]))
        at++;
    return at;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static size_t word_left(const struct line *l, size_t at)
{
    while (at && !is_word(l->text.data[at - 1]))
        at--;
    while (at && is_word(l->text.data[at - 1]))
        at--;
    return at;
}

static size_t word_right(const struct line *l, size_t at)
{
    while (at < l->text.len && !is_word(l->text.data[at]))
        at++;
    while (at < l->text.len && is_word(l->text.data[at]))
        at++;
    return at;
}

bool line_caret(struct line *l, const char *how)
{
    if (strcmp(how, "left") == 0)
        l->caret = step_left(l, l->caret);
    else if (strcmp(how, "right") == 0)
        l->caret = step_right(l, l->caret);
    else if (strcmp(how, "word-left") == 0)
        l->caret = word_left(l, l->caret);
    else if (strcmp(how, "word-right") == 0)
        l->caret = word_right(l, l->caret);
    else if (strcmp(how, "home") == 0)
        l->caret = 0;
    else if (strcmp(how, "end") == 0)
        l->caret = l->text.len;
    else
        return false;
    return true;
}

bool line_erase(struct line *l, const char *how)
{
    size_t from = l->caret, to = l->caret;
    if (strcmp(how, "left") == 0)
        from = step_left(l, l->caret);
    else if (strcmp(how, "right") == 0)
        to = step_right(l, l->caret);
    else if (strcmp(how, "word") == 0)
        from = word_left(l, l->caret);
    else if (strcmp(how, "home") == 0)
        from = 0;
    else if (strcmp(how, "end") == 0)
        to = l->text.len;
    else
        return false;
    if (from < to) {
        memmove(l->text.data + from, l->text.data + to, l->text.len - to + 1);
        l->text.len -= to - from;
        l->caret = from;
    }
    return true;
}

int line_draw(const struct line *l, struct canvas *c, struct rect r, int x, int y)
{
    const char *s = line_text(l);
    int room = r.w - x - 1;
    size_t from = l->caret, len = l->text.len;
    while (from && room > 0) { /* as much before the caret as there is room for */
        size_t to = step_left(l, from);
        int w = text_width(s + to, from - to, TEXT_PLAIN);
        if (w > room)
            break;
        room -= w, from = to;
    }
    size_t shown = len - from, most = (size_t)(r.w > 0 ? r.w : 0) * 8;
    canvas_put_text(c, r, x, y, canvas_plain(0), s + from, shown < most ? shown : most, TEXT_PLAIN);
    return x + text_width(s + from, l->caret - from, TEXT_PLAIN);
}

void line_history_add(struct line_history *h, const char *text)
{
    free(h->draft);
    h->draft = NULL;
    bool again = h->n && strcmp(h->item[h->n - 1], text) == 0;
    char *copy = *text && !again ? strdup(text) : NULL;
    if (copy && h->n == LINE_HISTORY_MAX) {
        free(h->item[0]);
        memmove(h->item, h->item + 1, (size_t)--h->n * sizeof *h->item);
    }
    char **grown = copy ? realloc(h->item, (size_t)(h->n + 1) * sizeof *grown) : NULL;
    if (grown) {
        h->item = grown;
        h->item[h->n++] = copy;
    } else {
        free(copy);
    }
    h->at = h->n;
}

void line_history_step(struct line_history *h, struct line *l, int step)
{
    int at = h->at + step;
    if (at < 0 || at > h->n)
        return;
    if (h->at == h->n) {
        free(h->draft);
        h->draft = strdup(line_text(l));
    }
    h->at = at;
    const char *text = at < h->n ? h->item[at] : h->draft ? h->draft : "";
    line_set(l, text, strlen(text));
}

void line_history_free(struct line_history *h)
{
    for (int i = 0; i < h->n; i++)
        free(h->item[i]);
    free(h->item);
    free(h->draft);
    *h = (struct line_history){0};
}
