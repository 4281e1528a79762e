/* bench_row.h - what a benchmark reports of the goals: one row of the table that `./dev bench`
 * prints.
 *
 * A program that was started with --goals measures what the goals ask for and prints rows: as text,
 * or where BENCH_ROWS is set as lines of JSON for bench_goals to collect.  The figures are those of
 * things that took turns in one run. */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include <jansson.h>
#include <stdbool.h>

/* A figure with its quartiles; `absent`: why there is none (NULL: there is one). */
struct bench_row {
    const char *goal; /* "G4"; "" for figures of the machine itself */
    const char *what, *unit;
    const char *sense; /* "<=", ">=", or "" where nothing is asked for */
    double must;
    double median, low, high;
    int rounds;
    const char *absent;
};

void bench_row_print(const struct bench_row *r);
/* The row that a line of JSON is, false if it is none; strings are the document's. */
bool bench_row_read(const json_t *line, struct bench_row *r);

/* v[n] of n rounds, which is sorted. */
void bench_report(const char *goal, const char *what, const char *unit, const char *sense,
                  double must, double *v, int n);
/* a[i] / b[i] of n rounds. */
void bench_report_ratio(const char *goal, const char *what, const char *sense, double must,
                        const double *a, const double *b, int n);
void bench_report_absent(const char *goal, const char *what, const char *sense, double must,
                         const char *why);

#endif
