/* rule_tree.c - one fact, one place: rows of .def files, lists of sources, packages.
 *
 * Tested through tests/tidy/bad. */
#include "tidy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For every row MACRO(...) of `def` take its argument `arg` (lower-cased if `lower`): another file
 * whose path starts with path[0] (+ argument + path[1], if there is one) holds wanted[0] + argument
 * + wanted[1]. '|' separates paths, any of which will do. Every .def file has a line here. */
static const struct row_rule {
    const char *def, *macro;
    int arg;
    bool lower;
    const char *path[2], *wanted[2];
} row_rules[] = {
    {"engine/model/arch_names.def",
     "ALIAS",
     0,
     false,
     {"engine/model/arch_|engine/names/alias_bridge.c"},
     {"", ""}},
    {"engine/model/arch.def", "ARCH", 0, false, {"engine/model/arch_"}, {"", ""}},
    {"engine/edit/edit.def", "EDIT_OP", 1, false, {"tests/engine/test_edit"}, {" ", " "}},
    {"engine/edit/edit.def", "EDIT_VALUE", 0, false, {"engine/edit/edit_"}, {"EDIT_", ""}},
    {"engine/edit/taker.def", "TAKER_POINT", 0, false, {"engine/model/arch_"}, {"TAKER(\"", "\""}},
    {"engine/edit/taker.def", "TAKER_HOOK", 1, false, {"docs/taker.md"}, {"`", "`"}},
    {"engine/model/site.def", "SITE", 0, false, {"engine/model/plan"}, {"", ""}},
    {"engine/names/named_weight.def", "NAMED", 0, false, {"engine/model/weight.def"}, {"(", ","}},
    {"engine/model/weight.def", "WEIGHT", 0, false, {"engine/model/plan.c"}, {"", ""}},
    {"engine/model/config.def", "CONFIG", 1, false, {"engine/"}, {"->", ""}},
    {"engine/model/dim.def", "DIM", 0, false, {"engine/model/"}, {"", ""}},
    {"engine/model/property.def", "PROPERTY", 0, false, {"engine/"}, {"", ""}},
    {"engine/lab/stats.def", "STAT", 0, false, {"docs/lab.md"}, {"`", "`"}},
    {"engine/lab/stats.def", "DERIVED", 0, false, {"docs/lab.md"}, {"`", "`"}},
    {"engine/lab/eval.def", "MEASURE", 0, false, {"docs/lab.md"}, {"`", "`"}},
    {"engine/lab/eval.def", "CHOICE", 0, false, {"docs/lab.md"}, {"`", "`"}},
    {"engine/lab/eval.def", "EDITED", 0, false, {"docs/lab.md"}, {"`", "`"}},
    {"engine/lab/score.def", "SCORE", 0, false, {"docs/lab.md"}, {"`", "`"}},
    {"engine/session/want.def", "WANT", 3, false, {"engine/session/figure_kinds"}, {"int ", "("}},
    {"tui/commands.def", "COMMAND", 0, false, {"tui/cli/"}, {"int cli_", "(struct cli *c)"}},
    {"tui/options.def", "FLAG", 0, false, {"tui/"}, {"->", ""}},
    {"tui/options.def", "TEXT", 0, false, {"tui/"}, {"->", ""}},
    {"tui/options.def", "LIST", 0, false, {"tui/"}, {"->", ""}},
    {"tui/options.def", "INT", 0, false, {"tui/"}, {"->", ""}},
    {"tui/options.def", "REAL", 0, false, {"tui/"}, {"->", ""}},
    {"engine/measure/check.def",
     "CHECK",
     0,
     false,
     {"engine/measure/check"},
     {"int ", "(struct check *k"}},
    {"tui/actions.def", "ACTION", 0, false, {"tui/action/"}, {"act_", "("}},
    {"tui/quantity.def", "QUANTITY", 2, false, {"engine/session/want.def"}, {"WANT(", ","}},
    {"tui/save/saved.def", "SAVED", 0, false, {"tui/save/session_app.c"}, {"SAVED_", ""}},
    {"tui/views.def", "VIEW", 1, false, {"tui/view/", ".c"}, {"view_", ""}},
    {"tui/quantity.def", "QUANTITY", 3, false, {"engine/model/site.def"}, {"SITE(", ","}},
    {"tui/pull/late.def", "LATE", 2, false, {"tui/pull/"}, {"->", ""}},
    {"kernels/dtype.def", "KN_DTYPE", 0, false, {"kernels/view.c"}, {"KN_", ""}},
    {"kernels/dtype.def", "KN_BLOCKS", 0, false, {"kernels/quant.c"}, {"KN_", ""}},
    {"kernels/ops.def", "KN_OP", 0, false, {"tests/kernels/test_"}, {"KN_OP_", ""}},
    {"kernels/ops.def", "KN_OP", 0, false, {"kernels/gpu/"}, {"gpu_", "("}},
    {"kernels/gpu/kernels.def",
     "GPU_KERNEL",
     0,
     false,
     {"kernels/gpu/lower_|kernels/gpu/gpu.c|kernels/cuda/blas.c"},
     {"", ""}},
    {"kernels/cuda/driver.def", "CU", 0, false, {"kernels/cuda/"}, {"", "("}},
    {"kernels/cuda/driver.def", "CU", 1, false, {"tests/fake/"}, {"cu_result ", "("}},
    {"kernels/gpu/kernels.def", "GPU_MMA", 0, false, {"kernels/gpu/lower_linear.c"}, {"", ""}},
    {"kernels/gpu/kernels.def", "GPU_MMA", 3, false, {"kernels/gpu/", ".k"}, {"", ".k"}},
    {"kernels/gpu/kernels.def", "GPU_KERNEL", 3, false, {"kernels/gpu/", ".k"}, {"", ".k"}},
    {"kernels/vulkan/api.def", "VK_CALL", 1, false, {"kernels/vulkan/"}, {"api.", "("}},
};

/* Argument `arg` of the macro call whose opening parenthesis is at p, without quotes. */
static bool argument(const char *p, int arg, char *out, size_t size)
{
    p++;
    for (; arg > 0; arg--) {
        p += strcspn(p, ",)\n");
        if (*p != ',')
            return false;
        p++;
    }
    p += strspn(p, " \"");
    size_t n = strcspn(p, ",)\"\n");
    while (n > 0 && p[n - 1] == ' ')
        n--;
    snprintf(out, size, "%.*s", (int)n, p);
    return n > 0 && n < size;
}

/* Is `wanted` in a file other than `def` whose path starts with one of `paths`? */
static bool wanted_somewhere(const struct tree *t, const struct source *def, const char *paths,
                             const char *wanted)
{
    for (const char *p = paths; *p; p += strcspn(p, "|"), p += *p == '|') {
        char path[128];
        snprintf(path, sizeof path, "%.*s", (int)strcspn(p, "|"), p);
        for (int i = 0; i < t->n; i++)
            if (&t->files[i] != def && path_in(t->files[i].path, path) &&
                strstr(t->files[i].text, wanted))
                return true;
    }
    return false;
}

static void rows_of(const struct tree *t, const struct source *s, const struct row_rule *r)
{
    size_t n = strlen(r->macro);
    int rows = 0;
    for (size_t at = 0; at < s->len; at += strcspn(s->code + at, "\n") + 1) {
        char name[64];
        if (strncmp(s->code + at, r->macro, n) != 0 || s->code[at + n] != '(')
            continue;
        rows++;
        if (!argument(s->text + at + n, r->arg, name, sizeof name)) {
            report(s, at, "row", NULL, "no argument %d", r->arg);
            continue;
        }
        for (char *p = name; r->lower && *p; p++)
            *p = (char)tolower((unsigned char)*p);
        char path[128], wanted[128];
        snprintf(path, sizeof path, "%s%s%s", r->path[0], r->path[1] ? name : "",
                 r->path[1] ? r->path[1] : "");
        snprintf(wanted, sizeof wanted, "%s%s%s", r->wanted[0], name, r->wanted[1]);
        if (!wanted_somewhere(t, s, path, wanted))
            report(s, at, "row", name, "no %s… holds %s", path, wanted);
    }
    if (rows == 0)
        report(s, 0, "row", NULL, "no row %s(", r->macro);
}

void rule_rows(const struct tree *t, const struct source *s)
{
    bool known = false;
    if (!path_ends(s->path, ".def"))
        return;
    for (size_t i = 0; i < sizeof row_rules / sizeof *row_rules; i++)
        if (strcmp(row_rules[i].def, s->path) == 0) {
            known = true;
            rows_of(t, s, &row_rules[i]);
        }
    if (!known)
        report(s, 0, "row", NULL, "tests/tidy/rule_tree.c has no rule for this table");
}

void rule_flags(const struct tree *t, const struct source *s)
{
    (void)t;
    static const char *const globs[] = {"GLOB", "GLOB_RECURSE"};
    if (!path_ends(s->path, "CMakeLists.txt") && !path_ends(s->path, ".cmake"))
        return;
    size_t n;
    for (size_t at = 0; (n = next_word(s->text, &at)) > 0; at += n)
        for (size_t i = 0; i < sizeof globs / sizeof *globs; i++)
            if (n == strlen(globs[i]) && strncmp(s->text + at, globs[i], n) == 0)
                report(s, at, "flags", NULL, "name the sources, a glob is not rerun");
}

/* Does a CMakeLists.txt name this file: its path from there, or where it loops, "scale" of
 * test_scale.c? */
static bool names_file(const struct source *list, const char *path)
{
    if (strstr(list->text, path))
        return true;
    const char *stem = strstr(path, "_");
    size_t n = stem ? strcspn(++stem, ".") : 0;
    if (n == 0 || strchr(path, '/') || !strstr(list->text, "foreach("))
        return false;
    size_t len;
    for (size_t at = 0; (len = next_word(list->text, &at)) > 0; at += len)
        if (len == n && strncmp(list->text + at, stem, n) == 0)
            return true;
    return false;
}

/* Every .c file is named in a CMakeLists.txt of its folder or of one above, so that none is left
 * out. */
void rule_listed(const struct tree *t, const struct source *s)
{
    if (!path_ends(s->path, ".c") || !strchr(s->path, '/'))
        return;
    for (int i = 0; i < t->n; i++) {
        const char *list = t->files[i].path, *end = strrchr(list, '/');
        size_t dir = end ? (size_t)(end - list) + 1 : 0;
        if (path_ends(list, "CMakeLists.txt") && strncmp(s->path, list, dir) == 0 &&
            names_file(&t->files[i], s->path + dir))
            return;
    }
    report(s, 0, "listed", NULL, "no CMakeLists.txt names this file");
}

/* Every pkg-config module that a CMakeLists.txt asks for is one that ./dev installs. */
void rule_packages(const struct tree *t, const struct source *s)
{
    static const char call[] = "pkg_check_modules(";
    const struct source *dev = tree_find(t, "dev");
    if (!path_ends(s->path, "CMakeLists.txt") || dev == NULL)
        return;
    for (const char *p = s->text; (p = strstr(p, call)) != NULL; p += sizeof call) {
        const char *end = strchr(p, ')');
        while (end && end > p && isspace((unsigned char)end[-1]))
            end--;
        const char *module = end;
        while (module && module > p && !isspace((unsigned char)module[-1]))
            module--;
        char wanted[80];
        snprintf(wanted, sizeof wanted, "lib:%.*s ", module ? (int)(end - module) : 0,
                 module ? module : "");
        if (!strstr(dev->text, wanted))
            report(s, (size_t)(p - s->text), "packages", NULL, "./dev does not know %s", wanted);
    }
}

/* Is there a file of this path, or of this name below some folder? */
static bool is_in_tree(const struct tree *t, const char *path)
{
    char below[128];
    snprintf(below, sizeof below, "/%s", path);
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->files[i].path, path) == 0 || path_ends(t->files[i].path, below))
            return true;
    return false;
}

/* A source file that a document names in backquotes is there: `engine/model/plan.c`, `plan.c`; not
 * `arch_NAME.c`. */
void rule_named(const struct tree *t, const struct source *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-./";
    static const char *const endings[] = {".c", ".h", ".def", ".keys"};
    if (!path_ends(s->path, ".md"))
        return;
    for (const char *p = s->text; (p = strchr(p, '`')) != NULL; p++) {
        char path[120];
        size_t n = strspn(p + 1, letters);
        if (n == 0 || n >= sizeof path || p[n + 1] != '`')
            continue;
        snprintf(path, sizeof path, "%.*s", (int)n, p + 1);
        for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
            if (path_ends(path, endings[i]) && n > strlen(endings[i]) && !is_in_tree(t, path))
                report(s, (size_t)(p - s->text), "named", path, "there is no %s", path);
    }
}
