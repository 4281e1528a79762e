/* listing.c - reading a repository's list of files and choosing from it (see listing.h). */
#include "pull/listing.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limit.h"

enum { PART_MAX = 255, PATH_BYTES_MAX = 1000 };

static const char index_name[] = "model.safetensors.index.json";

bool listing_is_plain(const char *path)
{
    size_t part = 0;
    for (const char *p = path; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\')
            return false;
        if (*p == '/' && part == 0)
            return false;
        part = *p == '/' ? 0 : part + 1;
        bool begins = part == 1, ends = p[1] == '/' || !p[1];
        if (part > PART_MAX ||
            (begins && *p == '.' && (ends || (p[1] == '.' && (p[2] == '/' || !p[2])))))
            return false;
    }
    return part > 0 && strlen(path) <= PATH_BYTES_MAX;
}

bool listing_has(const struct listing *l, const char *path)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->file[i], path) == 0)
            return true;
    return false;
}

void listing_free(struct listing *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->file[i]);
    free(l->file);
    l->file = NULL;
    l->n = 0;
}

static int add(struct listing *l, const char *path, struct err *e)
{
    if (l->n == LIMIT_LISTING_FILES)
        return err_set(e, ERR_BAD_INPUT, "%d files · more than are listed", l->n);
    char **more = realloc(l->file, ((size_t)l->n + 1) * sizeof *more);
    char *copy = more ? strdup(path) : NULL;
    l->file = more ? more : l->file;
    if (!copy)
        return err_memory(e, "a list of files");
    l->file[l->n++] = copy;
    return 0;
}

static int take_commit(struct listing *l, struct js_node sha, struct err *e)
{
    const char *text;
    int rc = js_string(sha, &text, NULL, e);
    if (rc)
        return rc;
    if (strlen(text) != LISTING_COMMIT || strspn(text, "0123456789abcdef") != LISTING_COMMIT)
        return js_expected(sha, "a commit of 40 hexadecimal digits", e);
    memcpy(l->commit, text, sizeof l->commit);
    return 0;
}

int listing_parse(struct listing *l, const char *name, const char *bytes, size_t len, struct err *e)
{
    *l = (struct listing){0};
    if (len > LIMIT_LISTING_BYTES)
        return err_set(e, ERR_BAD_INPUT, "%s · a list of files of %zu bytes · at most %d", name,
                       len, LIMIT_LISTING_BYTES);
    struct js_doc *doc = js_parse(name, bytes, len, e);
    if (!doc)
        return err_code(e);
    struct js_node root = js_root(doc), files = js_get(root, "siblings");
    int rc = js_is_object(root) ? take_commit(l, js_get(root, "sha"), e)
                                : js_expected(root, "an object", e);
    if (!rc && !js_is_array(files))
        rc = js_expected(files, "a list of files", e);
    for (size_t i = 0; !rc && i < js_count(files); i++) {
        const char *path;
        rc = js_string(js_get(js_at(files, i), "rfilename"), &path, NULL, e);
        if (!rc && listing_is_plain(path))
            rc = add(l, path, e);
    }
    js_close(doc);
    return rc;
}

/* ---- choosing ---- */

static bool is_one_of(const char *path, const char *const *patterns)
{
    for (; *patterns; patterns++)
        if (fnmatch(*patterns, path, FNM_PATHNAME) == 0)
            return true;
    return false;
}

/* What is read besides weights, here or by the reference libraries. */
static bool is_beside(const char *path)
{
    static const char *const patterns[] = {"generation_config.json",
                                           "preprocessor_config.json",
                                           "processor_config.json",
                                           "tokenizer.json",
                                           "tokenizer_config.json",
                                           "tokenizer.model",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "vocab.txt",
                                           "merges.txt",
                                           "spiece.model",
                                           "sentencepiece.bpe.model",
                                           "chat_template.json",
                                           "chat_template.jinja",
                                           NULL};
    return is_one_of(path, patterns);
}

/* What is there of a kind: how many, "a, b, …" of the first few. */
static int count(const struct listing *l, const char *const *patterns, char *some, size_t size)
{
    int n = 0;
    some[0] = '\0';
    for (int i = 0; i < l->n; i++)
        if (is_one_of(l->file[i], patterns) && n++ < 4)
            snprintf(some + strlen(some), size - strlen(some), "%s%s", n > 1 ? ", " : "",
                     n == 4 ? "…" : l->file[i]);
    return n;
}

static const char *const gguf_patterns[] = {"*.gguf", "*/*.gguf", NULL};

static int no_weights(const struct listing *l, const char *name, struct err *e)
{
    static const char *const several[] = {"*.safetensors", NULL};
    static const char *const other[] = {"*.bin",     "*.pt",   "*.pth", "*.h5",
                                        "*.msgpack", "*.onnx", NULL};
    char some[160];
    if (count(l, gguf_patterns, some, sizeof some))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · no safetensors, but .gguf files · choose one with --gguf FILE: %s",
                       name, some);
    if (count(l, several, some, sizeof some))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · no model.safetensors and no index, but several .safetensors: %s", name,
                       some);
    if (count(l, other, some, sizeof some))
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · no safetensors, only %s, which is not read · look for a converted revision, e.g. @refs/pr/1",
            name, some);
    return err_set(e, ERR_BAD_INPUT, "%s · no weights in this repository · nothing is fetched",
                   name);
}

/* model.safetensors, else the index, else the only .safetensors there is: as hub.c looks for them.
 */
static int add_weights(struct listing *out, const struct listing *l, const char *name,
                       struct err *e)
{
    static const char *const single[] = {"*.safetensors", NULL};
    const char *found = NULL;
    int n = 0;
    if (listing_has(l, "model.safetensors"))
        return add(out, "model.safetensors", e);
    if (listing_has(l, index_name))
        return add(out, index_name, e);
    for (int i = 0; i < l->n; i++)
        if (is_one_of(l->file[i], single)) {
            found = l->file[i];
            n++;
        }
    return n == 1 ? add(out, found, e) : no_weights(l, name, e);
}

/* "x-00001-of-00003.gguf": length of what all parts begin with, and "-of-00003.gguf"; 0: it is
 * whole.
 */
static size_t part_stem(const char *path, const char **tail)
{
    static const char form[] = "-00000-of-00000.gguf";
    size_t n = strlen(path), m = sizeof form - 1;
    if (n <= m)
        return 0;
    const char *end = path + n - m;
    for (size_t i = 0; i < m; i++)
        if (form[i] == '0' ? !isdigit((unsigned char)end[i]) : end[i] != form[i])
            return 0;
    *tail = end + 6;
    return n - m + 1;
}

static int add_gguf(struct listing *out, const struct listing *l, const char *name,
                    const char *gguf, struct err *e)
{
    char some[160];
    const char *tail = NULL;
    size_t stem = part_stem(gguf, &tail);
    int rc = 0;
    if (!listing_has(l, gguf)) {
        int n = count(l, gguf_patterns, some, sizeof some);
        return err_set(e, ERR_BAD_INPUT, "%s · no file %.100s · %s%s", name, gguf,
                       n ? "there: " : "no .gguf file at all", some);
    }
    if (!stem)
        return add(out, gguf, e);
    for (int i = 0; !rc && i < l->n; i++) {
        const char *end = NULL;
        if (part_stem(l->file[i], &end) == stem && !strncmp(l->file[i], gguf, stem) &&
            !strcmp(end, tail))
            rc = add(out, l->file[i], e);
    }
    int parts = (int)strtol(tail + 4, NULL, 10);
    if (!rc && out->n != parts)
        rc = err_set(e, ERR_BAD_INPUT, "%s · %.100s · %d of its %d parts are there", name, gguf,
                     out->n, parts);
    return rc;
}

int listing_choose(struct listing *out, const struct listing *l, const char *name, const char *gguf,
                   struct err *e)
{
    *out = (struct listing){0};
    memcpy(out->commit, l->commit, sizeof out->commit);
    if (gguf)
        return add_gguf(out, l, name, gguf, e);
    if (!listing_has(l, "config.json")) {
        char some[160];
        if (count(l, gguf_patterns, some, sizeof some))
            return no_weights(l, name, e);
        return err_set(e, ERR_BAD_INPUT, "%s · no config.json: this is not a model", name);
    }
    int rc = add(out, "config.json", e);
    for (int i = 0; !rc && i < l->n; i++)
        if (is_beside(l->file[i]))
            rc = add(out, l->file[i], e);
    return rc ? rc : add_weights(out, l, name, e);
}

const char *listing_index(const struct listing *chosen)
{
    return listing_has(chosen, index_name) ? index_name : NULL;
}

int listing_add_shards(struct listing *chosen, const struct listing *l, const char *name,
                       const char *bytes, size_t len, struct err *e)
{
    struct js_doc *doc = js_parse(index_name, bytes, len, e);
    if (!doc)
        return err_code(e);
    struct js_node map = js_get(js_root(doc), "weight_map");
    int rc = js_is_object(map) ? 0 : js_expected(map, "an object", e), before = chosen->n;
    for (struct js_iter it = js_members(map); !rc && js_next(&it);) {
        const char *shard;
        rc = js_string(it.value, &shard, NULL, e);
        if (rc || listing_has(chosen, shard))
            continue;
        if (chosen->n - before == LIMIT_SHARDS)
            rc = err_set(e, ERR_BAD_INPUT, "%s · more than %d shards", name, LIMIT_SHARDS);
        else if (strchr(shard, '/') || !listing_has(l, shard))
            rc = err_set(e, ERR_BAD_INPUT, "%s · %s names %.100s, which is not in this repository",
                         name, index_name, shard);
        else
            rc = add(chosen, shard, e);
    }
    js_close(doc);
    return rc;
}
