/* alias.c - names in any library -> what they mean in one model (see alias.h).
 *
 * A name is compared with the rows in one flat form, indices as path elements; the name of the
 * outermost module may be left out or nnsight's "model." be put before it.  Tested in
 * tests/engine/test_alias.c and tests/fuzz/fuzz_edit.c. */
#include "names/alias_names.h"

#include "model/arch.h"
#include "base/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAR_LAYER = 1000000007 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

/* "layers[2]" -> "layers.2" and "output[0]" -> "output.0"; false where the result is no name. */
static bool alias_flatten(const char *name, char buf[LIMIT_PATTERN])
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

bool alias_spells(const char *pattern, const char *text, int32_t *layer)
{
    *layer = SITE_ROOT;
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
        *layer = v > INT32_MAX ? INT32_MAX : (int32_t)v;
        p++;
    }
    return *text == '\0';
}

/* The row that a name spells, one that holds if there is any; NULL if none does. */
static const struct alias_row *find_row(const struct config *cfg, const char *name, int32_t *layer)
{
    char text[ALIAS_VARIANTS][LIMIT_PATTERN];
    const struct alias_row *tables[ALIAS_TABLES], *absent = NULL;
    int n = alias_variants(cfg, name, text);
    int32_t at;
    alias_tables(cfg, tables);
    for (int v = 0; v < n; v++)
        for (int i = 0; i < ALIAS_TABLES; i++)
            for (const struct alias_row *row = tables[i]; row && row->name; row++) {
                if (!alias_spells(row->name, text[v], &at))
                    continue;
                *layer = at;
                if (alias_row_holds(cfg, row))
                    return row;
                absent = row;
            }
    return absent;
}

/* Why a row does not hold here. */
static const char *row_absence(const struct config *cfg, const struct alias_row *row)
{
    const struct alias_meaning *m = &alias_meanings[row->means];
    for (int i = 0; i < m->n_sites; i++) {
        char name[LIMIT_NAME];
        const char *why = site_refusal(cfg, m->sites[i]);
        site_name((struct site_ref){m->sites[i], 0}, name);
        if (why || (why = site_absence(cfg, name)))
            return why;
    }
    return config_has(cfg, row->when) ? "the model has no such part" : config_lack(row->when);
}

/* The layer that a name asks for, if there is one; else the first. */
static int32_t layer_of(const struct config *cfg, const char *name)
{
    const char *digit = strpbrk(name, "0123456789");
    long layer = digit ? strtol(digit, NULL, 10) : 0;
    return layer < cfg->n_layers ? (int32_t)layer : 0;
}

/* The nearest name in the library's own spelling, at the layer that was asked for. */
static size_t nearest_name(const struct config *cfg, const char *name, char best[LIMIT_NAME])
{
    const struct alias_row *tables[ALIAS_TABLES];
    size_t least = SIZE_MAX;
    int32_t layer = layer_of(cfg, name);
    alias_tables(cfg, tables);
    for (int i = 0; i < ALIAS_TABLES; i++)
        for (const struct alias_row *row = tables[i]; row && row->name; row++)
            for (int nnsight = 0; nnsight <= (row->library == LIBRARY_HF); nnsight++) {
                char full[LIMIT_NAME];
                if (row->second || !alias_row_holds(cfg, row))
                    continue;
                alias_row_name(row, nnsight ? LIBRARY_NNSIGHT : row->library, layer, full);
                if (nearest_is(name, full, &least))
                    memcpy(best, full, sizeof full);
            }
    return least;
}

static size_t nearest_site(const struct config *cfg, const char *name)
{
    size_t least = SIZE_MAX;
    int32_t layer = layer_of(cfg, name);
    for (int id = 0; id < SITE_COUNT; id++) {
        char full[LIMIT_NAME];
        if (site_exists(cfg, (enum site_id)id))
            nearest_is(name, site_name((struct site_ref){(enum site_id)id, layer}, full), &least);
    }
    return least;
}

size_t alias_distance(const struct config *cfg, const char *name)
{
    char near[LIMIT_NAME];
    size_t site = nearest_site(cfg, name), other = nearest_name(cfg, name, near);
    return site < other ? site : other;
}

static int fail_unknown(const struct config *cfg, const char *name, struct err *e)
{
    char near[LIMIT_NAME];
    struct site_ref s;
    /* a bare hook name ("hook_z", "z") is site_find's to complete */
    bool path = strpbrk(name, ".[") || strncmp(name, "layer_", 6) == 0;
    if (site_absence(cfg, name) || !path ||
        nearest_site(cfg, name) <= nearest_name(cfg, name, near))
        return site_find(cfg, name, &s, e);
    return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · the nearest is %s", name, near);
}

static int check_row(const struct config *cfg, const struct alias_row *row, int32_t layer,
                     const char *name, struct err *e)
{
    if (row->means == ALIAS_REFUSED)
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · %s", name, row->note);
    if (!alias_row_holds(cfg, row))
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" in this model · %s", name,
                       row_absence(cfg, row));
    if (layer >= cfg->n_layers)
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · this model has layers 0..%d", name,
                       (int)cfg->n_layers - 1);
    return 0;
}

int alias_find(const struct config *cfg, const char *name, struct alias_value *out, struct err *e)
{
    struct site_ref s;
    int32_t layer;
    if (site_find(cfg, name, &s, NULL) == 0) {
        *out = (struct alias_value){.form = FORM_SITE,
                                    .library = LIBRARY_LENS,
                                    .n_sites = 1,
                                    .site = {s},
                                    .n_edits = 1,
                                    .edit = {s}};
        return 0;
    }
    const struct alias_row *row = find_row(cfg, name, &layer);
    if (!row)
        return fail_unknown(cfg, name, e);
    int rc = check_row(cfg, row, layer, name, e);
    if (rc)
        return rc;
    *out = alias_row_value(cfg, row, layer);
    if (row->library == LIBRARY_HF && strchr(name, '[') && !strstr(row->name, "output."))
        out->library = LIBRARY_NNSIGHT;
    return 0;
}

/* ---- patterns
 * -------------------------------------------------------------------------------------- */

static int pick_one(const struct config *cfg, const char *name, struct alias_pick **out,
                    struct err *e)
{
    struct alias_value v;
    int rc = alias_find(cfg, name, &v, e);
    if (rc)
        return rc;
    if (strlen(name) >= LIMIT_NAME)
        return err_set(e, ERR_BAD_INPUT, "hook name of %zu bytes · at most %d", strlen(name),
                       LIMIT_NAME - 1);
    struct alias_pick *pick = malloc(sizeof *pick);
    if (!pick)
        return err_set(e, ERR_SYSTEM, "out of memory for names");
    pick->value = v;
    snprintf(pick->name, sizeof pick->name, "%s", name);
    *out = pick;
    return 1;
}

static int pick_sites(const struct config *cfg, const char *pattern, struct alias_pick **out,
                      struct err *e)
{
    struct site_ref *sites = malloc(((size_t)cfg->n_layers + 1) * SITE_COUNT * sizeof *sites);
    if (!sites)
        return err_set(e, ERR_SYSTEM, "out of memory for names");
    int n = site_select(cfg, pattern, sites, e);
    struct alias_pick *list = n > 0 ? malloc((size_t)n * sizeof *list) : NULL;
    if (n > 0 && !list)
        n = err_set(e, ERR_SYSTEM, "out of memory for names");
    for (int i = 0; i < n; i++) {
        list[i].value = (struct alias_value){.form = FORM_SITE,
                                             .library = LIBRARY_LENS,
                                             .n_sites = 1,
                                             .site = {sites[i]},
                                             .n_edits = 1,
                                             .edit = {sites[i]}};
        site_name(sites[i], list[i].name);
    }
    free(sites);
    if (n > 0)
        *out = list;
    return n;
}

static bool row_matches(const struct alias_row *row, const char *pattern, int32_t layer)
{
    char name[LIMIT_NAME], flat[LIMIT_PATTERN];
    alias_row_name(row, row->library, layer, name);
    return alias_flatten(name, flat) && site_glob(pattern, flat);
}

/* A layer beyond the model that the pattern names without a wildcard, besides some within, or -1:
 * the rest would otherwise hide that it did nothing there. */
static int32_t missing_layer(const struct config *cfg, const char *pattern)
{
    const struct alias_row *tables[ALIAS_TABLES];
    alias_tables(cfg, tables);
    for (int i = 0; i < ALIAS_TABLES && strchr(pattern, '{'); i++)
        for (const struct alias_row *row = tables[i]; row && row->name; row++) {
            if (!alias_row_in_block(row) || !alias_row_holds(cfg, row) ||
                row_matches(row, pattern, FAR_LAYER))
                continue;
            int32_t l = 0;
            while (l < cfg->n_layers && !row_matches(row, pattern, l))
                l++;
            if (l == cfg->n_layers)
                continue;
            for (l = cfg->n_layers; l <= LIMIT_LAYERS; l++)
                if (row_matches(row, pattern, l))
                    return l;
        }
    return -1;
}

/* Keep the names of one library that match; returns how many. */
static int pick_library(const struct config *cfg, const char *pattern, enum alias_library t,
                        struct alias_pick **out, struct err *e)
{
    struct alias_pick *list = NULL;
    int n = alias_list(cfg, t, &list, e), kept = 0;
    for (int i = 0; i < n; i++) {
        char flat[LIMIT_PATTERN];
        if (alias_flatten(list[i].name, flat) && site_glob(pattern, flat))
            list[kept++] = list[i];
    }
    if (n < 0 || kept == 0) {
        free(list);
        return n < 0 ? n : 0;
    }
    *out = list;
    return kept;
}

int alias_select(const struct config *cfg, const char *pattern, struct alias_pick **out,
                 struct err *e)
{
    static const enum alias_library libraries[] = {LIBRARY_BRIDGE, LIBRARY_HF, LIBRARY_TAKER};
    int32_t layer;
    if (!site_is_pattern(pattern) || find_row(cfg, pattern, &layer))
        return pick_one(cfg, pattern, out, e);
    int n = pick_sites(cfg, pattern, out, e);
    if (n > 0 || n == ERR_SYSTEM)
        return n;
    char text[ALIAS_VARIANTS][LIMIT_PATTERN];
    int n_texts = alias_variants(cfg, pattern, text);
    for (int v = 0; v < n_texts; v++)
        for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
            struct alias_pick *picks = NULL;
            int k = pick_library(cfg, text[v], libraries[i], &picks, e);
            if (k == 0)
                continue;
            int32_t missing = k > 0 ? missing_layer(cfg, text[v]) : -1;
            if (missing < 0) {
                if (k > 0)
                    *out = picks;
                return k;
            }
            free(picks);
            return err_set(e, ERR_BAD_INPUT,
                           "no layer %d for \"%.100s\" · this model has layers 0..%d", (int)missing,
                           pattern, (int)cfg->n_layers - 1);
        }
    return n;
}
