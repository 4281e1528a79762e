/* glob.c - patterns over hook names (see site_glob and site_select in site.h).
 *
 * A pattern maps a set of places in the name to the set of places where a match may end, element by
 * element, so that no pattern can make it backtrack: the time is length of pattern x length of
 * name. Tested in tests/engine/test_site.c and tests/fuzz/fuzz_edit.c. */
#include "base/nearest.h"
#include "model/site.h"

#include <string.h>

enum { NESTED_MAX = 8 }; /* braces within braces */

/* Places in the name as bits: bit i = what was matched so far may end before byte i. */
struct places {
    uint64_t bits[(LIMIT_NAME + 63) / 64];
};

struct match {
    const char *name;
    size_t n;
};

static struct places match_part(const struct match *m, const char *p, const char *end,
                                struct places in, int depth);

static bool any(const struct places *s)
{
    uint64_t all = 0;
    for (size_t w = 0; w < sizeof s->bits / sizeof *s->bits; w++)
        all |= s->bits[w];
    return all != 0;
}

static void add(struct places *s, size_t i)
{
    s->bits[i / 64] |= (uint64_t)1 << i % 64;
}

/* The first place from i on, or a number past every name. */
static size_t next(const struct places *s, size_t i)
{
    for (; i < LIMIT_NAME; i = (i / 64 + 1) * 64) {
        uint64_t rest = s->bits[i / 64] >> i % 64;
        if (rest)
            return i + (size_t)ffsll((long long)rest) - 1;
    }
    return LIMIT_NAME;
}

/* The brace that closes the one at p, or NULL. */
static const char *closing(const char *p, const char *end)
{
    int depth = 0;
    for (; p < end; p++) {
        depth += *p == '{';
        depth -= *p == '}';
        if (depth == 0)
            return p;
    }
    return NULL;
}

static bool in_class(const char *p, const char *end, char c)
{
    bool negated = p < end && *p == '!', found = false;
    for (p += negated; p < end; p++) {
        if (p + 2 < end && p[1] == '-') {
            found |= c >= p[0] && c <= p[2];
            p += 2;
        } else {
            found |= c == *p;
        }
    }
    return found != negated;
}

/* Digits at p as a number; returns where they end, NULL where there are none. */
static const char *digits(const char *p, const char *end, int32_t *value)
{
    int64_t v = 0;
    const char *q = p;
    for (; q < end && *q >= '0' && *q <= '9'; q++)
        v = v > INT32_MAX / 10 ? INT32_MAX : v * 10 + (*q - '0');
    *value = v > INT32_MAX ? INT32_MAX : (int32_t)v;
    return q == p ? NULL : q;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && *p == ' ')
        p++;
    return p;
}

/* Is [p, end) "3..7"? */
static bool range(const char *p, const char *end, int32_t *lo, int32_t *hi)
{
    p = digits(skip_blanks(p, end), end, lo);
    if (!p || end - p < 3 || p[0] != '.' || p[1] != '.')
        return false;
    p = digits(p + 2, end, hi);
    return p && skip_blanks(p, end) == end;
}

static void match_range(const struct match *m, int32_t lo, int32_t hi, const struct places *in,
                        struct places *out)
{
    for (size_t i = next(in, 0); i < m->n; i = next(in, i + 1)) {
        const char *from = m->name + i, *stop = m->name + m->n;
        for (const char *to = from + 1; to <= stop && to[-1] >= '0' && to[-1] <= '9'; to++) {
            int32_t v;
            digits(from, to, &v);
            if (v >= lo && v <= hi && (*from != '0' || to == from + 1))
                add(out, (size_t)(to - m->name));
        }
    }
}

/* {a,b,3..7}: p stands after the brace, end on the closing one. */
static struct places match_set(const struct match *m, const char *p, const char *end,
                               struct places in, int depth)
{
    struct places out = {{0}};
    while (p <= end) {
        const char *q = p;
        for (int nested = 0; q < end && (*q != ',' || nested > 0); q++)
            nested += (*q == '{') - (*q == '}');
        int32_t lo, hi;
        if (range(p, q, &lo, &hi)) {
            match_range(m, lo, hi, &in, &out);
        } else {
            struct places one = match_part(m, p, q, in, depth + 1);
            for (size_t w = 0; w < sizeof out.bits / sizeof *out.bits; w++)
                out.bits[w] |= one.bits[w];
        }
        p = q + 1;
    }
    return out;
}

/* One character of the name: c itself, any one ('?'), or one of a class [p, end). */
static struct places match_char(const struct match *m, char c, const char *p, const char *end,
                                struct places in)
{
    struct places out = {{0}};
    for (size_t i = next(&in, 0); i < m->n; i = next(&in, i + 1))
        if (p ? in_class(p, end, m->name[i]) : c == '?' || c == m->name[i])
            add(&out, i + 1);
    return out;
}

static struct places match_part(const struct match *m, const char *p, const char *end,
                                struct places in, int depth)
{
    if (depth > NESTED_MAX)
        return (struct places){{0}};
    for (; p < end && any(&in); p++) {
        const char *close;
        if (*p == ' ')
            continue;
        if (*p == '*') {
            for (size_t i = next(&in, 0); i < m->n; i++)
                add(&in, i + 1);
        } else if (*p == '{' && (close = closing(p, end))) {
            in = match_set(m, p + 1, close, in, depth);
            p = close;
        } else if (*p == '[' && (close = memchr(p, ']', (size_t)(end - p)))) {
            in = match_char(m, 0, p + 1, close, in);
            p = close;
        } else {
            in = match_char(m, *p, NULL, NULL, in);
        }
    }
    return in;
}

bool site_glob(const char *pattern, const char *name)
{
    struct match m = {name, strlen(name)};
    if (m.n >= LIMIT_NAME || strlen(pattern) >= LIMIT_PATTERN)
        return false;
    struct places start = {{1}}, end = match_part(&m, pattern, pattern + strlen(pattern), start, 0);
    return next(&end, m.n) == m.n;
}

bool site_is_pattern(const char *text)
{
    return strpbrk(text, "*?[{") != NULL;
}

/* How many parts at the end, between dots outside braces, are spelled out: none has a wildcard (at
 * most 2 are counted). */
static int parts_named(const char *pattern)
{
    bool wild[2] = {false, false}; /* the last part, the one before */
    int depth = 0;
    for (const char *p = pattern; *p; p++) {
        depth += (*p == '{') - (*p == '}');
        if (*p == '.' && depth == 0) {
            wild[1] = wild[0];
            wild[0] = false;
        }
        wild[0] |= strchr("*?[", *p) != NULL;
    }
    return wild[0] ? 0 : wild[1] ? 1 : 2;
}

int32_t site_missing_layer(const struct config *cfg, const char *pattern)
{
    const char *p = skip_blanks(pattern, pattern + strlen(pattern));
    if (strncmp(p, "blocks.{", 8) != 0)
        return -1;
    for (p += 8; *p && *p != '}'; p++) {
        int32_t layer;
        const char *end = p + strlen(p), *after = digits(skip_blanks(p, end), end, &layer);
        if (!after)
            continue;
        if (layer >= cfg->n_layers)
            return layer;
        p = after - 1;
    }
    return -1;
}

static int fail_unmatched(const struct config *cfg, const char *pattern, struct site_ref *scratch,
                          struct err *e)
{
    char near[LIMIT_NAME], name[LIMIT_NAME];
    size_t least = SIZE_MAX;
    int n = site_list(cfg, scratch);
    for (int i = 0; i < n; i++)
        if (nearest_is(pattern, site_name(scratch[i], name), &least))
            memcpy(near, name, sizeof near);
    return err_set(e, ERR_BAD_INPUT,
                   "no hook matches \"%.100s\" · the nearest is %s · this model has layers 0..%d",
                   pattern, near, (int)cfg->n_layers - 1);
}

/* Does a pattern with so many parts spelled out mean a site that it matches?  2: yes; 1: where it
 * means no other; 0: no, what only another library hooks is spelled out. */
static int meaning(const struct config *cfg, enum site_id id, int named)
{
    bool port = site_is_module_port(id);
    return site_fires(cfg, id) || named > port ? 2 : !port;
}

/* Keep those of sites[n] that are meant; how many. */
static int keep_meant(const struct config *cfg, struct site_ref *sites, int n, int named)
{
    int most = 1, kept = 0;
    for (int i = 0; i < n; i++)
        if (meaning(cfg, sites[i].id, named) > most)
            most = 2;
    for (int i = 0; i < n; i++)
        if (meaning(cfg, sites[i].id, named) == most)
            sites[kept++] = sites[i];
    return kept;
}

int site_select(const struct config *cfg, const char *pattern, struct site_ref *out, struct err *e)
{
    if (strlen(pattern) >= LIMIT_PATTERN)
        return err_set(e, ERR_BAD_INPUT, "hook pattern of %zu bytes · at most %d", strlen(pattern),
                       LIMIT_PATTERN - 1);
    if (!site_is_pattern(pattern))
        return site_find(cfg, pattern, out, e) ? ERR_BAD_INPUT : 1;
    int32_t missing = site_missing_layer(cfg, pattern);
    if (missing >= 0)
        return err_set(e, ERR_BAD_INPUT, "no layer %d for \"%.100s\" · this model has layers 0..%d",
                       (int)missing, pattern, (int)cfg->n_layers - 1);
    int n = site_list(cfg, out), matched = 0;
    for (int i = 0; i < n; i++) {
        char name[LIMIT_NAME];
        if (site_glob(pattern, site_name(out[i], name)))
            out[matched++] = out[i];
    }
    int kept = keep_meant(cfg, out, matched, parts_named(pattern));
    return kept ? kept : fail_unmatched(cfg, pattern, out, e);
}
