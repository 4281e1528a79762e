/* test_nonfinite.c - the first NaN or infinity is found where an edit put it, at every site. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/nonfinite.h"
#include "run/pair.h"

static struct lens_nonfinite found_with(const struct fixture *f, const char *text)
{
    struct edit *edit = NULL;
    struct pair *p = NULL;
    struct err e = {0};
    struct lens_nonfinite out;
    if (text && edit_parse(&edit, text, &e))
        fail_msg("%s", e.text);
    struct pair_target t = {.input = fixture_input(f), .edits = &edit, .n_edits = text != NULL};
    assert_int_equal(pair_open(&p, f->m, 1 << 20, NULL), 0);
    if (pair_sync(p, &t, NULL, &e))
        fail_msg("%s · %s", text ? text : "no edit", e.text);
    if (lens_nonfinite(pair_run(p, text ? FACE_EDITED : FACE_BASE), &out, &e))
        fail_msg("%s", e.text);
    pair_close(p);
    edit_free(edit);
    return out;
}

/* A NaN in the middle of each site that every run has, one after the other, or an infinity, which
 * may end there: x / inf is 0. */
static void check_model(const char *name, bool nan)
{
    struct fixture f = fixture_open(name);
    struct site_ref *sites = malloc(((size_t)f.m->cfg.n_layers + 1) * SITE_COUNT * sizeof *sites);
    int n = site_list(&f.m->cfg, sites), checked = 0;
    assert_false(found_with(&f, NULL).found);
    for (int i = 0; i < n; i++) {
        int64_t shape[SITE_RANK_MAX], at[SITE_RANK_MAX];
        char site[LIMIT_NAME], text[LIMIT_NAME + 128];
        int rank = site_shape(&f.m->cfg, sites[i].id, f.n, shape),
            axis = site_row_axis(sites[i].id);
        if (!site_fires(&f.m->cfg, sites[i].id) || sites[i].id == SITE_TOKENS)
            continue;
        int len = snprintf(text, sizeof text, "%s[", site_name(sites[i], site));
        for (int k = 0; k < rank; k++) {
            bool score = (sites[i].id == SITE_PATTERN || sites[i].id == SITE_ATTN_SCORES) && k == 2;
            at[k] = k == axis ? f.n - 1 : score ? 1 : shape[k] / 2;
            len += snprintf(text + len, sizeof text - (size_t)len, "%s%d", k ? ", " : "",
                            (int)at[k]);
        }
        snprintf(text + len, sizeof text - (size_t)len, "] = %s", nan ? "nan" : "inf");
        struct lens_nonfinite got = found_with(&f, text);
        if (!nan && !got.found)
            continue;
        if (!got.found || !site_same(got.site, sites[i]) ||
            memcmp(at, got.index, (size_t)rank * sizeof at[0]) != 0)
            fail_msg("%s · %s · found %d at %s", name, text, got.found, site_name(got.site, site));
        assert_true(nan ? isnan(got.value) : isinf(got.value));
        checked++;
    }
    assert_true(checked > 20);
    free(sites);
    fixture_close(&f);
}

static void it_is_found_at_every_site(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "llama", "gpt_neox", "bert"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_model(names[i], true);
        check_model(names[i], false);
    }
}

/* Earlier ones of a position, later ones of the site; what was overwritten on the way is not found.
 */
static void the_first_is_found(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct lens_nonfinite got = found_with(&f, "blocks.1.attn.hook_z[2:, {1, 2}, 3:] = nan");
    assert_true(got.found && got.site.id == SITE_Z && got.site.layer == 1);
    assert_true(got.index[0] == 2 && got.index[1] == 1 && got.index[2] == 3);
    assert_false(found_with(&f, "blocks.1.attn.hook_attn_scores[1, -1, 0] = -inf").found);
    got = found_with(&f, "unembed.hook_out[-1, 7] = nan");
    assert_true(got.found && got.index[1] == 7);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_found_at_every_site),
                                       cmocka_unit_test(the_first_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
