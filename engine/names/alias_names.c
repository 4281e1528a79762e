/* alias_names.c - the names of sites in each library: rows of arch_*.c and alias_bridge.c spelled
 * out for a model.
 *
 * Tested in tests/engine/test_alias.c. */
#include "names/alias_names.h"

#include "model/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SITES0     \
    0,             \
    {              \
        SITE_EMBED \
    }
#define SITES1(a) \
    1,            \
    {             \
        SITE_##a  \
    }
#define SITES3(a, b, c)              \
    3,                               \
    {                                \
        SITE_##a, SITE_##b, SITE_##c \
    }

const struct alias_meaning alias_meanings[ALIAS_COUNT] = {
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

void alias_tables(const struct config *cfg, const struct alias_row *tables[ALIAS_TABLES])
{
    tables[0] = alias_bridge;
    tables[1] = cfg->arch ? cfg->arch->names : NULL;
    tables[2] = NULL;
}

bool alias_row_in_block(const struct alias_row *row)
{
    return strstr(row->name, "%d") != NULL;
}

bool alias_row_holds(const struct config *cfg, const struct alias_row *row)
{
    const struct alias_meaning *m = &alias_meanings[row->means];
    if (!config_has(cfg, row->when))
        return false;
    for (int i = 0; i < m->n_sites; i++)
        if (!site_exists(cfg, m->sites[i]) || site_refusal(cfg, m->sites[i]))
            return false;
    return true;
}

/* A tuple's element at the end of a path: ".0", ".1". */
static bool is_element(const char *p)
{
    return p[0] == '.' && p[1] >= '0' && p[1] <= '9' && p[2] == '\0';
}

char *alias_row_name(const struct alias_row *row, enum alias_library t, int32_t layer,
                     char buf[LIMIT_NAME])
{
    bool nnsight = t == LIBRARY_NNSIGHT;
    size_t n = 0;
    if (nnsight)
        n += (size_t)snprintf(buf, LIMIT_NAME, "model.");
    for (const char *p = row->name; *p && n + 16 < LIMIT_NAME; p++) {
        if (nnsight && strncmp(p, ".%d", 3) == 0) {
            n += (size_t)snprintf(buf + n, LIMIT_NAME - n, "[%d]", (int)layer);
            p += 2;
        } else if (strncmp(p, "%d", 2) == 0) {
            n += (size_t)snprintf(buf + n, LIMIT_NAME - n, "%d", (int)layer);
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

static struct site_ref place(const struct config *cfg, enum site_id id, enum site_scope scope,
                             int32_t layer)
{
    if (site_table[id].scope != SCOPE_BLOCK)
        return (struct site_ref){id, SITE_ROOT};
    return (struct site_ref){id, scope == SCOPE_EMBED   ? 0
                                 : scope == SCOPE_FINAL ? cfg->n_layers - 1
                                                        : layer};
}

struct alias_value alias_row_value(const struct config *cfg, const struct alias_row *row,
                                   int32_t layer)
{
    const struct alias_meaning *m = &alias_meanings[row->means];
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

/* ---- listing
 * --------------------------------------------------------------------------------------- */

enum stretch { BEFORE, WITHIN, AFTER }; /* the blocks */

static void list_stretch(const struct config *cfg, const struct alias_row *table,
                         enum alias_library t, enum stretch where, int32_t layer,
                         struct alias_pick *out, int *n)
{
    enum alias_library of = t == LIBRARY_NNSIGHT ? LIBRARY_HF : t;
    bool blocks_seen = false;
    for (const struct alias_row *row = table; row && row->name; row++) {
        bool in_block = alias_row_in_block(row);
        enum stretch here = in_block ? WITHIN : blocks_seen ? AFTER : BEFORE;
        blocks_seen |= in_block;
        if (here != where || row->library != of || row->second || !alias_row_holds(cfg, row))
            continue;
        out[*n].value = alias_row_value(cfg, row, layer);
        out[*n].value.library = t;
        alias_row_name(row, t, layer, out[*n].name);
        ++*n;
    }
}

static int list_sites(const struct config *cfg, struct alias_pick *out, struct err *e)
{
    struct site_ref *sites = malloc(((size_t)cfg->n_layers + 1) * SITE_COUNT * sizeof *sites);
    if (!sites)
        return err_set(e, ERR_SYSTEM, "out of memory for names");
    int n = site_list(cfg, sites);
    for (int i = 0; i < n; i++) {
        out[i].value = (struct alias_value){.form = FORM_SITE,
                                            .library = LIBRARY_LENS,
                                            .n_sites = 1,
                                            .site = {sites[i]},
                                            .n_edits = 1,
                                            .edit = {sites[i]}};
        site_name(sites[i], out[i].name);
    }
    free(sites);
    return n;
}

int alias_list(const struct config *cfg, enum alias_library t, struct alias_pick **out,
               struct err *e)
{
    const struct alias_row *tables[ALIAS_TABLES];
    alias_tables(cfg, tables);
    size_t rows = SITE_COUNT;
    for (int i = 0; i < ALIAS_TABLES; i++)
        for (const struct alias_row *row = tables[i]; row && row->name; row++)
            rows++;
    struct alias_pick *list = malloc(((size_t)cfg->n_layers + 2) * rows * sizeof *list);
    if (!list)
        return err_set(e, ERR_SYSTEM, "out of memory for names");
    int n = 0;
    if (t == LIBRARY_LENS)
        n = list_sites(cfg, list, e);
    for (int i = 0; i < ALIAS_TABLES && t != LIBRARY_LENS; i++)
        list_stretch(cfg, tables[i], t, BEFORE, 0, list, &n);
    for (int32_t l = 0; l < cfg->n_layers && t != LIBRARY_LENS; l++)
        for (int i = 0; i < ALIAS_TABLES; i++)
            list_stretch(cfg, tables[i], t, WITHIN, l, list, &n);
    for (int i = 0; i < ALIAS_TABLES && t != LIBRARY_LENS; i++)
        list_stretch(cfg, tables[i], t, AFTER, 0, list, &n);
    if (n < 0) {
        free(list);
        return n;
    }
    *out = list;
    return n;
}

/* ---- the names of one site
 * ------------------------------------------------------------------------- */

/* A name for a copy (hook_mlp_in) also names what it copies. */
static bool shows(const struct config *cfg, const struct alias_value *v, struct site_ref s)
{
    for (int i = 0; i < v->n_sites; i++) {
        struct site_ref at = v->site[i];
        if (at.layer != s.layer)
            continue;
        if (at.id == s.id || site_copied(cfg, at.id) == s.id)
            return true;
    }
    return false;
}

bool alias_name(const struct config *cfg, struct site_ref s, enum alias_library t, int index,
                char buf[LIMIT_NAME])
{
    if (t == LIBRARY_LENS)
        return index == 0 && site_name(s, buf);
    const struct alias_row *tables[ALIAS_TABLES];
    alias_tables(cfg, tables);
    enum alias_library of = t == LIBRARY_NNSIGHT ? LIBRARY_HF : t;
    /* alone in a block, alone outside, within something larger */
    for (int pass = 0; pass < 3; pass++)
        for (int i = 0; i < ALIAS_TABLES; i++)
            for (const struct alias_row *row = tables[i]; row && row->name; row++) {
                if (row->library != of || row->second || !alias_row_holds(cfg, row))
                    continue;
                struct alias_value v = alias_row_value(cfg, row, s.layer);
                bool alone = v.form == FORM_SITE || v.form == FORM_FLAT;
                if (pass != (!alone                    ? 2
                             : alias_row_in_block(row) ? 0
                                                       : 1) ||
                    !shows(cfg, &v, s) || index-- > 0)
                    continue;
                alias_row_name(row, t, s.layer, buf);
                return true;
            }
    return false;
}

const char *alias_absence(enum site_id id, enum alias_library t)
{
    enum alias_library of = t == LIBRARY_NNSIGHT ? LIBRARY_HF : t;
    for (size_t i = 0; i < sizeof absences / sizeof *absences; i++)
        if (absences[i].id == id && absences[i].library == of)
            return absences[i].why;
    return of == LIBRARY_TAKER ? "not a hook point there" : "no such point there";
}
