/* align.c - see align.h. */
#include "align.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *const align_names[ALIGN_COUNT] = {"token", "end", "index"};

/* A pair of equal tokens counts more than all pairs of unequal ones (min(n, m) <= 2^12), which
 * decide between subsequences of one length: two swapped names leave all others in their places. */
enum { EQUAL = 1 << 13 };

static int32_t score(bool same, const int32_t *at, size_t w)
{
    int32_t pair = at[w + 1] + (same ? EQUAL : 1), skip = at[1] > at[w] ? at[1] : at[w];
    return pair > skip ? pair : skip;
}

/* to[i] for a[n] against b[m], whose positions begin at `from`; nothing in common at either end. */
static int common(const int32_t *a, int32_t n, const int32_t *b, int32_t m, int32_t from,
                  int32_t *to)
{
    if (!n || !m || (int64_t)n * m > ALIGN_CELLS_MAX)
        return 0;
    size_t w = (size_t)m + 1;
    /* best[i][j]: the score of a[i..] and b[j..] */
    int32_t *best = calloc(((size_t)n + 1) * w, sizeof *best);
    if (!best)
        return -1;
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

int align_tokens(enum align how, const int32_t *a, int32_t n, const int32_t *b, int32_t m,
                 int32_t *to)
{
    int32_t shift = how == ALIGN_END ? m - n : 0, head = 0, tail = 0;
    for (int32_t i = 0; i < n; i++)
        to[i] = how != ALIGN_TOKEN && i + shift >= 0 && i + shift < m ? i + shift : -1;
    if (how != ALIGN_TOKEN)
        return 0;
    while (head < n && head < m && a[head] == b[head])
        to[head] = head, head++;
    while (tail < n - head && tail < m - head && a[n - 1 - tail] == b[m - 1 - tail])
        tail++, to[n - tail] = m - tail;
    int rc = common(a + head, n - head - tail, b + head, m - head - tail, head, to + head);
    fill(n, m, to);
    return rc;
}
