/* token_align.c - see token_align.h. */
#include "token/token_align.h"

#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 1 << 26 }; /* places of the table of common subsequences */

int token_align_parse(const char *text, enum token_align *out, struct err *e)
{
    static const char *const names[] = {"index", "end", "token"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *out = (enum token_align)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "align \"%.40s\" · index, end or token", text);
}

/* Pair what lies before a[i], b[j] and after the last pair, from its end on. */
static void pair_gap(int32_t *map, int32_t a0, int32_t i, int32_t b0, int32_t j)
{
    while (i > a0 && j > b0)
        map[--i] = --j;
}

/* Pairs of a longest common subsequence of a[a0, a1) and b[b0, b1), and the gaps between them. */
static int common(const int32_t *a, int32_t a0, int32_t a1, const int32_t *b, int32_t b0,
                  int32_t b1, int32_t *map, struct err *e)
{
    size_t na = (size_t)(a1 - a0), nb = (size_t)(b1 - b0), w = nb + 1;
    if (na && nb && na > TABLE_MAX / nb)
        return err_set(e, ERR_BAD_INPUT,
                       "align token · %zu and %zu tokens differ, too many to compare · align end",
                       na, nb);
    int32_t *best = calloc((na + 1) * w, sizeof *best); /* of the tails from [i][j] on */
    if (!best)
        return err_memory(e, "aligning prompts");
    for (size_t i = na; i-- > 0;)
        for (size_t j = nb; j-- > 0;) {
            int32_t skip_a = best[(i + 1) * w + j], skip_b = best[i * w + j + 1];
            best[i * w + j] = a[a0 + (int32_t)i] == b[b0 + (int32_t)j]
                                  ? best[(i + 1) * w + j + 1] + 1
                              : skip_a > skip_b ? skip_a
                                                : skip_b;
        }
    int32_t last_a = a0, last_b = b0;
    for (size_t i = 0, j = 0; i < na && j < nb;) {
        if (a[a0 + (int32_t)i] == b[b0 + (int32_t)j]) {
            int32_t at = a0 + (int32_t)i++, to = b0 + (int32_t)j++;
            pair_gap(map, last_a, at, last_b, to);
            map[at] = to;
            last_a = at + 1, last_b = to + 1;
        } else if (best[(i + 1) * w + j] >= best[i * w + j + 1]) {
            i++;
        } else {
            j++;
        }
    }
    pair_gap(map, last_a, a1, last_b, b1);
    free(best);
    return 0;
}

int token_align(const int32_t *a, int32_t na, const int32_t *b, int32_t nb, enum token_align how,
                int32_t *map, struct err *e)
{
    int32_t head = 0, tail = 0, shift = how == TOKEN_ALIGN_END ? nb - na : 0;
    if (how != TOKEN_ALIGN_TOKEN) {
        for (int32_t i = 0; i < na; i++)
            map[i] = i + shift >= 0 && i + shift < nb ? i + shift : -1;
        return 0;
    }
    while (head < na && head < nb && a[head] == b[head])
        head++;
    while (tail < na - head && tail < nb - head && a[na - 1 - tail] == b[nb - 1 - tail])
        tail++;
    for (int32_t i = 0; i < na; i++)
        map[i] = i < head ? i : i >= na - tail ? i + nb - na : -1;
    return common(a, head, na - tail, b, head, nb - tail, map, e);
}
