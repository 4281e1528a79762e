/* bench_row.c - see bench_row.h. */
#include "bench_row.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static void print_text(const struct bench_row *r)
{
    printf("%-4s %-66s ", r->goal, r->what);
    if (r->absent)
        printf("not measured: %s", r->absent);
    else
        printf("%8.4g %-8s %8.4g - %-8.4g", r->median, r->unit, r->low, r->high);
    bool met = *r->sense == '<' ? r->median <= r->must : r->median >= r->must;
    if (*r->sense && !r->absent)
        printf(" %s %-6.4g %s", r->sense, r->must, met ? "met" : "MISSED");
    printf("\n");
}

void bench_row_print(const struct bench_row *r)
{
    if (!getenv("BENCH_ROWS"))
        print_text(r);
    else {
        json_t *o = json_pack("{ss ss ss ss sf}", "goal", r->goal, "what", r->what, "unit", r->unit,
                              "sense", r->sense, "must", r->must);
        if (r->absent)
            json_object_set_new(o, "absent", json_string(r->absent));
        else
            json_object_update_new(o, json_pack("{sf sf sf si}", "median", r->median, "low", r->low,
                                                "high", r->high, "rounds", r->rounds));
        json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        printf("\n");
        json_decref(o);
    }
    fflush(stdout);
}

bool bench_row_read(const json_t *line, struct bench_row *r)
{
    *r = (struct bench_row){0};
    return json_unpack((json_t *)line, "{ss ss ss ss sF s?s s?F s?F s?F s?i}", "goal", &r->goal,
                       "what", &r->what, "unit", &r->unit, "sense", &r->sense, "must", &r->must,
                       "absent", &r->absent, "median", &r->median, "low", &r->low, "high", &r->high,
                       "rounds", &r->rounds) == 0;
}

void bench_report(const char *goal, const char *what, const char *unit, const char *sense,
                  double must, double *v, int n)
{
    double median = bench_median(v, n);
    bench_row_print(&(struct bench_row){goal, what, unit, sense, must, median, v[n / 4],
                                        v[n - 1 - n / 4], n, NULL});
}

void bench_report_ratio(const char *goal, const char *what, const char *sense, double must,
                        const double *a, const double *b, int n)
{
    double ratio[BENCH_SAMPLES_MAX];
    n = n < BENCH_SAMPLES_MAX ? n : BENCH_SAMPLES_MAX;
    for (int i = 0; i < n; i++)
        ratio[i] = a[i] / b[i];
    bench_report(goal, what, "x", sense, must, ratio, n);
}

void bench_report_absent(const char *goal, const char *what, const char *sense, double must,
                         const char *why)
{
    bench_row_print(&(struct bench_row){
        .goal = goal, .what = what, .unit = "", .sense = sense, .must = must, .absent = why});
}
