/* alias.c - names in any library -> what they mean in one model, and back (see alias.h).
 *
 * A name is compared with the rows in one flat form, indices as path elements; the name of the
 * outermost module may be left out or nnsight's "model." be put before it.  Tested in
 * tests/engine/test_alias.c and tests/fuzz/fuzz_edit.c. */
#include "names/alias.h"

#include "model/arch.h"
#include "base/ends_with.h"
#include "base/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAR_LAYER = 1000000007 };

/* ---- rows ---- */

/* clang-format off */
#define SITES0 0, {SITE_EMBED}
#define SITES1(a) 1, {SITE_##a}
#define SITES2(a, b) 2, {SITE_##a, SITE_##b}
#define SITES3(a, b, c) 3, {SITE_##a, SITE_##b, SITE_##c}
#define SITES4(a, b, c, d) 4, {SITE_##a, SITE_##b, SITE_##c, SITE_##d}
/* clang-format on */

/* One row of arch_names.def. */
static const struct alias_meaning {
    enum alias_form form;
    enum site_scope scope;
    int n_sites;
    enum site_id sites[ALIAS_SITES_MAX];
    enum { EDIT_AS_SAME, EDIT_AS_SPREAD, EDIT_AS_NONE } edit;
    int n_edited;
    enum site_id edited[ALIAS_SITES_MAX];
    const char *why;
} meanings[ALIAS_COUNT] = {
#define ALIAS(id, form, scope, sites, edit, edited, why) \
    [ALIAS_##id] = {FORM_##form, SCOPE_##scope, sites, EDIT_AS_##edit, edited, why},
#include "model/arch_names.def"
};

static const struct {
    enum site_id id;
    enum alias_library library;
    const char *why;
} absences[] = {
#define ALIAS(id, form, scope, sites, edit, edited, why)
#define ALIAS_ABSENT(site, library, why) {SITE_##site, LIBRARY_##library, why},
#include "model/arch_names.def"
};

const char *alias_library_name(enum alias_library t)
{
    static const char *const name[LIBRARY_COUNT] = {"transformer_lens", "bridge", "hf", "nnsight",
                                                    "taker"};
    return name[t];
}

/* The library whose rows hold another's names: nnsight's follow from Hugging Face's. */
static enum alias_library rows_of(enum alias_library t)
{
    return t == LIBRARY_NNSIGHT ? LIBRARY_HF : t;
}

/* The i-th row of a model, TransformerLens' and the bridge's before its architecture's; NULL past
 * the last. */
static const struct alias_row *row_at(const struct config *cfg, int i)
{
    if (i < alias_lens_count)
        return &alias_lens[i];
    if ((i -= alias_lens_count) < alias_bridge_count)
        return &alias_bridge[i];
    const struct alias_row *row = cfg->arch ? &cfg->arch->names[i - alias_bridge_count] : NULL;
    return row && row->name ? row : NULL;
}

static bool row_in_block(const struct alias_row *row)
{
    return strstr(row->name, "%d") != NULL;
}

/* The layer that a row's name asks for, if it is in a block and the model has it; else any. */
static int32_t row_layer(const struct config *cfg, const struct alias_row *row, int32_t layer)
{
    return row_in_block(row) && layer < cfg->n_layers ? layer : SITE_ROOT;
}

/* Does what the row means exist in this model, in that layer? */
static bool row_holds(const struct config *cfg, const struct alias_row *row, int32_t layer)
{
    const struct alias_meaning *m = &meanings[row->means];
    layer = row_layer(cfg, row, layer);
    if (!config_layer_has(cfg, row->when, layer))
        return false;
    for (int i = 0; i < m->n_sites; i++)
        if (!site_is_there(cfg, (struct site_ref){m->sites[i], layer}) ||
            site_refusal(cfg, m->sites[i]))
            return false;
    return true;
}

/* Is it one of a library's names that are shown? */
static bool row_shown(const struct config *cfg, const struct alias_row *row, enum alias_library t,
                      int32_t layer)
{
    return row->library == rows_of(t) && !row->second && row_holds(cfg, row, layer);
}

/* A tuple's element at the end of a path: ".0", ".1". */
static bool is_element(const char *p)
{
    return p[0] == '.' && p[1] >= '0' && p[1] <= '9' && p[2] == '\0';
}

/* The row's name with its layer and expert; t may be LIBRARY_NNSIGHT for an HF row. */
static char *row_name_of(const struct alias_row *row, enum alias_library t, int32_t layer,
                         int32_t expert, char buf[LIMIT_NAME])
{
    bool nnsight = t == LIBRARY_NNSIGHT;
    int32_t number = layer;
    size_t n = 0;
    if (nnsight)
        n += (size_t)snprintf(buf, LIMIT_NAME, "model.");
    for (const char *p = row->name; *p && n + 16 < LIMIT_NAME; p++) {
        if (nnsight && strncmp(p, ".%d", 3) == 0) {
            n += (size_t)snprintf(buf + n, LIMIT_NAME - n, "[%d]", (int)layer);
            p += 2;
        } else if (strncmp(p, "%d", 2) == 0) {
            n += (size_t)snprintf(buf + n, LIMIT_NAME - n, "%d", (int)number);
            number = expert;
            p++;
        } else if (is_element(p)) {
            n += (size_t)snprintf(buf + n, LIMIT_NAME - n, "[%c]", p[1]);
            p++;
        } else {
            buf[n++] = *p;
        }
    }
    buf[n] = '\0';
    return buf;
}

static char *row_name(const struct alias_row *row, enum alias_library t, int32_t layer,
                      char buf[LIMIT_NAME])
{
    return row_name_of(row, t, layer, 0, buf);
}

static struct site_ref place(const struct config *cfg, enum site_id id, enum site_scope scope,
                             int32_t layer)
{
    if (site_table[id].scope != SCOPE_BLOCK)
        return (struct site_ref){id, SITE_ROOT};
    return (struct site_ref){id, scope == SCOPE_EMBED   ? 0
                                 : scope == SCOPE_FINAL ? cfg->n_layers - 1
                                                        : layer};
}

static struct alias_value row_value(const struct config *cfg, const struct alias_row *row,
                                    int32_t layer)
{
    const struct alias_meaning *m = &meanings[row->means];
    struct alias_value v = {.form = m->form,
                            .library = row->library,
                            .n_sites = m->n_sites,
                            .why = m->why,
                            .note = row->note};
    for (int i = 0; i < m->n_sites; i++)
        v.site[i] = place(cfg, m->sites[i], m->scope, layer);
    v.spread = m->edit == EDIT_AS_SPREAD;
    if (m->edit == EDIT_AS_SAME) {
        v.n_edits = v.n_sites;
        memcpy(v.edit, v.site, sizeof v.edit);
    }
    for (int i = 0; i < m->n_edited; i++)
        v.edit[v.n_edits++] = place(cfg, m->edited[i], m->scope, layer);
    return v;
}

/* A site under its own name. */
static struct alias_value site_value(struct site_ref s)
{
    return (struct alias_value){.form = FORM_SITE,
                                .library = LIBRARY_LENS,
                                .n_sites = 1,
                                .site = {s},
                                .n_edits = 1,
                                .edit = {s}};
}

/* ---- one name ---- */

/* The row that a name spells, one that holds if there is any; NULL if none does. */
static const struct alias_row *find_row(const struct config *cfg, const char *name,
                                        int32_t number[2])
{
    char text[ALIAS_VARIANTS][LIMIT_PATTERN];
    const struct alias_row *row, *absent = NULL;
    int n = alias_variants(cfg, name, text);
    for (int v = 0; v < n; v++)
        for (int i = 0; (row = row_at(cfg, i)); i++) {
            int32_t at[2];
            if (!alias_spells(row->name, text[v], at))
                continue;
            number[0] = at[0], number[1] = at[1];
            if (row_holds(cfg, row, at[0]))
                return row;
            absent = row;
        }
    return absent;
}

/* Why a row does not hold here. */
static const char *row_absence(const struct config *cfg, const struct alias_row *row, int32_t layer)
{
    const struct alias_meaning *m = &meanings[row->means];
    layer = row_layer(cfg, row, layer);
    for (int i = 0; i < m->n_sites; i++) {
        char name[LIMIT_NAME];
        const char *why = site_refusal(cfg, m->sites[i]);
        site_name((struct site_ref){m->sites[i], layer < 0 ? 0 : layer}, name);
        if (why || (why = site_absence(cfg, name)))
            return why;
    }
    return config_layer_has(cfg, row->when, layer) ? "the model has no such part"
                                                   : config_lack(cfg, row->when);
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
    const struct alias_row *row;
    size_t least = SIZE_MAX;
    int32_t layer = layer_of(cfg, name);
    for (int i = 0; (row = row_at(cfg, i)); i++)
        for (int t = 0; t < LIBRARY_COUNT; t++) {
            char full[LIMIT_NAME];
            if (row_shown(cfg, row, (enum alias_library)t, layer) &&
                nearest_is(name, row_name(row, (enum alias_library)t, layer, full), &least))
                memcpy(best, full, sizeof full);
        }
    return least;
}

/* ".hook_z" of "blocks.7.hook_z", and its layer; NULL: it does not begin so. */
static const char *rest_of_block(const char *name, long *layer)
{
    int at = 0;
    return sscanf(name, "blocks.%9ld%n", layer, &at) == 1 && name[at] == '.' ? name + at : NULL;
}

/* A name that leaves a part out ("blocks.7.hook_z") is as near as can be. */
static size_t nearest_site(const struct config *cfg, const char *name)
{
    size_t least = SIZE_MAX;
    long asked;
    const char *rest = rest_of_block(name, &asked);
    for (int id = 0; id < SITE_COUNT && least; id++) {
        char full[LIMIT_NAME];
        struct site_ref s = {(enum site_id)id, layer_of(cfg, name)};
        if (site_is_there(cfg, s) && rest && ends_with(site_name(s, full), rest))
            least = 0;
        else if (site_is_there(cfg, s))
            nearest_is(name, site_name(s, full), &least);
    }
    return least;
}

size_t alias_distance(const struct config *cfg, const char *name)
{
    char near[LIMIT_NAME];
    size_t site = nearest_site(cfg, name), other = nearest_name(cfg, name, near);
    return site < other ? site : other;
}

/* The first row below a list of layers ("model.layers", perhaps with .input or .output); NULL where
 * the name is none. */
static const struct alias_row *row_in_list(const struct config *cfg, const char *name)
{
    char text[ALIAS_VARIANTS][LIMIT_PATTERN];
    const struct alias_row *row;
    int n = alias_variants(cfg, name, text);
    for (int v = 0; v < n; v++) {
        char *end = strrchr(text[v], '.');
        if (end && (strcmp(end, ".input") == 0 || strcmp(end, ".output") == 0))
            *end = '\0';
        size_t len = strlen(text[v]);
        for (int i = 0; (row = row_at(cfg, i)); i++)
            if (row->library != LIBRARY_LENS && strncmp(row->name, text[v], len) == 0 &&
                strncmp(row->name + len, ".%d.", strlen(".%d.")) == 0)
                return row;
    }
    return NULL;
}

static int fail_unknown(const struct config *cfg, const char *name, struct err *e)
{
    char near[LIMIT_NAME];
    struct site_ref s;
    const struct alias_row *row = row_in_list(cfg, name);
    if (row)
        return err_set(
            e, ERR_BAD_INPUT,
            "no hook \"%.100s\" · a list of layers, which never runs · its layers do: %s", name,
            row_name(row, row->library, 0, near));
    /* a bare hook name ("hook_z", "z") is site_find's to complete */
    bool path = strpbrk(name, ".[") || strncmp(name, "layer_", 6) == 0;
    long at;
    if (site_absence(cfg, name) || !path || (rest_of_block(name, &at) && at >= cfg->n_layers) ||
        nearest_site(cfg, name) <= nearest_name(cfg, name, near))
        return site_find(cfg, name, &s, e);
    return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · the nearest is %s", name, near);
}

static int check_row(const struct config *cfg, const struct alias_row *row, const int32_t number[2],
                     const char *name, struct err *e)
{
    int32_t layer = number[0];
    if (row->means == ALIAS_REFUSED)
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · %s", name, row->note);
    if (!row_holds(cfg, row, layer)) { /* TransformerLens' own meaning of the name first */
        const char *why = row->second ? site_absence(cfg, name) : NULL;
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" in this model · %s", name,
                       why ? why : row_absence(cfg, row, layer));
    }
    if (layer >= cfg->n_layers)
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · this model has layers 0..%d", name,
                       (int)cfg->n_layers - 1);
    if (meanings[row->means].form == FORM_EXPERT && number[1] >= cfg->n_experts)
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · this model has experts 0..%d", name,
                       (int)cfg->n_experts - 1);
    return 0;
}

int alias_find(const struct config *cfg, const char *name, struct alias_value *out, struct err *e)
{
    struct site_ref s;
    int32_t number[2];
    if (site_find(cfg, name, &s, NULL) == 0) {
        *out = site_value(s);
        return 0;
    }
    const struct alias_row *row = find_row(cfg, name, number);
    if (!row)
        return fail_unknown(cfg, name, e);
    int rc = check_row(cfg, row, number, name, e);
    if (rc)
        return rc;
    *out = row_value(cfg, row, number[0]);
    out->expert = out->form == FORM_EXPERT ? number[1] : 0;
    if (row->library == LIBRARY_HF && strchr(name, '[') && !strstr(row->name, "output."))
        out->library = LIBRARY_NNSIGHT;
    return 0;
}

/* ---- all names ---- */

/* What experts have under the names that a pattern (NULL: any) matches, in one layer; list NULL:
 * only how many. */
static int pick_experts(const struct config *cfg, const char *pattern, int32_t layer,
                        struct alias_pick *list)
{
    int n = 0;
    for (int32_t x = 0; layer_in(&cfg->moe, layer) && x < cfg->n_experts; x++)
        for (int i = 0; i < alias_lens_count; i++) {
            char name[LIMIT_NAME];
            row_name_of(&alias_lens[i], LIBRARY_LENS, layer, x, name);
            if (pattern && !site_glob(pattern, name))
                continue;
            if (list) {
                list[n].value = row_value(cfg, &alias_lens[i], layer);
                list[n].value.expert = x;
                memcpy(list[n].name, name, sizeof name);
            }
            n++;
        }
    return n;
}

/* Does a site stand behind the experts of a layer? */
static bool is_behind(struct site_ref s, int32_t layer)
{
    enum site_scope scope = site_table[s.id].scope;
    return scope == SCOPE_FINAL ||
           (scope == SCOPE_BLOCK &&
            (s.layer > layer || (s.layer == layer && s.id >= SITE_EXPERT_GATE)));
}

/* Those of a pattern (NULL: all) under TransformerLens' names: sites, and what experts have. */
static int pick_sites(const struct config *cfg, const char *pattern, struct alias_pick **out,
                      struct err *e)
{
    struct site_ref *sites = malloc(((size_t)cfg->n_layers + 1) * SITE_COUNT * sizeof *sites);
    if (!sites)
        return err_memory(e, "names");
    int n = pattern ? site_select(cfg, pattern, sites, e) : site_list(cfg, sites), more = 0, k = 0;
    for (int32_t l = 0; l < cfg->n_layers && (!pattern || site_missing_layer(cfg, pattern) < 0);
         l++)
        more += pick_experts(cfg, pattern, l, NULL);
    n = n < 0 && more ? 0 : n;
    struct alias_pick *list = n + more > 0 ? malloc((size_t)(n + more) * sizeof *list) : NULL;
    if (n + more > 0 && !list)
        n = err_memory(e, "names");
    int32_t layer = more ? 0 : cfg->n_layers;
    for (int i = 0; list && i < n; i++) {
        for (; layer < cfg->n_layers && is_behind(sites[i], layer); layer++)
            k += pick_experts(cfg, pattern, layer, list + k);
        list[k].value = site_value(sites[i]);
        site_name(sites[i], list[k++].name);
    }
    for (; list && layer < cfg->n_layers; layer++)
        k += pick_experts(cfg, pattern, layer, list + k);
    free(sites);
    if (list)
        *out = list;
    return list ? k : n;
}

/* Rows that stand before, within or after the blocks. */
static enum site_scope row_scope(const struct alias_row *row)
{
    return row_in_block(row) ? SCOPE_BLOCK : meanings[row->means].scope;
}

static void list_scope(const struct config *cfg, enum alias_library t, enum site_scope scope,
                       int32_t layer, struct alias_pick *out, int *n)
{
    const struct alias_row *row;
    for (int i = 0; (row = row_at(cfg, i)); i++) {
        if (row_scope(row) != scope || !row_shown(cfg, row, t, layer))
            continue;
        out[*n].value = row_value(cfg, row, layer);
        out[*n].value.library = t;
        row_name(row, t, layer, out[*n].name);
        ++*n;
    }
}

int alias_list(const struct config *cfg, enum alias_library t, struct alias_pick **out,
               struct err *e)
{
    if (t == LIBRARY_LENS)
        return pick_sites(cfg, NULL, out, e);
    size_t rows = 0;
    while (row_at(cfg, (int)rows))
        rows++;
    struct alias_pick *list = malloc(((size_t)cfg->n_layers + 2) * rows * sizeof *list);
    if (!list)
        return err_memory(e, "names");
    int n = 0;
    list_scope(cfg, t, SCOPE_EMBED, 0, list, &n);
    for (int32_t l = 0; l < cfg->n_layers; l++)
        list_scope(cfg, t, SCOPE_BLOCK, l, list, &n);
    list_scope(cfg, t, SCOPE_FINAL, 0, list, &n);
    *out = list;
    return n;
}

/* A name for a copy (hook_mlp_in) also names what it copies. */
static bool shows(const struct config *cfg, const struct alias_value *v, struct site_ref s)
{
    for (int i = 0; i < v->n_sites; i++) {
        struct site_ref at = v->site[i];
        if (at.layer == s.layer && (at.id == s.id || site_origin(cfg, at.id) == s.id))
            return true;
    }
    return false;
}

bool alias_name(const struct config *cfg, struct site_ref s, enum alias_library t, int index,
                char buf[LIMIT_NAME])
{
    if (t == LIBRARY_LENS)
        return index == 0 && site_name(s, buf);
    enum { ALONE_IN_BLOCK, ALONE_OUTSIDE, WITHIN, PASSES };
    const struct alias_row *row;
    for (int pass = 0; pass < PASSES; pass++)
        for (int i = 0; (row = row_at(cfg, i)); i++) {
            if (!row_shown(cfg, row, t, s.layer < 0 ? 0 : s.layer))
                continue;
            struct alias_value v = row_value(cfg, row, s.layer);
            int alone = row_in_block(row) ? ALONE_IN_BLOCK : ALONE_OUTSIDE;
            if (pass != (v.n_sites == 1 ? alone : WITHIN) || !shows(cfg, &v, s) || index-- > 0)
                continue;
            row_name(row, t, s.layer, buf);
            return true;
        }
    return false;
}

const char *alias_absence(enum site_id id, enum alias_library t)
{
    for (size_t i = 0; i < sizeof absences / sizeof *absences; i++)
        if (absences[i].id == id && absences[i].library == rows_of(t))
            return absences[i].why;
    return t == LIBRARY_TAKER ? "not a hook point there" : "no such point there";
}

/* ---- patterns ---- */

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
        return err_memory(e, "names");
    pick->value = v;
    snprintf(pick->name, sizeof pick->name, "%s", name);
    *out = pick;
    return 1;
}

static bool row_matches(const struct alias_row *row, const char *pattern, int32_t layer)
{
    char name[LIMIT_NAME], flat[LIMIT_PATTERN];
    row_name(row, row->library, layer, name);
    return alias_flatten(name, flat) && site_glob(pattern, flat);
}

/* A layer beyond the model that the pattern names without a wildcard, besides some within, or -1:
 * the rest would otherwise hide that it did nothing there. */
static int32_t missing_layer(const struct config *cfg, const char *pattern)
{
    const struct alias_row *row;
    for (int i = 0; strchr(pattern, '{') && (row = row_at(cfg, i)); i++) {
        if (!row_in_block(row) || !row_holds(cfg, row, SITE_ROOT) ||
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

/* The names of one library that match; how many, or negative. */
static int pick_library(const struct config *cfg, const char *pattern, enum alias_library t,
                        struct alias_pick **out, struct err *e)
{
    struct alias_pick *list = NULL;
    int n = alias_list(cfg, t, &list, e), kept = n < 0 ? n : 0;
    for (int i = 0; i < n; i++) {
        char flat[LIMIT_PATTERN];
        if (alias_flatten(list[i].name, flat) && site_glob(pattern, flat))
            list[kept++] = list[i];
    }
    int32_t missing = kept > 0 ? missing_layer(cfg, pattern) : -1;
    if (missing >= 0)
        kept = err_set(e, ERR_BAD_INPUT, "no layer %d for \"%.100s\" · this model has layers 0..%d",
                       (int)missing, pattern, (int)cfg->n_layers - 1);
    if (kept > 0)
        *out = list;
    else
        free(list);
    return kept;
}

int alias_select(const struct config *cfg, const char *pattern, struct alias_pick **out,
                 struct err *e)
{
    static const enum alias_library libraries[] = {LIBRARY_BRIDGE, LIBRARY_HF, LIBRARY_TAKER};
    int32_t number[2];
    if (!site_is_pattern(pattern) || find_row(cfg, pattern, number))
        return pick_one(cfg, pattern, out, e);
    int n = pick_sites(cfg, pattern, out, e);
    if (n > 0 || n == ERR_SYSTEM)
        return n;
    char text[ALIAS_VARIANTS][LIMIT_PATTERN];
    int n_texts = alias_variants(cfg, pattern, text);
    for (int v = 0; v < n_texts; v++)
        for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
            int k = pick_library(cfg, text[v], libraries[i], out, e);
            if (k != 0)
                return k;
        }
    return n;
}
