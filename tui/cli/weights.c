/* weights.c - `borescope weights`: weights under the names of TransformerLens, Hugging Face,
 * nnsight and taker; as a list, which reads no weight, with statistics, or into a file. */
#include "weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "model/process.h"
#include "model/tensor_write.h"

/* One weight that was asked for. */
struct item {
    struct weight_cut cut;
    char name[LIMIT_NAME + 64]; /* with its index */
    float *values;              /* while it is used */
    struct cli *c;
};

struct item_list {
    struct item *item;
    int32_t n;
};

static void items_close(struct item_list *l)
{
    for (int32_t i = 0; i < l->n; i++) {
        free(l->item[i].values);
        weight_cut_free(&l->item[i].cut);
    }
    free(l->item);
}

static int items_add(struct cli *c, struct item_list *l, enum alias_library t)
{
    const char *glob = c->opt->filter ? c->opt->filter : "*";
    struct named_weight *list = NULL;
    int n = named_weight_list(c->m, t, &list, &c->err);
    struct item *more = n < 0 ? NULL : realloc(l->item, (size_t)(l->n + n + 1) * sizeof *more);
    if (more)
        l->item = more;
    int rc = n < 0 ? n : more ? 0 : cli_memory(c);
    for (int32_t i = 0; i < n && !rc; i++) {
        if (!site_glob(glob, list[i].name))
            continue;
        struct item *it = &l->item[l->n++];
        *it = (struct item){.cut = {.w = list[i]}, .c = c};
        memcpy(it->cut.n, list[i].shape, sizeof it->cut.n);
        snprintf(it->name, sizeof it->name, "%s", list[i].name);
    }
    free(list);
    return rc;
}

/* Those that --names and --filter mean; TransformerLens' without --names. */
static int items_open(struct cli *c, struct item_list *l)
{
    unsigned libraries = 0;
    int rc =
        c->opt->names && !strcmp(c->opt->names, "bridge")
            ? err_set(
                  &c->err, ERR_BAD_INPUT,
                  "--names bridge · weights have the names of transformer_lens (without --names), hf, nnsight and taker; all")
            : names_libraries(c, &libraries);
    if (!libraries || (c->opt->names && !strcmp(c->opt->names, "all")))
        libraries |= 1u << LIBRARY_LENS;
    for (int t = 0; t < LIBRARY_COUNT && !rc; t++)
        if (libraries >> t & 1 && t != LIBRARY_BRIDGE)
            rc = items_add(c, l, (enum alias_library)t);
    if (!rc && !l->n)
        rc = err_set(&c->err, ERR_BAD_INPUT,
                     "--filter \"%s\" · it matches no weight · e.g. blocks.0.attn.W_Q, *.mlp.W_out",
                     c->opt->filter);
    return rc;
}

float *weights_read(struct cli *c, const struct weight_cut *cut)
{
    float *v = malloc((size_t)weight_cut_size(cut) * sizeof *v);
    if (v)
        named_weight_cut(c->m, &cut->w, (const int32_t *const *)cut->index, cut->n, v);
    else
        err_memory(&c->err, "%s", cut->w.name);
    return v;
}

bool *weights_edited(const struct cli *c, const struct named_weight *w)
{
    bool *on = c->n_edits ? calloc((size_t)c->n_edits, sizeof *on) : NULL;
    for (int32_t i = 0; on && i < c->program->n_weights; i++) {
        const struct edit_instr *act = &c->program->weights[i];
        for (int k = 0; k < w->n_parts; k++)
            on[act->edit] |= act->weight->id == w->part[k] &&
                             (w->layer < 0 || act->weight->layer == w->layer);
    }
    return on;
}

/* Pieces for the writer: read at the first, dropped after the last. */
static int read_piece(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    struct item *it = ctx;
    if (!offset && !(it->values = weights_read(it->c, &it->cut))) {
        *e = it->c->err;
        return e->code;
    }
    memcpy(buf, (const char *)it->values + offset, n);
    if (offset + n == (size_t)weight_cut_size(&it->cut) * sizeof *it->values) {
        free(it->values);
        it->values = NULL;
    }
    return 0;
}

static int write_items(struct cli *c, struct item_list *l)
{
    char process[PROCESS_TEXT_MAX];
    struct bytes edits = {0};
    struct json_out j;
    struct tensor_out *t = calloc((size_t)l->n, sizeof *t);
    json_out_begin(&j, &edits);
    j.one_line = true;
    cli_json_edits(c, &j, NULL);
    json_out_end(&j);
    if (!t || edits.failed) {
        free(t);
        bytes_free(&edits);
        return cli_memory(c);
    }
    for (int32_t i = 0; i < l->n; i++) {
        struct item *it = &l->item[i];
        const char *dims[WEIGHT_RANK_MAX];
        int64_t shape[WEIGHT_RANK_MAX];
        t[i] = (struct tensor_out){
            .name = it->cut.w.name, .dtype = ST_F32, .read = read_piece, .ctx = it};
        t[i].rank = weight_cut_shape(&it->cut, shape, dims);
        memcpy(t[i].shape, shape, (size_t)t[i].rank * sizeof *shape);
    }
    const struct tensor_meta meta[] = {
        {"program", "borescope " BORE_VERSION},
        {"model", c->m->name},
        {"edits", edits.data},
        {"processing", process_text(c->m->process, process, sizeof process)}};
    int rc = tensor_write(c->opt->output, t, (size_t)l->n, meta, sizeof meta / sizeof *meta,
                          &c->err);
    free(t);
    bytes_free(&edits);
    if (!rc && !c->opt->json && !c->opt->tsv) {
        cli_head(c);
        bytes_addf(&c->out, "# %d weight%s, written to ", (int)l->n, l->n == 1 ? "" : "s");
        cli_plain_text(&c->out, c->opt->output, strlen(c->opt->output));
        bytes_add_char(&c->out, '\n');
    }
    return rc;
}

static void shape_text(const struct named_weight *w, char *buf, size_t size, bool words)
{
    size_t n = (size_t)snprintf(buf, size, "[");
    for (int d = 0; d < w->rank; d++)
        n += words ? (size_t)snprintf(buf + n, size - n, "%s%s", d ? ", " : "", w->dims[d])
                   : (size_t)snprintf(buf + n, size - n, "%s%lld", d ? ", " : "",
                                      (long long)w->shape[d]);
    snprintf(buf + n, size - n, "]");
}

/* The type in which it is stored; of several stored weights the first one's.  NULL: the model has
 * no such weight, all are 0.  Only where weights are read: a list of names needs no file of them.
 */
static const char *stored_type(const struct item *it)
{
    const struct named_weight *w = &it->cut.w;
    const struct kn_view *v = model_weight(it->c->m, w->layer < 0 ? 0 : w->layer, w->part[0]);
    return v->ndim ? kn_dtype_name(v->dtype) : NULL;
}

static void item_json(struct json_out *j, const struct item *it, const struct lens_stats *s)
{
    const struct named_weight *w = &it->cut.w;
    bool *on = weights_edited(it->c, w);
    json_out_object(j);
    json_out_string(json_out_key(j, "name"), w->name);
    json_out_string(json_out_key(j, "library"), alias_library_name(w->library));
    json_out_ints(json_out_key(j, "shape"), w->shape, (size_t)w->rank);
    json_out_array(json_out_key(j, "dims"));
    for (int d = 0; d < w->rank; d++)
        json_out_string(j, w->dims[d]);
    json_out_close(j);
    if (s) {
        json_out_string(json_out_key(j, "dtype"), stored_type(it));
        cli_json_stats(j, s);
    }
    if (on)
        cli_json_edits(it->c, json_out_key(j, "edits"), on);
    json_out_close(j);
    free(on);
}

/* How many items from the first on are the same weight of one layer's experts, by their numbers,
 * with the same edits. */
static int32_t experts_alike(const struct item *it, int32_t n)
{
    const struct named_weight *w = &it->cut.w;
    const struct cli *c = it->c;
    int32_t same = 1;
    if (!weight_is_expert(w->part[0]) || w->n_parts != 1)
        return same;
    bool *on = weights_edited(c, w);
    for (bool alike = true; alike && same < n; same += alike) {
        const struct named_weight *v = &it[same].cut.w;
        bool *other = weights_edited(c, v);
        alike = v->library == w->library && v->part[0] == w->part[0] && v->n_parts == 1 &&
                v->layer == w->layer + same &&
                weight_row_layer(&c->m->cfg, v->layer) == weight_row_layer(&c->m->cfg, w->layer) &&
                (!on || !other || !memcmp(on, other, (size_t)c->n_edits * sizeof *on));
        free(other);
    }
    free(on);
    return same;
}

/* Of `same` experts' weights, or of one weight. */
static void item_row(struct table *t, const struct item *it, int32_t same,
                     const struct lens_stats *s)
{
    char text[LIMIT_NAME];
    int32_t expert = weight_row_expert(&it->c->m->cfg, it->cut.w.layer);
    table_string(t, same > 1 ? names_experts(it->name, expert, expert + same - 1, text) : it->name);
    shape_text(&it->cut.w, text, sizeof text, false);
    table_string(t, text);
    shape_text(&it->cut.w, text, sizeof text, true);
    table_string(t, text);
    if (s) {
        const char *type = stored_type(it);
        table_string(t, type ? type : "none");
        cli_table_stats(t, s);
    }
    bool *on = weights_edited(it->c, &it->cut.w);
    if (on)
        cli_table_edits(it->c, t, on);
    free(on);
}

static int list_items(struct cli *c, struct item_list *l)
{
    struct table_column columns[9] = {COLUMN_TEXT("name"),      COLUMN_TEXT("shape"),
                                      COLUMN_TEXT("axes"),      COLUMN_TEXT("stored"),
                                      COLUMN_NUMBER("mean", 4), COLUMN_NUMBER("std", 4),
                                      COLUMN_NUMBER("min", 4),  COLUMN_NUMBER("max", 4)};
    int n_columns = c->opt->stats ? 8 : 3;
    struct cli_rows rows;
    if (c->n_edits)
        columns[n_columns++] = (struct table_column)COLUMN_TEXT("edits");
    int rc = cli_rows_open(c, &rows, columns, n_columns);
    for (int32_t i = 0, same = 1; i < l->n && !rc; i += same) {
        struct item *it = &l->item[i];
        struct lens_stats s;
        float *values = c->opt->stats ? weights_read(c, &it->cut) : NULL;
        if (values)
            lens_stats_values(values, weight_cut_size(&it->cut), false, &s);
        else if (c->opt->stats)
            rc = c->err.code;
        free(values);
        same = rows.t && !values && !c->opt->tsv ? experts_alike(it, l->n - i) : 1;
        if (rows.t)
            item_row(rows.t, it, same, values ? &s : NULL);
        else
            item_json(&rows.j, it, values ? &s : NULL);
    }
    return cli_rows_close(c, &rows, rc);
}

/* One weight that was named. */
static int one_weight(struct cli *c)
{
    struct weight_cut cut = {0};
    int rc = weight_cut_parse(&cut, c->m, c->opt->words[0], &c->err);
    if (!rc && c->opt->output) {
        struct item it = {.cut = cut, .c = c};
        struct item_list l = {&it, 1};
        rc = write_items(c, &l);
        free(it.values);
    } else if (!rc) {
        rc = c->opt->as_tokens ? weights_as_tokens(c, &cut) : weights_values(c, &cut);
    }
    weight_cut_free(&cut);
    return rc;
}

static int check_options(struct cli *c)
{
    const struct options *o = c->opt;
    bool circuits = o->svd || o->eigenvalues || o->target;
    if (circuits && (o->output || o->n_words))
        return err_set(
            &c->err, ERR_USAGE,
            "--svd, --eigenvalues and --target print tables of heads · leave out -o and the weight's name; "
            "-l and -H choose heads");
    if (o->svd + o->eigenvalues + (o->target != NULL) > 1)
        return err_set(&c->err, ERR_USAGE,
                       "--svd, --eigenvalues or --target · one of them at a time");
    if (o->as_tokens && (o->output || o->eigenvalues || (!o->n_words && !o->svd)))
        return err_set(
            &c->err, ERR_USAGE,
            "--as-tokens · it reads the directions of a weight, 'blocks.0.mlp.W_out[5]', or those of --svd");
    if (o->n_words && (o->filter || o->names || o->stats))
        return err_set(&c->err, ERR_USAGE,
                       "%s · one weight is named: leave out --filter, --names and --stats",
                       o->words[0]);
    if (!circuits && (o->given[ON(layer)] || o->given[ON(head)]))
        return err_set(&c->err, ERR_USAGE,
                       "-l and -H choose heads for --svd, --eigenvalues and --target");
    return o->output ? tensor_write_check(o->output, &c->err) : 0;
}

int cli_weights(struct cli *c)
{
    const struct options *o = c->opt;
    bool reads = o->stats || o->output || o->n_words || o->svd || o->eigenvalues || o->target ||
                 o->edits.n;
    struct item_list l = {0};
    int rc = check_options(c);
    if (!rc)
        rc = cli_model(c, reads);
    if (!rc && !reads && o->process) /* names and shapes are the same, what is shown is not */
        rc = process_parse(o->process, &c->m->process, &c->err);
    if (!rc)
        rc = cli_edit_weights(c);
    if (rc || o->svd || o->eigenvalues || o->target || o->n_words)
        return rc               ? rc
               : o->svd         ? weights_svd(c)
               : o->eigenvalues ? weights_eigenvalues(c)
               : o->target      ? weights_token(c)
                                : one_weight(c);
    rc = items_open(c, &l);
    if (!rc)
        rc = o->output ? write_items(c, &l) : list_items(c, &l);
    items_close(&l);
    return rc;
}
