/* prune_print.c - see prune_print.h. */
#include "prune_print.h"

#include <inttypes.h>
#include <math.h>

static const char *const sets[SCORE_SETS] = {"focus", "cripple"};

static const struct eval_value *value_of(const struct prune_record *r, int set, enum eval_measure m)
{
    for (int i = 0; i < r->n_values[set]; i++)
        if (r->value[set][i].is == m)
            return &r->value[set][i];
    return NULL;
}

/* With edits, or where there are none without; NaN: there is none. */
static double measure(const struct prune_record *r, int set, enum eval_measure m)
{
    const struct eval_value *v = value_of(r, set, m);
    return !v ? (double)NAN : isnan(v->edited) ? v->base : v->edited;
}

double prune_loss(const struct prune_record *r, int set)
{
    return measure(r, set, MEASURE_loss);
}

/* ---- JSON ---- */

static void json_measures(struct json_out *j, const struct prune_record *r, int set)
{
    static const char *const keys[] = {"base",         "base_error", "edited",
                                       "edited_error", "difference", "difference_error"};
    json_out_object(j);
    for (int i = 0; i < r->n_values[set]; i++) {
        const struct eval_value *v = &r->value[set][i];
        const double x[] = {v->base,         v->base_error, v->edited,
                            v->edited_error, v->difference, v->difference_error};
        json_out_object(json_out_key(j, v->name));
        for (int k = 0; k < 6; k++)
            json_out_double(json_out_key(j, keys[k]), x[k]);
        json_out_close(j);
    }
    json_out_close(j);
}

static void json_record(struct json_out *j, const struct prune_history *h,
                        const struct prune_record *r)
{
    static const char *const parts[PRUNE_PARTS] = {"neurons_per_layer", "dims_per_layer"};
    json_out_object(j);
    json_out_int(json_out_key(j, "step"), r->step);
    json_out_int(json_out_key(j, "neurons"), r->gone[PRUNE_NEURONS]);
    json_out_int(json_out_key(j, "dims"), r->gone[PRUNE_DIMS]);
    for (int k = 0; k < PRUNE_PARTS; k++)
        json_out_ints(json_out_key(j, parts[k]), r->layers + k * h->n_layers, (size_t)h->n_layers);
    json_out_array(json_out_key(j, "taken"));
    for (int k = 0; k < r->n_choices; k++) {
        json_out_object(j);
        json_out_string(json_out_key(j, "unit"), score_unit_names[r->choice[k].unit]);
        json_out_int(json_out_key(j, "units"), r->choice[k].units);
        json_out_double(json_out_key(j, "threshold"), r->choice[k].threshold);
        json_out_close(j);
    }
    json_out_close(j);
    for (int i = 0; i < SCORE_SETS; i++)
        if (r->n_values[i])
            json_measures(json_out_key(j, sets[i]), r, i);
    json_out_close(j);
}

static void json_learned(struct json_out *j, const struct mask_step *s)
{
    json_out_object(j);
    json_out_int(json_out_key(j, "step"), s->step);
    json_out_double(json_out_key(j, "kl"), s->kl);
    json_out_double(json_out_key(j, "mean"), s->mean);
    json_out_int(json_out_key(j, "neurons"), s->below[PRUNE_NEURONS]);
    json_out_int(json_out_key(j, "dims"), s->below[PRUNE_DIMS]);
    json_out_close(j);
}

int prune_history_json(struct cli *c, const struct prune_history *h)
{
    struct json_out j;
    cli_json_begin(c, &j);
    json_out_string(json_out_key(&j, "score"), h->score);
    json_out_array(json_out_key(&j, "history"));
    for (int i = 0; i < h->n; i++)
        json_record(&j, h, &h->record[i]);
    json_out_close(&j);
    if (h->n_learned) {
        json_out_array(json_out_key(&j, "learned"));
        for (int i = 0; i < h->n_learned; i++)
            json_learned(&j, &h->learned[i]);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

/* ---- tables ---- */

static void table_measure(struct table *t, double x)
{
    if (isnan(x))
        table_blank(t);
    else
        table_number(t, (float)x);
}

static int learned_table(struct cli *c, const struct prune_history *h)
{
    static const struct table_column columns[] = {COLUMN_INT("step"), COLUMN_NUMBER("kl", 6),
                                                  COLUMN_NUMBER("mask", 5), COLUMN_INT("neurons"),
                                                  COLUMN_INT("dims")};
    struct table *t = table_new(columns, sizeof columns / sizeof *columns);
    for (int i = 0; i < h->n_learned && t; i++) {
        const struct mask_step *s = &h->learned[i];
        table_int(t, s->step);
        table_number(t, (float)s->kl);
        table_number(t, (float)s->mean);
        table_int(t, s->below[PRUNE_NEURONS]);
        table_int(t, s->below[PRUNE_DIMS]);
    }
    return cli_table(c, t);
}

int prune_history_table(struct cli *c, const struct prune_history *h)
{
    static const struct table_column columns[] = {COLUMN_INT("step"),
                                                  COLUMN_INT("neurons"),
                                                  COLUMN_INT("dims"),
                                                  COLUMN_NUMBER("focus_loss", 5),
                                                  COLUMN_NUMBER("focus_error", 5),
                                                  COLUMN_NUMBER("focus_accuracy", 5),
                                                  COLUMN_NUMBER("focus_kl", 5),
                                                  COLUMN_NUMBER("cripple_loss", 5),
                                                  COLUMN_NUMBER("cripple_error", 5),
                                                  COLUMN_NUMBER("cripple_accuracy", 5),
                                                  COLUMN_NUMBER("cripple_kl", 5)};
    cli_head(c);
    int rc = h->n_learned ? learned_table(c, h) : 0;
    if (rc || (h->n_learned && c->opt->tsv))
        return rc;
    if (!c->opt->tsv)
        bytes_addf(&c->out, "# %s · error: of the loss's difference from the model's\n", h->score);
    struct table *t = table_new(columns, sizeof columns / sizeof *columns);
    for (int i = 0; i < h->n && t; i++) {
        const struct prune_record *r = &h->record[i];
        table_int(t, r->step);
        table_int(t, r->gone[PRUNE_NEURONS]);
        table_int(t, r->gone[PRUNE_DIMS]);
        for (int k = 0; k < SCORE_SETS; k++) {
            const struct eval_value *loss = value_of(r, k, MEASURE_loss);
            table_measure(t, prune_loss(r, k));
            table_measure(t, loss ? loss->difference_error : (double)NAN);
            table_measure(t, measure(r, k, MEASURE_accuracy));
            table_measure(t, measure(r, k, MEASURE_kl));
        }
    }
    return cli_table(c, t);
}
