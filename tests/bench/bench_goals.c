/* bench_goals.c - one table of what is asked for and what is reached on this machine.
 *
 *   bench_goals [--threads N] [--busy] [--json FILE] [PART]...
 *
 * Runs the benchmarks beside it that measure goals, one after the other, and prints their rows as
 * they come: the machine's own limits first, then each figure as median and quartiles with the goal
 * beside it.  FILE gets the same as JSON.  Models that several parts use are made once.
 */
#include "bench.h"
#include "bench_row.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order of the table; what a part that is not there would have measured, and why it may be
 * missing. */
static const struct part {
    const char *name, *goals, *absent;
} parts[] = {
    {"linear", "", ""},
    {"share", "G15, G16, G17", ""},
    {"run", "G4, G6", ""},
    {"attention", "", ""},
    {"lens", "G10", ""},
    {"peer", "G1, G2, G5, G9, G11, G18", ""},
    {"attribute", "G11", ""},
    {"sweep", "G7, G8", "this tree has no bench_sweep"},
    {"lab", "lab", ""},
    {"start", "G12, G13, G14", ""},
    {"explorer", "explorer", "built without libvterm"},
};
/* Goals that no part measures. */
static const struct bench_row unmeasured[] = {
    {.goal = "G3",
     .what = "Llama-1B's size, bf16 / the best C engine",
     .sense = "<=",
     .must = .40,
     .absent = "no random model of 2.5 GB is made"},
    {.goal = "G16",
     .what = "cancelled -> idle, 8B",
     .sense = "<=",
     .must = 20,
     .absent = "no random model of 16 GB is made"},
};

static json_t *rows;

static void take(const json_t *line)
{
    struct bench_row r;
    if (!bench_row_read(line, &r))
        return;
    bench_row_print(&r);
    json_array_append(rows, (json_t *)line);
}

static void absent(const char *goal, const char *what, const char *why)
{
    json_t *o = json_pack("{ss ss ss ss sf ss}", "goal", goal, "what", what, "unit", "", "sense",
                          "", "must", 0.0, "absent", why);
    take(o);
    json_decref(o);
}

static void run(const char *folder, const struct part *p)
{
    char command[1024], line[4096], why[160];
    snprintf(command, sizeof command, "%s/bench_%s", folder, p->name);
    if (access(command, X_OK)) {
        absent(p->goals, p->name, p->absent);
        return;
    }
    snprintf(command, sizeof command, "BENCH_ROWS=1 '%s/bench_%s' --goals --threads %d%s", folder,
             p->name, bench_options.threads, bench_options.busy ? " --busy" : "");
    FILE *f = popen(command, "r");
    while (f && fgets(line, sizeof line, f)) {
        json_t *o = json_loads(line, 0, NULL);
        take(o);
        json_decref(o);
    }
    int status = f ? pclose(f) : -1;
    if (status) {
        snprintf(why, sizeof why, "bench_%s ended with status %d", p->name, status);
        absent(p->goals, p->name, why);
    }
}

static bool chosen(const char *name, char **names, int n)
{
    bool any = n == 0;
    for (int i = 0; i < n; i++)
        any |= strcmp(names[i], name) == 0;
    return any;
}

static void write_json(const char *path)
{
    json_t *o = json_pack("{si sb sO}", "threads", bench_options.threads, "busy",
                          bench_options.busy, "rows", rows);
    if (json_dump_file(o, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6))) {
        fprintf(stderr, "bench_goals: %s cannot be written\n", path);
        exit(1);
    }
    json_decref(o);
}

int main(int argc, char **argv)
{
    const char *json = NULL;
    char models[64], *own = strdup(argv[0]), *folder = dirname(own);
    bench_take_options(&argc, argv);
    if (argc > 2 && strcmp(argv[1], "--json") == 0)
        json = argv[2], argc -= 2, argv += 2;
    rows = json_array();
    bool made = !getenv("BENCH_MODELS");
    snprintf(models, sizeof models, "/tmp/borescope-models-XXXXXX");
    if (made && (!mkdtemp(models) || setenv("BENCH_MODELS", models, 1)))
        return fprintf(stderr, "bench_goals: %s cannot be made\n", models), 1;
    printf("%-4s %-66s %8s %-8s %8s   %-8s %s\n", "goal", "figure", "median", "", "quartile",
           "quartile", "goal");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (chosen(parts[i].name, argv + 1, argc - 1))
            run(folder, &parts[i]);
    for (size_t i = 0; argc == 1 && i < sizeof unmeasured / sizeof *unmeasured; i++)
        absent(unmeasured[i].goal, unmeasured[i].what, unmeasured[i].absent);
    if (json)
        write_json(json);
    if (made)
        bench_models_remove(models);
    json_decref(rows);
    free(own);
    return 0;
}
