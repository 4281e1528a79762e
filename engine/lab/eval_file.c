/* eval_file.c - an evaluation as a file that it can go on from (eval.h). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "lab/eval.h"
#include "model/checkpoint.h"
#include "model/tensor_write.h"

enum { ARRAYS = 3 };

/* The sums of an evaluation as arrays. */
static void arrays_of(struct eval *v, struct tensor_out out[ARRAYS], double *at[ARRAYS])
{
    static const char *const names[ARRAYS] = {"sum", "product", "text"};
    at[0] = v->sum, at[1] = v->product[0], at[2] = v->text;
    for (int i = 0; i < ARRAYS; i++)
        out[i] = (struct tensor_out){.name = names[i],
                                     .dtype = ST_F64,
                                     .rank = 1 + (i == 1),
                                     .shape = {EVAL_SUMS, EVAL_SUMS},
                                     .data = at[i]};
}

int eval_write(const struct eval *v, const char *path, struct err *e)
{
    char place[PLACE_TEXT], state[PLACE_TEXT + 120], about[40];
    struct eval copy = *v;
    struct tensor_out t[ARRAYS];
    double *at[ARRAYS];
    const struct tensor_meta meta[] = {
        {"program", "borescope " BORE_VERSION}, {"about", about}, {"evaluation", state}};
    arrays_of(&copy, t, at);
    texts_place_print(&v->place, place);
    snprintf(about, sizeof about, "%016" PRIx64 "%016" PRIx64, v->about.a, v->about.b);
    snprintf(state, sizeof state, "{\"count\": %" PRId64 ", \"at\": %" PRId64 ", %s}", v->texts,
             v->at, place);
    return tensor_write(path, t, ARRAYS, meta, sizeof meta / sizeof *meta, e);
}

static int state_read(struct eval *v, const struct checkpoint *st, const char *file, struct err *e)
{
    const char *text = checkpoint_metadata(st, "evaluation"),
               *about = checkpoint_metadata(st, "about");
    if (!text || !about || strlen(about) != 32 ||
        sscanf(about, "%16" SCNx64 "%16" SCNx64, &v->about.a, &v->about.b) != 2)
        return err_set(e, ERR_BAD_INPUT, "%s · is no state of an evaluation", file);
    struct js_doc *doc = js_parse(file, text, strlen(text), e);
    struct js_node root = doc ? js_root(doc) : (struct js_node){0};
    int rc = doc ? js_int(js_get(root, "count"), 0, INT64_C(1) << 53, &v->texts, e) : err_code(e);
    if (!rc)
        rc = js_int(js_get(root, "at"), 0, INT64_C(1) << 53, &v->at, e);
    if (!rc)
        rc = texts_place_read(&v->place, root, e);
    js_close(doc);
    return rc;
}

static int read_all(struct eval *out, struct checkpoint *st, const char *file, struct err *e)
{
    struct eval v = {0};
    struct tensor_out want[ARRAYS];
    double *at[ARRAYS];
    int rc = st ? state_read(&v, st, file, e) : err_code(e);
    arrays_of(&v, want, at);
    for (int i = 0; i < ARRAYS && !rc; i++) {
        const struct st_tensor *t = checkpoint_find(st, want[i].name);
        if (!t || t->dtype != ST_F64 || t->rank != want[i].rank || t->shape[0] != EVAL_SUMS ||
            (i == 1 && t->shape[1] != EVAL_SUMS))
            rc = err_set(e, ERR_BAD_INPUT, "%s · %s · expected %d sums in F64", file, want[i].name,
                         EVAL_SUMS);
        else
            memcpy(at[i], t->data, t->nbytes);
    }
    checkpoint_close(st);
    if (!rc)
        *out = v;
    return rc;
}

int eval_read(struct eval *v, const char *path, struct err *e)
{
    return read_all(v, checkpoint_open(path, e), path, e);
}

int eval_parse(struct eval *v, const char *name, const void *bytes, size_t len, struct err *e)
{
    return read_all(v, checkpoint_parse(name, bytes, len, e), name, e);
}
