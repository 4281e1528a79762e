/* token_filter.c - see token_filter.h. */
#include "lab/token_filter.h"

static bool listed(const struct token_filter *f, int32_t id)
{
    int32_t i = 0;
    while (i < f->n && f->ids[i] != id)
        i++;
    return i < f->n;
}

int32_t token_filter_rows(const struct token_filter *f, const struct text_piece *p, int32_t *row)
{
    int32_t n = 0, first = f->first < 0 ? f->first + p->n : f->first,
            end = f->last > 0 ? f->last : f->last + p->n;
    first = first > p->fresh ? first : p->fresh, end = end < p->n ? end : p->n;
    for (int32_t i = first; i < end; i++) {
        int32_t next = i + 1 < p->n ? p->tokens[i + 1] : p->next;
        if (!f->n || listed(f, f->next ? next : p->tokens[i]) != f->without)
            row[n++] = i;
    }
    return n;
}
