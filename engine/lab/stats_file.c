/* stats_file.c - statistics as a file: written as they are held, so that a file is also the state
 * that work goes on from (see stats.h). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "lab/pattern_stats.h"
#include "lab/stats.h"
#include "model/tensor_write.h"

static const char
    taker_names[] = "{\"mean\": \"mean\", \"sqrt\": \"sqrt_abs_mean\", \"pos_mass\": \"pos_mass\", "
                    "\"neg_mass\": \"neg_mass\", \"pos_count\": \"pos_frequency\", "
                    "\"std\": \"variance * count / (count - 1)\"}";

enum derived {
#define STAT(name, type, help)
#define DERIVED(name, help) DERIVED_##name,
#include "lab/stats.def"
    DERIVED_COUNT
};

/* What is beside the statistics of elements. */
enum extra { EXTRA_HISTOGRAM, EXTRA_VALUE, EXTRA_TEXT, EXTRA_POS, EXTRA_TOKENS, EXTRA_COUNT };
static const struct {
    const char *name;
    enum st_dtype type;
} extras[EXTRA_COUNT] = {{"histogram", ST_I64},
                         {"top_value", ST_F32},
                         {"top_text", ST_I64},
                         {"top_pos", ST_I64},
                         {"top_tokens", ST_I32}};

static const struct {
    const char *name;
    enum st_dtype type;
} stats_table[] = {
#define STAT(name, type, help) {#name, ST_##type},
#define DERIVED(name, help)
#include "lab/stats.def"
};

static const char *const derived_names[] = {
#define STAT(name, type, help)
#define DERIVED(name, help) #name,
#include "lab/stats.def"
};

enum {
    PER_SITE = STAT_COUNT + DERIVED_COUNT + EXTRA_COUNT,
    BESIDE = 8, /* tensors of no hook, at most */
    NAME_BYTES = LIMIT_NAME + 32
};

/* Shape of an extra, and where it lies. */
static int extra_shape(const struct stats_site *s, enum extra k, int64_t shape[CHECKPOINT_RANK_MAX])
{
    int rank = 0;
    for (; k == EXTRA_HISTOGRAM && rank < s->rank; rank++)
        shape[rank] = s->shape[rank];
    if (k == EXTRA_HISTOGRAM) {
        shape[rank++] = STATS_BINS;
        return rank;
    }
    shape[rank++] = s->units, shape[rank++] = s->top;
    if (k == EXTRA_TOKENS)
        shape[rank++] = STATS_CONTEXT;
    return rank;
}

static void *extra_data(const struct stats_site *s, enum extra k)
{
    void *const at[EXTRA_COUNT] = {s->histogram, s->top_value, s->top_text, s->top_pos,
                                   s->top_tokens};
    return at[k];
}

static void extra_set(struct stats_site *s, enum extra k, void *p)
{
    switch (k) {
    case EXTRA_HISTOGRAM: s->histogram = p; break;
    case EXTRA_VALUE: s->top_value = p; break;
    case EXTRA_TEXT: s->top_text = p; break;
    case EXTRA_POS: s->top_pos = p; break;
    default: s->top_tokens = p; break;
    }
}

/* ---- writing ---- */

struct deriving {
    const struct stats_site *s;
    enum derived k;
};

static double derived(const struct stats_site *s, enum derived k, int64_t i)
{
    switch (k) {
    case DERIVED_std: return sqrt(stat_mean(s, STAT_variance)[i]);
    case DERIVED_abs_mean: return stat_mean(s, STAT_pos_mass)[i] - stat_mean(s, STAT_neg_mass)[i];
    default: return (double)stat_count(s, STAT_pos_count)[i] / (double)stat_count(s, STAT_count)[i];
    }
}

static int derive(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    const struct deriving *d = ctx;
    double *out = buf;
    (void)e;
    for (size_t i = 0; i < n / sizeof *out; i++)
        out[i] = derived(d->s, d->k, (int64_t)(offset / sizeof *out + i));
    return 0;
}

struct writing {
    struct tensor_out *t;
    char (*name)[NAME_BYTES];
    struct deriving *d;
    size_t n, n_derived;
};

static struct tensor_out *tensor_add(struct writing *w, const char *site, const char *what,
                                     enum st_dtype type)
{
    struct tensor_out *t = &w->t[w->n];
    snprintf(w->name[w->n], NAME_BYTES, "%s%s%s", site, *site ? "." : "", what);
    *t = (struct tensor_out){.name = w->name[w->n++], .dtype = type};
    return t;
}

static void site_add(struct writing *w, const struct stats_site *s)
{
    struct tensor_out *t;
    for (int k = 0; k < STAT_COUNT + DERIVED_COUNT; k++) {
        bool own = k < STAT_COUNT;
        t = tensor_add(w, s->name, own ? stats_table[k].name : derived_names[k - STAT_COUNT],
                       own ? stats_table[k].type : ST_F64);
        t->rank = s->rank;
        memcpy(t->shape, s->shape, sizeof s->shape);
        if (own) {
            t->data = s->of[k];
            continue;
        }
        struct deriving *d = &w->d[w->n_derived++];
        *d = (struct deriving){s, (enum derived)(k - STAT_COUNT)};
        t->read = derive, t->ctx = d;
    }
    for (int k = 0; k < EXTRA_COUNT; k++) {
        t = tensor_add(w, s->name, extras[k].name, extras[k].type);
        t->rank = extra_shape(s, (enum extra)k, t->shape);
        t->data = extra_data(s, (enum extra)k);
    }
}

/* Names as a JSON list, malloc'ed; NULL: memory is out. */
static char *names_text(const struct coactivation *c)
{
    size_t size = (size_t)c->n * (COACTIVATION_NAME + 4) + 3, n = 1;
    char *text = malloc(size);
    if (!text)
        return NULL;
    text[0] = '[';
    for (int32_t i = 0; i < c->n; i++)
        n += (size_t)snprintf(text + n, size - n, "%s\"%s\"", i ? ", " : "", c->of[i].name);
    snprintf(text + n, size - n, "]");
    return text;
}

static void together_add(struct writing *w, const struct coactivation *c)
{
    const struct {
        const char *name;
        enum st_dtype type;
        int rank;
        const void *data;
    } list[] = {{"coactivation_tokens", ST_I64, 0, &c->tokens},
                {"coactivation_count", ST_I64, 2, c->count},
                {"coactivation_product", ST_F64, 2, c->product},
                {"coactivation_mean", ST_F64, 1, c->mean}};
    for (size_t i = 0; c->n && i < sizeof list / sizeof *list; i++) {
        struct tensor_out *t = tensor_add(w, "", list[i].name, list[i].type);
        t->rank = list[i].rank, t->data = list[i].data;
        t->shape[0] = t->shape[1] = c->n;
    }
}

int stats_write(const struct stats *s, const char *path, const char *model, struct err *e)
{
    char place[PLACE_TEXT], state[PLACE_TEXT + 40];
    double edges[STATS_BINS + 1];
    char *names = names_text(&s->together), pattern[600] = "[]";
    for (int i = 0; i < s->n; i++)
        if (strstr(s->site[i].name, site_table[SITE_PATTERN].name))
            pattern_names((int)s->site[i].shape[1], pattern, sizeof pattern);
    const struct tensor_meta meta[] = {{"program", "borescope " BORE_VERSION},
                                       {"model", model},
                                       {"about", s->about ? s->about : ""},
                                       {"state", state},
                                       {"coactivation", names},
                                       {"pattern", pattern},
                                       {"taker", taker_names}};
    size_t sites = (size_t)s->n;
    struct writing w = {.t = calloc(sites * PER_SITE + BESIDE, sizeof *w.t),
                        .name = calloc(sites * PER_SITE + BESIDE, sizeof *w.name),
                        .d = calloc(sites * DERIVED_COUNT + 1, sizeof *w.d)};
    int rc = w.t && w.name && w.d && names ? 0 : err_memory(e, "%s", path);
    texts_place_print(&s->place, place);
    snprintf(state, sizeof state, "{\"taken\": %" PRId64 ", %s}", s->tokens, place);
    stats_edges(edges);
    if (!rc) {
        for (int i = 0; i < s->n; i++)
            site_add(&w, &s->site[i]);
        struct tensor_out *t = tensor_add(&w, "", "histogram_edges", ST_F64);
        t->rank = 1, t->shape[0] = STATS_BINS + 1, t->data = edges;
        together_add(&w, &s->together);
        rc = tensor_write(path, w.t, w.n, meta, sizeof meta / sizeof *meta, e);
    }
    free(w.t), free(w.name), free(w.d), free(names);
    return rc;
}

/* ---- reading ---- */

/* A tensor of a hook in the file, which is as it should be; NULL and one line otherwise. */
static const struct st_tensor *tensor_get(const struct checkpoint *st, const char *file,
                                          const char *hook, const char *what, enum st_dtype type,
                                          int rank, const int64_t *shape, struct err *e)
{
    char name[NAME_BYTES], want[96], found[96];
    snprintf(name, sizeof name, "%s%s%s", hook, *hook ? "." : "", what);
    const struct st_tensor *t = checkpoint_find(st, name);
    bool same = t && t->dtype == type && t->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = t->shape[i] == shape[i];
    if (same)
        return t;
    err_set(e, ERR_BAD_INPUT, "%s · %s · expected %s %s, found %s %s", file, name,
            st_dtype_name(type), st_shape_text(want, sizeof want, shape, rank),
            t ? st_dtype_name(t->dtype) : "none",
            t ? st_shape_text(found, sizeof found, t->shape, t->rank) : "");
    return NULL;
}

/* Numbers that later work counts with. */
static int site_check(const struct stats_site *s, const char *file, int64_t tokens, struct err *e)
{
    bool good = true;
    for (int64_t i = 0; i < s->n && good; i++) {
        int64_t n = stat_count(s, STAT_count)[i], pos = stat_count(s, STAT_pos_count)[i], sum = 0;
        for (int b = 0; b < STATS_BINS && good; b++) {
            int64_t in = s->histogram[i * STATS_BINS + b];
            good = in >= 0 && in <= n - sum;
            sum += good ? in : 0;
        }
        good = good && sum == n && n <= tokens && pos >= 0 && pos <= n;
    }
    for (int64_t i = 0; i < s->units * s->top && good; i++)
        good = s->top_text[i] >= -1;
    return good ? 0
                : err_set(e, ERR_BAD_INPUT, "%s · %s · its counts do not agree with each other",
                          file, s->name);
}

static void *unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}

int stats_look(struct stats_site *out, const struct checkpoint *st, const char *file,
               const char *hook, struct err *e)
{
    struct stats_site s = {.n = 1};
    char name[NAME_BYTES];
    int64_t shape[CHECKPOINT_RANK_MAX];
    snprintf(name, sizeof name, "%s.count", hook);
    const struct st_tensor *count = checkpoint_find(st, name);
    snprintf(name, sizeof name, "%s.top_value", hook);
    const struct st_tensor *top = checkpoint_find(st, name), *t;
    for (int i = 0; count && i < count->rank && i < SITE_RANK_MAX - 1; i++)
        s.shape[i] = count->shape[i], s.n *= s.shape[i];
    if (!count || count->rank < 1 || count->rank > SITE_RANK_MAX - 1 || !top || top->rank != 2 ||
        (top->shape[0] != s.shape[0] && top->shape[0] != s.n) || strlen(hook) >= sizeof s.name)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · has no statistics of %.100s · `borescope stats` "
                       "makes them",
                       file, hook);
    snprintf(s.name, sizeof s.name, "%s", hook);
    s.rank = count->rank, s.units = top->shape[0], s.top = top->shape[1];
    for (int k = 0; k < STAT_COUNT; k++) {
        if (!(t = tensor_get(st, file, hook, stats_table[k].name, stats_table[k].type, s.rank,
                             s.shape, e)))
            return ERR_BAD_INPUT;
        s.of[k] = unconst(t->data);
    }
    for (int k = 0; k < EXTRA_COUNT; k++) {
        int rank = extra_shape(&s, (enum extra)k, shape);
        if (!(t = tensor_get(st, file, hook, extras[k].name, extras[k].type, rank, shape, e)))
            return ERR_BAD_INPUT;
        extra_set(&s, (enum extra)k, unconst(t->data));
    }
    *out = s;
    return 0;
}

/* The hook that "HOOK.count" is of, copied. */
static int site_read(struct stats *out, const struct checkpoint *st, const char *file,
                     const char *count, size_t len, struct err *e)
{
    char hook[LIMIT_NAME];
    struct stats_site from;
    int64_t shape[CHECKPOINT_RANK_MAX];
    snprintf(hook, sizeof hook, "%.*s", (int)len, count);
    int rc = stats_look(&from, st, file, hook, e);
    if (!rc)
        rc = stats_add_site(out, (struct site_ref){0}, hook, from.rank, from.shape, from.units,
                            from.top, e);
    if (rc)
        return rc;
    struct stats_site *s = &out->site[out->n - 1];
    for (int k = 0; k < STAT_COUNT && s->n; k++)
        memcpy(s->of[k], from.of[k], (size_t)s->n * st_dtype_size(stats_table[k].type));
    for (int k = 0; k < EXTRA_COUNT; k++) {
        int64_t n = 1;
        for (int i = extra_shape(s, (enum extra)k, shape); i-- > 0;)
            n *= shape[i];
        if (n)
            memcpy(extra_data(s, (enum extra)k), extra_data(&from, (enum extra)k),
                   (size_t)n * st_dtype_size(extras[k].type));
    }
    return site_check(s, file, out->tokens, e);
}

static int state_read(struct stats *s, const struct checkpoint *st, const char *file, struct err *e)
{
    const char *text = checkpoint_metadata(st, "state"), *about = checkpoint_metadata(st, "about");
    struct js_doc *doc = text && about ? js_parse(file, text, strlen(text), e) : NULL;
    struct js_node root = doc ? js_root(doc) : (struct js_node){0};
    if (!text || !about)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · is no file of statistics · `borescope stats` makes one", file);
    int rc = doc ? js_int(js_get(root, "taken"), 0, INT64_C(1) << 53, &s->tokens, e) : err_code(e);
    if (!rc)
        rc = texts_place_read(&s->place, root, e);
    if (!rc && !(s->about = strdup(about)))
        rc = err_memory(e, "%s", file);
    js_close(doc);
    return rc;
}

static int together_tensor(const struct checkpoint *st, const char *file, const char *what,
                           enum st_dtype type, int rank, const int64_t *shape, void *to,
                           struct err *e)
{
    const struct st_tensor *t = tensor_get(st, file, "", what, type, rank, shape, e);
    if (!t)
        return ERR_BAD_INPUT;
    memcpy(to, t->data, t->nbytes);
    return 0;
}

/* The coactivations of a file, which may have none. */
static int together_read(struct coactivation *c, const struct checkpoint *st, const char *file,
                         struct err *e)
{
    const char *text = checkpoint_metadata(st, "coactivation");
    struct js_doc *doc = text ? js_parse(file, text, strlen(text), e) : NULL;
    struct js_node list = doc ? js_root(doc) : (struct js_node){0};
    size_t n = js_count(list);
    int rc = text && !doc ? err_code(e) : 0;
    if (!rc && n > COACTIVATION_MAX)
        rc = js_expected(list, "at most 256 names", e);
    if (!rc && n)
        rc = coactivation_alloc(c, (int32_t)n, e);
    for (size_t i = 0; i < n && !rc; i++) {
        const char *name;
        if (!(rc = js_string(js_at(list, i), &name, NULL, e)))
            snprintf(c->of[i].name, sizeof c->of[i].name, "%s", name);
    }
    js_close(doc);
    const int64_t shape[] = {(int64_t)n, (int64_t)n};
    if (rc || !n)
        return rc;
    if ((rc = together_tensor(st, file, "coactivation_tokens", ST_I64, 0, shape, &c->tokens, e)) ||
        (rc = together_tensor(st, file, "coactivation_count", ST_I64, 2, shape, c->count, e)) ||
        (rc = together_tensor(st, file, "coactivation_product", ST_F64, 2, shape, c->product, e)))
        return rc;
    rc = together_tensor(st, file, "coactivation_mean", ST_F64, 1, shape, c->mean, e);
    bool good = !rc && c->tokens >= 0 && c->tokens <= INT64_C(1) << 53;
    for (size_t i = 0; i < n * n && good; i++)
        good = c->count[i] >= 0 && c->count[i] <= c->tokens;
    return rc || good ? rc : err_set(e, ERR_BAD_INPUT, "%s · its coactivations do not agree", file);
}

static int read_all(struct stats *s, struct checkpoint *st, const char *file, struct err *e)
{
    static const char end[] = ".count";
    *s = (struct stats){0};
    int rc = st ? state_read(s, st, file, e) : err_code(e);
    for (size_t i = 0; !rc && i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        size_t n = strlen(t->name), k = sizeof end - 1;
        if (n > k && n - k < LIMIT_NAME && !strcmp(t->name + n - k, end))
            rc = site_read(s, st, file, t->name, n - k, e);
    }
    if (!rc)
        rc = together_read(&s->together, st, file, e);
    if (!rc && !s->n)
        rc = err_set(e, ERR_BAD_INPUT, "%s · it has no statistics of any hook", file);
    checkpoint_close(st);
    return rc;
}

int stats_read(struct stats *s, const char *path, struct err *e)
{
    return read_all(s, checkpoint_open(path, e), path, e);
}

int stats_parse(struct stats *s, const char *name, const void *bytes, size_t len, struct err *e)
{
    return read_all(s, checkpoint_parse(name, bytes, len, e), name, e);
}
