/* test_models_doc.c - docs/models.md is what the tables and the fixtures say today.
 *
 *     build/release/tests/engine/test_models_doc print > docs/models.md
 *
 * Families are the rows of arch.def, stored types those of the kernels; what each is checked with
 * is read from the fixtures and their reference files (tests/fixtures/README.md). */
#include "fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "model/arch.h"
#include "model/hub.h"

#define DOCUMENT "docs/models.md"
#define COMMAND "build/release/tests/engine/test_models_doc print > " DOCUMENT
enum { TYPES_MAX = 64, FILES_MAX = 200 };

/* One fixture, as far as the document tells of it. */
struct subject {
    char name[80];           /* "gpt2", "gguf/qwen2.gguf" */
    const struct arch *arch; /* NULL: it is no whole model */
    char form[80];           /* of its files: "one .safetensors" */
    bool types[TYPES_MAX];   /* stored types of its weights */
};

/* A path in a fixture's folder; one of two buffers. */
static const char *in_folder(const char *name, const char *file)
{
    static char path[2][300];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "tests/fixtures/%s%s%s%s",
             strchr(name, '/') ? "" : "models/", name, *file ? "/" : "", file);
    return path[turn];
}

static struct checkpoint *reference(const struct subject *s, const char *file)
{
    const char *path = in_folder(s->name, file);
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    fclose(f);
    return fixture_tensors(path);
}

/* ---- reading the fixtures ---- */

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s), m = strlen(ending);
    return n >= m && !strcmp(s + n - m, ending);
}

/* What kind of files hold the weights, and what config.json says of how they are quantized. */
static void read_form(struct subject *s)
{
    struct hub_model h;
    struct err e = {0};
    const char *method = NULL;
    if (hub_resolve(in_folder(s->name, ""), &h, &e))
        fail_msg("%s", e.text);
    struct js_doc *doc = h.config[0] ? js_open_texts(h.config, &e) : NULL;
    if (doc && js_string(js_get(js_get(js_root(doc), "quantization_config"), "quant_method"),
                         &method, NULL, NULL))
        method = NULL;
    snprintf(s->form, sizeof s->form, "%s%s%.40s",
             ends_with(h.weights, ".json")          ? "`.safetensors` shards and their index"
             : ends_with(h.weights, ".safetensors") ? "`.safetensors`"
                                                    : strrchr(h.weights, '.'),
             method ? ", quantized by " : "", method ? method : "");
    js_close(doc);
}

static struct subject look(const char *name)
{
    struct subject s = {0};
    snprintf(s.name, sizeof s.name, "%s", name);
    struct model *m = NULL;
    struct err e = {0};
    if (model_look(&m, in_folder(name, ""), &e))
        fail_msg("%s", e.text);
    s.arch = m->cfg.arch;
    for (int32_t l = 0; l < m->cfg.n_layers; l++)
        for (int w = 0; w < WEIGHT_COUNT; w++) {
            const struct kn_view *v = model_weight(m, l, (enum weight_id)w);
            if (v->ndim)
                s.types[v->dtype] = true;
        }
    model_close(m);
    read_form(&s);
    return s;
}

static int is_gguf(const struct dirent *d)
{
    return ends_with(d->d_name, ".gguf");
}

/* The single files of tests/fixtures/gguf: models, and collections of tensors. */
static int look_at_files(struct subject *s, int most)
{
    struct dirent **list = NULL;
    int n = scandir("tests/fixtures/gguf", &list, is_gguf, alphasort), used = 0;
    for (int i = 0; i < n; i++) {
        struct subject *x = &s[used];
        struct model *m = NULL;
        snprintf(x->name, sizeof x->name, "gguf/%.70s", list[i]->d_name);
        free(list[i]);
        struct checkpoint *c = checkpoint_open(in_folder(x->name, ""), NULL);
        enum kn_dtype type;
        for (size_t t = 0; c && t < checkpoint_count(c); t++)
            if (st_kernel_type(checkpoint_at(c, t)->dtype, &type))
                x->types[type] = true;
        if (!model_look(&m, in_folder(x->name, ""), NULL))
            x->arch = m->cfg.arch;
        snprintf(x->form, sizeof x->form, "`.gguf`");
        used += c && checkpoint_count(c) > 0 && used + 1 < most;
        if (m)
            model_close(m);
        checkpoint_close(c);
    }
    free(list);
    return used;
}

/* ---- counting what is compared ---- */

/* Entries of a list in the metadata. */
static size_t list_length(const struct checkpoint *c, const char *key)
{
    const char *text = checkpoint_metadata(c, key);
    struct err e = {0};
    struct js_doc *doc = text ? js_parse(key, text, strlen(text), &e) : NULL;
    size_t n = doc ? js_count(js_root(doc)) : 0;
    if (text && !doc)
        fail_msg("%s", e.text);
    js_close(doc);
    return n;
}

struct counts {
    size_t values, edits, gradients, names;
    char versions[2][100]; /* "transformers 5.23.0, 5.24.0", "transformer_lens 3.5.1" */
};

static const char *const libraries[] = {"transformers", "transformer_lens"};

static void add_versions(struct counts *n, const struct checkpoint *c)
{
    for (int i = 0; i < 2; i++) {
        char text[80], *at = n->versions[i];
        const char *version = checkpoint_metadata(c, libraries[i]);
        size_t size = sizeof n->versions[i] - strlen(at);
        snprintf(text, sizeof text, "%.*s", version ? (int)strcspn(version, "+") : 0,
                 version ? version : "");
        if (!at[0] && text[0])
            snprintf(at, size, "%s %s", libraries[i], text);
        else if (!strstr(at, text))
            snprintf(at + strlen(at), size, ", %s", text);
    }
}

static void count(const struct subject *s, struct counts *n)
{
    static const char *const edits[] = {"edits.safetensors", "weight_edits.safetensors",
                                        "references.safetensors"},
                             *const grads[] = {"grads.safetensors", "grads.logprob.safetensors",
                                               "grads.loss.safetensors", "grads.edited.safetensors",
                                               "grads.weights.safetensors"};
    struct checkpoint *c = reference(s, "cache.safetensors");
    if (c) {
        n->values += checkpoint_count(c);
        add_versions(n, c);
    }
    checkpoint_close(c);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        if ((c = reference(s, edits[i])) != NULL)
            n->edits += list_length(c, "edits");
        checkpoint_close(c);
    }
    for (size_t i = 0; i < sizeof grads / sizeof *grads; i++) {
        if ((c = reference(s, grads[i])) != NULL)
            n->gradients += checkpoint_count(c);
        checkpoint_close(c);
    }
    if ((c = reference(s, "hf.safetensors")) != NULL)
        n->names += list_length(c, "modules");
    checkpoint_close(c);
}

/* ---- the document ---- */

static void print_number(FILE *out, size_t n)
{
    if (n)
        fprintf(out, " %zu |", n);
    else
        fprintf(out, " |");
}

static void print_family(FILE *out, const struct arch *a, const struct subject *s, int n)
{
    struct counts c = {0};
    bool any = false;
    fprintf(out, "| `%s` | %s |", a->model_type, a->class_name ? a->class_name : "");
    for (int i = 0; i < n; i++)
        if (s[i].arch == a) {
            fprintf(out, "%s %s", any ? "," : "", s[i].name);
            any = true;
            count(&s[i], &c);
        }
    if (!any)
        fail_msg("%s · no fixture has this model_type", a->model_type);
    fprintf(out, " |");
    print_number(out, c.values);
    print_number(out, c.edits);
    print_number(out, c.gradients);
    print_number(out, c.names);
    fprintf(out, " %s%s%s |\n", c.versions[0], c.versions[1][0] ? ", " : "", c.versions[1]);
}

static void print_types(FILE *out, const struct subject *s, int n)
{
    for (int t = 0; t < KN_DTYPE_COUNT; t++) {
        if (t == KN_I32)
            continue; /* of tokens and positions */
        bool any = false;
        fprintf(out, "| %s |", kn_dtype_name((enum kn_dtype)t));
        for (int i = 0; i < n; i++)
            if (s[i].types[t]) {
                fprintf(out, "%s %s", any ? "," : "", s[i].name);
                any = true;
            }
        fprintf(out, "%s |\n", any ? "" : " the tests of the kernels");
    }
}

static void print_forms(FILE *out, const struct subject *s, int n)
{
    for (int i = 0; i < n; i++) {
        bool first = true;
        for (int k = 0; k < i && first; k++)
            first = strcmp(s[k].form, s[i].form) != 0;
        if (!first)
            continue;
        fprintf(out, "| %s | %s", s[i].form, s[i].name);
        for (int k = i + 1; k < n; k++)
            if (!strcmp(s[k].form, s[i].form))
                fprintf(out, ", %s", s[k].name);
        fprintf(out, " |\n");
    }
}

static void print_document(FILE *out)
{
    char **names = fixture_names(false);
    int n = 0;
    while (names[n])
        n++;
    struct subject *s = calloc((size_t)n + FILES_MAX, sizeof *s);
    for (int i = 0; i < n; i++)
        s[i] = look(names[i]);
    n += look_at_files(s + n, FILES_MAX);
    fprintf(
        out,
        "# Models that open\n\n"
        "Made by `" COMMAND "`\nfrom the table of architectures, the types of the kernels and the "
        "fixtures; a test compares. `borescope models` says which of the\nmodels of the local cache open; "
        "a family that is not here yet is [a data file](adding.md#an-architecture).\n\n"
        "## Families\n\n"
        "What is compared with the reference libraries on the tiny random models of "
        "[tests/fixtures](../tests/fixtures/README.md), in float64 there: the values of every hook\n"
        "point and the logits (within 1e-5), the logits after edits (1e-5), gradients of a metric (1e-4), and "
        "what the modules of Hugging Face take and return, by name.\n"
        "Nothing is compared where a column is empty. Every family is also run incrementally against full "
        "passes, and through the identities of `borescope check`.\n\n"
        "| `model_type` | class | fixtures | values | edits | gradients | module names | against |\n"
        "|---|---|---|---|---|---|---|---|\n");
    for (const struct arch *const *a = arch_table; *a; a++)
        print_family(out, *a, s, n);
    fprintf(
        out,
        "\n## Files\n\nWeights are mapped and used where they lie.\n\n| weights | fixtures |\n|---|---|\n");
    print_forms(out, s, n);
    fprintf(
        out,
        "\n## Stored types\n\nThose that a weight may have, decoded where it is used; activations and "
        "sums are f32. Each is compared with double precision in\n`tests/kernels`, and in a model where "
        "a fixture stores it.\n\n| type | a fixture that stores it |\n|---|---|\n");
    print_types(out, s, n);
    fprintf(out, "\n`pytorch_model.bin` is not read: a pickle is a program. `save_pretrained(…, "
                 "safe_serialization=True)` writes safetensors.\n");
    free(s);
    fixture_names_free(names);
}

static void the_document_is_fresh(void **state)
{
    (void)state;
    char *text = NULL, *file = NULL;
    size_t len, n;
    struct err e = {0};
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    print_document(out);
    assert_int_equal(fclose(out), 0);
    if (file_read_all(DOCUMENT, 1 << 20, &file, &len, &e) || strcmp(file, text))
        fail_msg(DOCUMENT " is stale: " COMMAND);
    free(file);
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_document_is_fresh)};
    if (argc == 1)
        return cmocka_run_group_tests(tests, NULL, NULL);
    if (strcmp(argv[1], "print") != 0)
        return 2;
    print_document(stdout);
    return 0;
}
