/* fixture.c - see fixture.h. */
#include "fixture.h"

#include "../backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_read.h"
#include "measure/capture.h"

#define ROOT "tests/fixtures/models/"

/* Those of the index that have a file (NULL: all), or are representatives. */
static char **names_where(const char *file, bool representative)
{
    struct err e = {0};
    struct js_doc *doc = js_open(ROOT "index.json", &e);
    if (!doc)
        fail_msg("%s", e.text);
    size_t n = js_count(js_root(doc)), k = 0;
    char **names = calloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        struct js_node item = js_at(js_root(doc), i), files = js_get(item, "files");
        const char *name, *one;
        bool rep = false, has = !file;
        assert_int_equal(js_string(js_get(item, "name"), &name, NULL, &e), 0);
        assert_int_equal(js_bool(js_get(item, "representative"), &rep, &e), 0);
        for (size_t f = 0; f < js_count(files) && !has; f++)
            has = !js_string(js_at(files, f), &one, NULL, &e) && !strcmp(one, file);
        if (has && (rep || !representative))
            names[k++] = strdup(name);
    }
    js_close(doc);
    return names;
}

char **fixture_names(bool representatives_only)
{
    return names_where(NULL, representatives_only);
}

char **fixture_names_with(const char *file)
{
    return names_where(file, false);
}

/* What plans differ by: TRAIT(name, holds of a config `c`). */
#define TRAITS                                                                              \
    TRAIT("windows", c->window && c->window_on)                                             \
    TRAIT("soft caps of scores", c->softcap > 0)                                            \
    TRAIT("soft caps of logits", c->final_softcap > 0)                                      \
    TRAIT("attention beside the MLP, two norms", c->parallel && !c->norm_shared)            \
    TRAIT("attention beside the MLP, one norm", c->parallel && c->norm_shared)              \
    TRAIT("experts", c->n_moe > 0)                                                          \
    TRAIT("ALiBi", c->pos == POS_ALIBI)                                                     \
    TRAIT("learned positions", c->pos == POS_LEARNED)                                       \
    TRAIT("rotary halves", c->pos == POS_ROTARY && !c->rope_pairs && c->n_rot == c->d_head) \
    TRAIT("rotary pairs", c->pos == POS_ROTARY && c->rope_pairs)                            \
    TRAIT("part of a head rotated", c->pos == POS_ROTARY && c->n_rot < c->d_head)           \
    TRAIT("two rotary tables", c->pos == POS_ROTARY && c->rope_by_window)                   \
    TRAIT("shared keys and values", c->n_kv_heads > 1 && c->n_heads > c->n_kv_heads)        \
    TRAIT("one head of keys and values", c->n_kv_heads == 1 && c->n_heads > 1)              \
    TRAIT("norms after branches", c->norm_place == NORM_AFTER)                              \
    TRAIT("norms before and after", c->norm_place == NORM_BOTH)                             \
    TRAIT("the sum normalized", c->norm_place == NORM_RESIDUAL)                             \
    TRAIT("norms of queries and keys", c->qk_norm)                                          \
    TRAIT("clipped queries", c->clip_qkv > 0)                                               \
    TRAIT("sinks", c->sinks)                                                                \
    TRAIT("both ways", c->bidirectional)                                                    \
    TRAIT("gated MLP", c->gated && c->n_moe < c->n_layers)                                  \
    TRAIT("plain MLP", !c->gated)
#define TRAIT(name, holds) name,
static const char *const trait_names[] = {TRAITS};
#undef TRAIT
enum { TRAIT_COUNT = sizeof trait_names / sizeof *trait_names };

/* A bit for each. */
static uint32_t traits_of(const struct config *c)
{
#define TRAIT(name, holds) holds,
    const bool all[] = {TRAITS};
#undef TRAIT
    uint32_t bits = 0;
    for (int i = 0; i < TRAIT_COUNT; i++)
        bits |= (uint32_t)all[i] << i;
    return bits;
}

static uint32_t traits_named(const char *name)
{
    struct model *m = fixture_shape(name);
    uint32_t bits = traits_of(&m->cfg);
    model_close(m);
    return bits;
}

bool fixture_slow(void)
{
    const char *device = fixture_backend()->describe;
    return strstr(device, "emu") || strstr(device, "fake") || strstr(device, "llvmpipe");
}

static int bit_count(uint32_t bits)
{
    int n = 0;
    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

/* Of the names those, in turn with the most traits that none before them has, that have all; the
 * others go. */
static void names_few(char **names)
{
    uint32_t bits[200], left = 0;
    size_t n = 0, kept = 0;
    for (; names[n]; n++) {
        assert_true(n < sizeof bits / sizeof *bits);
        left |= bits[n] = traits_named(names[n]);
    }
    while (left) {
        size_t best = kept;
        for (size_t i = kept; i < n; i++)
            if (bit_count(bits[i] & left) > bit_count(bits[best] & left))
                best = i;
        char *name = names[best];
        uint32_t own = bits[best];
        print_message("%s:", name);
        for (int i = 0; i < TRAIT_COUNT; i++)
            if (own & left & 1u << i)
                print_message(" %s;", trait_names[i]);
        print_message("\n");
        names[best] = names[kept], bits[best] = bits[kept];
        names[kept] = name, bits[kept++] = own;
        left &= ~own;
    }
    for (size_t i = kept; i < n; i++)
        free(names[i]), names[i] = NULL;
}

char **fixture_names_suited(const char *file)
{
    char **names = names_where(file, !file);
    if (fixture_slow())
        names_few(names);
    return names;
}

void fixture_names_free(char **names)
{
    for (char **p = names; *p; p++)
        free(*p);
    free(names);
}

struct kn_backend *fixture_backend(void)
{
    static struct kn_backend *be;
    char why[200];
    struct kn_options opt = {.backend = test_backend(), .threads = 2, .cpu = -1};
    if (!be && !(be = kn_open(&opt, why, sizeof why)))
        fail_msg("%s", why);
    return be;
}

uint64_t fixture_hash(struct run *r)
{
    const struct config *cfg = &run_model(r)->cfg;
    struct site_ref *all = calloc((size_t)(cfg->n_layers + 2) * SITE_COUNT, sizeof *all);
    assert_non_null(all);
    uint64_t hash = 0xcbf29ce484222325u;
    int n = site_list(cfg, all);
    for (int i = 0; i < n; i++) {
        if (!site_fires(cfg, all[i].id))
            continue;
        int64_t count = run_length(r) * site_row_size(cfg, all[i].id, run_length(r));
        float *v = malloc((size_t)count * sizeof *v);
        struct err e = {0};
        if (run_read(r, all[i], 0, run_length(r), v, NULL, &e))
            fail_msg("%s", e.text);
        for (size_t k = 0; k < (size_t)count * sizeof *v; k++)
            hash = (hash ^ ((const unsigned char *)v)[k]) * 0x100000001b3u;
        free(v);
    }
    free(all);
    return hash;
}

float *fixture_values(const struct kn_view *v)
{
    struct kn_backend *be = fixture_backend();
    float *values = malloc((size_t)kn_count(v) * sizeof *values + 1);
    assert_non_null(values);
    assert_int_equal(be->type->read(be, v, values), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    return values;
}

void fixture_alter(const char *from, const char *to, const char *tensor, float value)
{
    struct err e = {0};
    size_t len;
    char *bytes;
    if (file_read_all(from, 1 << 28, &bytes, &len, &e) < 0)
        fail_msg("%s", e.text);
    struct checkpoint *st = fixture_tensors(from);
    const struct st_tensor *t = checkpoint_find(st, tensor);
    assert_non_null(t);
    const char *first = t->data;
    for (size_t i = 0; i < checkpoint_count(st); i++) { /* the one that lies first */
        const char *data = checkpoint_at(st, i)->data;
        first = data < first ? data : first;
    }
    uint64_t text;
    memcpy(&text, bytes, sizeof text);
    memcpy(bytes + sizeof text + text + ((const char *)t->data - first), &value, sizeof value);
    FILE *f = fopen(to, "wb");
    assert_true(f && fwrite(bytes, 1, len, f) == len && !fclose(f));
    checkpoint_close(st);
    free(bytes);
}

void fixture_spoil(const char *from, const char *to, const char *tensor)
{
    fixture_alter(from, to, tensor, NAN);
}

static char *file_of(const char *folder, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

void fixture_altered(char *folder, const char *model, const char *tensor, float value)
{
    assert_non_null(mkdtemp(folder));
    char *from[] = {file_of(model, "config.json"), file_of(model, "model.safetensors")},
         *to[] = {file_of(folder, "config.json"), file_of(folder, "model.safetensors")},
         *config = realpath(from[0], NULL);
    assert_non_null(config);
    assert_int_equal(symlink(config, to[0]), 0);
    fixture_alter(from[1], to[1], tensor, value);
    for (int i = 0; i < 2; i++)
        free(from[i]), free(to[i]);
    free(config);
}

void fixture_drop(const char *folder)
{
    static const char *const names[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        char *path = file_of(folder, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

struct js_doc *fixture_json(const struct checkpoint *st, const char *key)
{
    const char *text = checkpoint_metadata(st, key);
    struct err e = {0};
    assert_non_null(text);
    struct js_doc *doc = js_parse(key, text, strlen(text), &e);
    if (!doc)
        fail_msg("%s", e.text);
    return doc;
}

int32_t *fixture_ids(const struct checkpoint *st, const char *key, int32_t *n)
{
    struct js_doc *doc = fixture_json(st, key);
    *n = (int32_t)js_count(js_root(doc));
    int32_t *ids = malloc((size_t)*n * sizeof *ids);
    for (int32_t i = 0; i < *n; i++) {
        int64_t v;
        assert_int_equal(js_int(js_at(js_root(doc), (size_t)i), 0, INT32_MAX, &v, NULL), 0);
        ids[i] = (int32_t)v;
    }
    js_close(doc);
    return ids;
}

struct checkpoint *fixture_tensors(const char *path)
{
    struct err e = {0};
    struct checkpoint *st = checkpoint_open(path, &e);
    if (!st)
        fail_msg("%s", e.text);
    return st;
}

struct checkpoint *fixture_file(const char *name, const char *file)
{
    char path[256];
    snprintf(path, sizeof path, ROOT "%s/%s", name, file);
    return fixture_tensors(path);
}

char *fixture_prompt(const struct checkpoint *st)
{
    char *ids = strdup(checkpoint_metadata(st, "tokens") + 1); /* without the brackets */
    ids[strlen(ids) - 1] = '\0';
    return ids;
}

static struct image_input *image_of(const char *name, const struct model *m)
{
    struct image_input *im = NULL;
    struct err e = {0};
    char path[256], *bytes = NULL;
    size_t len = 0;
    snprintf(path, sizeof path, ROOT "%s/pixels.npy", name);
    if (file_read_all(path, 1 << 20, &bytes, &len, &e) ||
        image_from_npy(&im, &m->cfg, &m->image, path, bytes, len, &e))
        fail_msg("%s", e.text);
    free(bytes);
    return im;
}

struct run_input fixture_input(const struct fixture *f)
{
    return f->image ? run_of_image(f->image) : run_ids(f->tokens, f->n);
}

struct fixture fixture_open(const char *name)
{
    struct fixture f = {0};
    struct err e = {0};
    char path[256];
    snprintf(path, sizeof path, ROOT "%s", name);
    if (model_open(&f.m, path, fixture_backend(), &e))
        fail_msg("%s: %s", name, e.text);
    f.ref = fixture_file(name, "cache.safetensors");
    f.tokens = fixture_ids(f.ref, "tokens", &f.n);
    if (f.m->cfg.patch_size)
        f.image = image_of(name, f.m);
    return f;
}

struct model *fixture_shape(const char *name)
{
    struct model *m = NULL;
    struct err e = {0};
    char path[256];
    snprintf(path, sizeof path, ROOT "%s", name);
    if (model_open(&m, path, NULL, &e))
        fail_msg("%s: %s", name, e.text);
    return m;
}

struct run *fixture_run_new(const struct model *m, struct run *base, size_t cache_bytes)
{
    struct run_options opt = {.cache_bytes = cache_bytes};
    struct err e = {0};
    struct run *r = run_create(m, base, &opt, &e);
    if (!r)
        fail_msg("%s", e.text);
    return r;
}

struct run *fixture_run(const struct fixture *f, struct run *base, const struct edit_program *p,
                        size_t cache_bytes)
{
    struct err e = {0};
    struct run *r = fixture_run_new(f->m, base, cache_bytes);
    if (run_sync(r, base ? (struct run_input){0} : fixture_input(f), p, NULL, NULL, &e))
        fail_msg("%s", e.text);
    return r;
}

int fixture_read(struct run *r, const struct alias_value *v, int32_t row0, int32_t row1, float *dst,
                 struct err *e)
{
    struct capture_slice rows = {malloc((size_t)(row1 - row0) * sizeof *rows.index), row1 - row0,
                                 false};
    struct capture c = {
        .value = *v, .collected = -1, .axis = alias_row_axis(v), .cut = &rows, .values = dst};
    struct capture_list l = {
        .m = run_model(r), .run = r, .columns = run_length(r), .item = &c, .n = 1};
    for (int32_t i = 0; i < rows.n; i++)
        rows.index[i] = row0 + i;
    int rc = captures_read(&l, 0, 1, e);
    free(rows.index);
    return rc;
}

uint32_t fixture_seed(const char *name, uint32_t turn)
{
    uint32_t seed = 2166136261u + turn; /* FNV-1a */
    for (; *name; name++)
        seed = (seed ^ (unsigned char)*name) * 16777619u;
    return seed;
}

uint32_t fixture_turns(uint32_t usual)
{
    const char *turns = getenv("BORE_TEST_TURNS");
    return turns ? (uint32_t)strtoul(turns, NULL, 10) : usual;
}

uint32_t fixture_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

void fixture_change(struct fixture *f, void (*change)(struct config *cfg))
{
    change(&f->m->cfg);
    plan_free(f->m->plan);
    f->m->plan = plan_build(&f->m->cfg);
    assert_non_null(f->m->plan);
}

void fixture_close(struct fixture *f)
{
    model_close(f->m);
    checkpoint_close(f->ref);
    free(f->tokens);
    image_drop(f->image);
}

struct edit_program *fixture_program(const struct model *m, int32_t n, const char *const *texts,
                                     int32_t count)
{
    struct edit *edits[64];
    bool on[64];
    struct err e = {0};
    assert_true(count <= 64);
    for (int32_t i = 0; i < count; i++) {
        on[i] = true;
        if (edit_parse(&edits[i], texts[i], &e))
            fail_msg("%s: %s", texts[i], e.text);
    }
    struct edit_context ctx = {.cfg = &m->cfg, .n_pos = n, .model = m, .gradients = true};
    struct edit_program *p = NULL;
    if (edit_resolve(&p, edits, on, count, &ctx, &e))
        fail_msg("%s: %s", texts[0], e.text);
    for (int32_t i = 0; i < count; i++)
        edit_free(edits[i]);
    return p;
}

double fixture_error(const float *a, const float *b, size_t n)
{
    double diff = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        if (isinf(b[i])) {
            if (a[i] != b[i])
                return INFINITY;
            continue;
        }
        double d = fabs((double)a[i] - (double)b[i]);
        diff = d <= diff ? diff : d; /* NaN sticks */
        scale = fmax(scale, fabs((double)b[i]));
    }
    return scale > 0 ? diff / scale : diff;
}

/* ---- counting bytes
 * ---------------------------------------------------------------------------------------- */

static struct kn_backend *counted_be;
static const struct kn_backend_type *counted;
static struct kn_backend_type counting;
static size_t bytes_now, bytes_most;

static void *count_alloc(struct kn_backend *be, size_t bytes)
{
    bytes_now += bytes;
    bytes_most = bytes_now > bytes_most ? bytes_now : bytes_most;
    return counted->alloc(be, bytes);
}

static void count_release(struct kn_backend *be, void *mem, size_t bytes)
{
    bytes_now -= bytes;
    counted->release(be, mem, bytes);
}

void fixture_count(struct kn_backend *be)
{
    if (counted_be)
        counted_be->type = counted;
    counted_be = be;
    bytes_now = bytes_most = 0;
    if (!be)
        return;
    counted = be->type;
    counting = *counted;
    counting.alloc = count_alloc, counting.release = count_release;
    be->type = &counting;
}

size_t fixture_bytes(void)
{
    return bytes_now;
}

size_t fixture_bytes_most(void)
{
    size_t most = bytes_most;
    bytes_most = bytes_now;
    return most;
}

void fixture_take_expert(struct run *r, struct site_ref s, int32_t expert, float *values)
{
    const struct config *cfg = &run_model(r)->cfg;
    const int32_t *there;
    int64_t d = cfg->d_expert;
    assert_int_equal(run_layer_experts(r, s.layer, 0, run_length(r), &there, NULL), 0);
    for (int64_t i = 0; i < run_length(r); i++) {
        int64_t slot = 0;
        while (slot < cfg->n_active && there[i * cfg->n_active + slot] != expert)
            slot++;
        for (int64_t k = 0; k < d; k++)
            values[i * d + k] = slot < cfg->n_active ? values[(i * cfg->n_active + slot) * d + k]
                                                     : 0;
    }
}

float *fixture_hook(struct run *r, const char *name, int64_t shape[3], int *rank)
{
    const struct config *cfg = &run_model(r)->cfg;
    struct alias_value v;
    struct err e = {0};
    if (alias_find(cfg, name, &v, &e))
        fail_msg("%s", e.text);
    *rank = alias_shape(cfg, &v, run_length(r), shape, NULL);
    float *out = malloc((size_t)(run_length(r) * site_row_size(cfg, v.site[0].id, run_length(r))) *
                        sizeof *out);
    if (run_read(r, v.site[0], 0, run_length(r), out, NULL, &e))
        fail_msg("%s: %s", name, e.text);
    if (v.form == FORM_EXPERT)
        fixture_take_expert(r, v.site[0], v.expert, out);
    return out;
}
