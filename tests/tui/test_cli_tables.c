/* test_cli_tables.c - `borescope hooks` of whole models from their published configs alone: every
 * hook point of TransformerLens in firing order with its shape and switch, and all names in other
 * libraries.
 *
 * tables/NAME.tsv holds what must be printed, one block for all ("{l}" is the layer); `lens` rows
 * are the library's own table, `port` rows come with --names. */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES "tests/tui/tables/"
enum { ROWS_MAX = 64, LINE_MAX_BYTES = 512 };

struct golden {
    char *text;
    const char *row[ROWS_MAX]; /* without their first column */
    bool lens[ROWS_MAX];
    int n;
};

static struct golden golden_open(const char *name)
{
    struct golden g = {.n = 0};
    char path[128];
    size_t len;
    snprintf(path, sizeof path, TABLES "%s.tsv", name);
    g.text = file_read(path, &len);
    for (char *line = g.text, *end; *line; line = end) {
        end = strchr(line, '\n');
        assert_non_null(end);
        *end++ = '\0';
        assert_true(g.n < ROWS_MAX && line[4] == '\t');
        g.lens[g.n] = strncmp(line, "lens", 4) == 0;
        g.row[g.n++] = line + 5;
    }
    return g;
}

static bool in_block(const char *row)
{
    return strncmp(row, "blocks.{l}.", 11) == 0;
}

/* The row with its layer; the first five columns only, or all. */
static void expand(const char *row, int layer, bool names, char out[LINE_MAX_BYTES])
{
    size_t n = 0;
    int tabs = 0;
    for (const char *p = row; *p && n + 8 < LINE_MAX_BYTES; p++) {
        if (*p == '\t' && ++tabs == 5 && !names)
            break;
        if (strncmp(p, "{l}", 3) == 0) {
            n += (size_t)snprintf(out + n, LINE_MAX_BYTES - n, "%d", layer);
            p += 2;
        } else {
            out[n++] = *p;
        }
    }
    out[n] = '\0';
}

static const char *take_line(const char *at, const char *want)
{
    size_t len = strlen(want);
    if (strncmp(at, want, len) != 0 || at[len] != '\n')
        fail_msg("printed: %.*s\nwanted:  %s", (int)strcspn(at, "\n"), at, want);
    return at + len + 1;
}

/* The whole output against the table; returns how many rows fire. */
static int check_output(const char *out, const struct golden *g, int n_layers, bool names)
{
    char line[LINE_MAX_BYTES];
    int fires = 0;
    for (int i = 0; i < g->n;) {
        int end = i + 1;
        while (in_block(g->row[i]) && end < g->n && in_block(g->row[end]))
            end++;
        for (int layer = 0; layer < (in_block(g->row[i]) ? n_layers : 1); layer++)
            for (int k = i; k < end; k++)
                if (names || g->lens[k]) {
                    expand(g->row[k], layer, names, line);
                    out = take_line(out, line);
                    fires += g->lens[k] && strstr(line, "\tyes");
                }
        i = end;
    }
    assert_int_equal(*out, '\0');
    return fires;
}

static void prints_the_tables(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int layers, fires; /* 17L+6, 18L+5, 20L+5 */
    } models[] = {{"gpt2", 12, 210}, {"pythia", 12, 221}, {"llama", 16, 325}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct golden g = golden_open(models[i].name);
        char *folder = folder_make(), *config = folder_path(folder, "config.json"), path[128];
        size_t len;
        snprintf(path, sizeof path, TABLES "%s.json", models[i].name);
        char *text = file_read(path, &len);
        FILE *f = fopen(config, "wbe");
        assert_true(f && fwrite(text, 1, len, f) == len && fclose(f) == 0);
        struct result plain = RUN("hooks", folder, "--tsv"),
                      all = RUN("hooks", folder, "--names", "all", "--tsv");
        assert_int_equal(plain.status, 0);
        assert_int_equal(all.status, 0);
        assert_int_equal(check_output(plain.out, &g, models[i].layers, false), models[i].fires);
        assert_int_equal(check_output(all.out, &g, models[i].layers, true), models[i].fires);
        result_free(&plain), result_free(&all);
        free(g.text), free(text), free(config);
        folder_remove(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
