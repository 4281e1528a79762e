/* token_nearest.c - see token_nearest.h. */
#include "edit/token_nearest.h"

#include <stdio.h>

#include "edit/edit_form.h"
#include "base/nearest.h"

enum { COMPARED = 32 }; /* bytes */

static size_t far(size_t a, size_t b)
{
    return a > b ? a - b : b - a;
}

const char *token_nearest(const struct tokenizer *t, const char *text, size_t len,
                          char buf[TOKEN_NEAREST_MAX])
{
    char want[COMPARED + 1], have[COMPARED + 1], shown[TOKEN_NEAREST_MAX];
    size_t least = len / 2 + 1; /* farther is no help */
    int32_t best = -1;
    snprintf(want, sizeof want, "%.*s", (int)(len < COMPARED ? len : COMPARED), text);
    for (int32_t id = 0; id < tokenizer_count(t) && len <= COMPARED; id++) {
        size_t n;
        const char *s = tokenizer_text(t, id, &n);
        if (n > COMPARED || n == 0 || far(n, len) >= least)
            continue;
        snprintf(have, sizeof have, "%.*s", (int)n, s);
        if (nearest_is(want, have, &least))
            best = id;
    }
    snprintf(buf, TOKEN_NEAREST_MAX, "borescope tokens shows how it splits");
    if (best < 0)
        return buf;
    size_t n;
    const char *s = tokenizer_text(t, best, &n);
    edit_token_print(s, (int32_t)n, shown, sizeof shown);
    snprintf(buf, TOKEN_NEAREST_MAX, "the nearest is %.*s", TOKEN_NEAREST_MAX - 20, shown);
    return buf;
}
