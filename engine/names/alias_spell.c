/* alias_spell.c - how names are spelled: indices as path elements, what may stand before a name,
 * and patterns with numbers.  Tested in tests/engine/test_alias.c and tests/fuzz/fuzz_edit.c. */
#include "names/alias.h"

#include "model/arch.h"

#include <stdio.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

/* "layers[2]" -> "layers.2" and "output[0]" -> "output.0"; false where the result is no name. */
bool alias_flatten(const char *name, char buf[LIMIT_PATTERN])
{
    size_t n = 0;
    for (const char *p = name; *p; p++) {
        if (n + 2 >= LIMIT_PATTERN)
            return false;
        const char *close = *p == '[' && p > name && is_word(p[-1]) ? strchr(p, ']') : NULL;
        if (!close) {
            buf[n++] = *p;
            continue;
        }
        if (n + 2 + (size_t)(close - p) >= LIMIT_PATTERN)
            return false;
        buf[n++] = '.';
        memcpy(buf + n, p + 1, (size_t)(close - p - 1));
        n += (size_t)(close - p - 1);
        p = close;
    }
    buf[n] = '\0';
    return true;
}

int alias_variants(const struct config *cfg, const char *name,
                   char out[ALIAS_VARIANTS][LIMIT_PATTERN])
{
    char flat[LIMIT_PATTERN];
    if (!alias_flatten(name, flat))
        return 0;
    const char *inner = strncmp(flat, "model.", 6) == 0 ? flat + 6 : NULL,
               *prefix = cfg->arch ? cfg->arch->prefix : NULL;
    int n = 0;
    snprintf(out[n++], LIMIT_PATTERN, "%s", flat);
    if (inner)
        snprintf(out[n++], LIMIT_PATTERN, "%s", inner);
    size_t len = prefix ? strlen(prefix) : 0;
    if (prefix && strlen(flat) + len < LIMIT_PATTERN) {
        memcpy(out[n], prefix, len);
        memcpy(out[n++] + len, flat, strlen(flat) + 1);
    }
    return n;
}

bool alias_spells(const char *pattern, const char *text, int32_t number[2])
{
    number[0] = number[1] = SITE_ROOT;
    int n = 0;
    for (const char *p = pattern; *p; p++) {
        if (strncmp(p, "%d", 2) != 0) {
            if (*p != *text++)
                return false;
            continue;
        }
        int64_t v = 0;
        const char *first = text;
        for (; is_digit(*text); text++)
            v = v > INT32_MAX / 10 ? INT32_MAX : v * 10 + (*text - '0');
        if (text == first || (*first == '0' && text > first + 1))
            return false;
        number[n++] = v > INT32_MAX ? INT32_MAX : (int32_t)v;
        p++;
    }
    return *text == '\0';
}
