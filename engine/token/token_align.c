/* token_align.c - see token_align.h. */
#include "token/token_align.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *const token_align_names[TOKEN_ALIGN_COUNT] = {"index", "end", "token"};

int token_align_parse(const char *text, enum token_align *out, struct err *e)
{
    for (int i = 0; i < TOKEN_ALIGN_COUNT; i++)
        if (!strcmp(text, token_align_names[i])) {
            *out = (enum token_align)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "align \"%.40s\" · index, end or token", text);
}

/* A pair of equal tokens counts more than all pairs of unequal ones (min(n, m) <= 2^12), which
 * decide between subsequences of one length: two swapped names leave all others in their places. */
enum { EQUAL = 1 << 13, TABLE_MAX = 1 << 24 /* places of the table */ };

static int32_t score(bool same, const int32_t *at, size_t w)
{
    int32_t pair = at[w + 1] + (same ? EQUAL : 1), skip = at[1] > at[w] ? at[1] : at[w];
    return pair > skip ? pair : skip;
}

/* to[i] for a[n] against b[m], whose positions begin at `from`; nothing in common at either end. */
static int common(const int32_t *a, int32_t n, const int32_t *b, int32_t m, int32_t from,
                  int32_t *to, struct err *e)
{
    if (!n || !m)
        return 0;
    if ((int64_t)n * m > TABLE_MAX)
        return err_set(e, ERR_BAD_INPUT,
                       "align token · %d and %d tokens differ, too many to compare · align end",
                       (int)n, (int)m);
    size_t w = (size_t)m + 1;
    /* best[i][j]: the score of a[i..] and b[j..] */
    int32_t *best = calloc(((size_t)n + 1) * w, sizeof *best);
    if (!best)
        return err_memory(e, "aligning prompts");
    for (int32_t i = n - 1; i >= 0; i--)
        for (int32_t j = m - 1; j >= 0; j--)
            best[(size_t)i * w + (size_t)j] = score(a[i] == b[j], best + (size_t)i * w + (size_t)j,
                                                    w);
    for (int32_t i = 0, j = 0; i < n && j < m;) {
        const int32_t *at = best + (size_t)i * w + (size_t)j;
        bool same = a[i] == b[j];
        if (at[0] == at[w + 1] + (same ? EQUAL : 1)) {
            to[i] = same ? from + j : -1;
            i++, j++;
        } else if (at[0] == at[w]) {
            i++;
        } else {
            j++;
        }
    }
    free(best);
    return 0;
}

/* Stretches without partners that are as long in both prompts are each other's. */
static void fill(int32_t n, int32_t m, int32_t *to)
{
    for (int32_t i = 0, next = 0; i < n;) { /* next: behind the last partner */
        if (to[i] >= 0) {
            next = to[i++] + 1;
            continue;
        }
        int32_t end = i;
        while (end < n && to[end] < 0)
            end++;
        int32_t stop = end < n ? to[end] : m;
        bool same = stop - next == end - i;
        for (; i < end; i++, next++)
            if (same)
                to[i] = next;
        next = stop;
    }
}

int token_align(const int32_t *a, int32_t na, const int32_t *b, int32_t nb, enum token_align how,
                int32_t *map, struct err *e)
{
    int32_t shift = how == TOKEN_ALIGN_END ? nb - na : 0, head = 0, tail = 0;
    for (int32_t i = 0; i < na; i++)
        map[i] = how != TOKEN_ALIGN_TOKEN && i + shift >= 0 && i + shift < nb ? i + shift : -1;
    if (how != TOKEN_ALIGN_TOKEN)
        return 0;
    while (head < na && head < nb && a[head] == b[head])
        map[head] = head, head++;
    while (tail < na - head && tail < nb - head && a[na - 1 - tail] == b[nb - 1 - tail])
        tail++, map[na - tail] = nb - tail;
    int rc = common(a + head, na - head - tail, b + head, nb - head - tail, head, map + head, e);
    fill(na, nb, map);
    return rc;
}
