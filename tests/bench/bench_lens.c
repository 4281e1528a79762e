/* bench_lens.c - the lens of a screen after an edit is put on or taken off, as the explorer asks
 * for it.
 *
 *   bench_lens [--threads N] [--busy] [--goals]
 *
 * A random model of GPT-2's small size, 32 tokens; every layer at 20 positions, with the best token
 * of each cell.  The edit is on one head in the middle, at the first position shown: no layer and
 * no row that it reaches is spared.  From the request to the complete answer, and the rerun with
 * it.
 *
 * What bounds it: the 120 cells behind the edit are 120 x 768 x 50257 multiply-adds, 9.3 GFLOP, and
 * the full vocabulary is needed for a probability.  20 ms for them alone are 463 GFLOP/s, more than
 * two cores of the machines seen reach in f32 (256 to 540 with all registers busy); with the rerun
 * before them it takes bf16 tiles or a device.
 */
#include "bench_bed.h"
#include "bench_row.h"
#include "session/session.h"

#include <stdio.h>

enum { ROWS = 20, TOGGLES = 40 };

int main(int argc, char **argv)
{
    static struct bed b;
    struct err e;
    struct session *s;
    struct edit *edit;
    struct want_list wants = {0};
    double took[TOGGLES];
    bench_take_options(&argc, argv);
    if (argc > 1) {
        fprintf(stderr, "bench_lens: %s · --threads N, --busy, --goals\n", argv[1]);
        return 2;
    }
    bed_open(&b, bench_model(ST_F32));
    bed_length(&b, 32);
    bed_check(session_open(&s, b.m, BED_KEEP_ALL, &e), &e);
    bed_check(edit_parse(&edit, "blocks.6.attn.hook_z[12, 0] = 0", &e), &e);
    for (int32_t c = 1; c <= b.m->cfg.n_layers; c++)
        want_add(&wants, want_make(WANT_CELL, run_lens_site(b.m, c), b.n - ROWS, b.n));
    for (int i = -2; i < TOGGLES; i++) {
        struct session_want w = {
            .target = {.input = run_ids(b.tokens, b.n), .edits = &edit, .n_edits = i & 1},
            .wants = wants.item,
            .n_wants = wants.n};
        /* with another coefficient each time, so that nothing is answered from what is kept */
        char text[80];
        edit_free(edit);
        snprintf(text, sizeof text, "blocks.6.attn.hook_z[12, 0] *= %g", 0.01 * (i + 3));
        bed_check(edit_parse(&edit, text, &e), &e);
        double from = bench_now();
        const struct snapshot *snap = session_wait(s, session_request(s, &w));
        if (i >= 0)
            took[i] = bench_now() - from;
        bed_check(snap ? snap->err.code : -1, &snap->err);
        snapshot_release(snap);
    }
    double on[TOGGLES / 2];
    for (int i = 0; i < TOGGLES / 2; i++)
        on[i] = took[2 * i + 1];
    bench_report("G10", "lens of 240 cells after an edit is put on, with its rerun", "ms", "<=", 20,
                 on, TOGGLES / 2);
    session_close(s);
    want_list_free(&wants);
    edit_free(edit);
    bed_close(&b);
    bench_model_remove();
    return 0;
}
