/* reference.c - see reference.h. */
#include "edit/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/ends_with.h"
#include "base/file_read.h"
#include "base/nearest.h"
#include "base/splitmix.h"
#include "model/checkpoint.h"

/* A set that grows. */
struct building {
    int32_t *tokens;
    int64_t *start;
    int64_t n_tokens, cap_tokens;
    int32_t n, cap, longest;
};

static void building_free(struct building *b)
{
    free(b->tokens), free(b->start);
}

static int add_prompt(struct building *b, const int32_t *ids, int32_t n, struct err *e)
{
    if (b->n == LIMIT_REFERENCE_PROMPTS)
        return err_set(e, ERR_BAD_INPUT, "more than %d prompts · use fewer",
                       LIMIT_REFERENCE_PROMPTS);
    if (b->n_tokens + n > LIMIT_REFERENCE_TOKENS)
        return err_set(e, ERR_BAD_INPUT,
                       "more than %d tokens in all · use fewer or shorter prompts",
                       LIMIT_REFERENCE_TOKENS);
    if (b->n + 1 >= b->cap) {
        int32_t cap = b->cap ? 2 * b->cap : 64;
        int64_t *more = realloc(b->start, (size_t)cap * sizeof *more);
        if (!more)
            return err_memory(e, "a reference set");
        more[0] = 0;
        b->start = more, b->cap = cap;
    }
    if (b->n_tokens + n > b->cap_tokens) {
        int64_t cap = 2 * (b->n_tokens + n);
        int32_t *more = realloc(b->tokens, (size_t)cap * sizeof *more);
        if (!more)
            return err_memory(e, "a reference set");
        b->tokens = more, b->cap_tokens = cap;
    }
    memcpy(b->tokens + b->n_tokens, ids, (size_t)n * sizeof *ids);
    b->n_tokens += n;
    b->start[++b->n] = b->n_tokens;
    b->longest = n > b->longest ? n : b->longest;
    return 0;
}

/* The set takes over what was built. */
static int finish(struct building *b, const char *name, const char *path,
                  struct reference_set **out, struct err *e)
{
    struct reference_set *s = calloc(1, sizeof *s);
    char *own_name = strdup(name), *own_path = strdup(path);
    if (!s || !own_name || !own_path) {
        free(s), free(own_name), free(own_path);
        return err_memory(e, "a reference set");
    }
    atomic_init(&s->refs, 1);
    s->name = own_name, s->path = own_path;
    s->n = b->n, s->longest = b->longest, s->n_tokens = b->n_tokens;
    s->start = b->start, s->tokens = b->tokens;
    *out = s;
    return 0;
}

struct reference_set *reference_hold(const struct reference_set *s)
{
    struct reference_set *same = (struct reference_set *)(uintptr_t)
        s; /* the count is the only thing that ever changes */
    atomic_fetch_add(&same->refs, 1);
    return same;
}

void reference_free(struct reference_set *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    checkpoint_close(s->means);
    free(s->name), free(s->path);
    free((void *)(uintptr_t)s->start), free((void *)(uintptr_t)s->tokens);
    free(s);
}

int reference_make(struct reference_set **out, const char *name, const int32_t *const *tokens,
                   const int32_t *lengths, int32_t n, struct err *e)
{
    struct building b = {0};
    int rc = n > 0 ? 0 : err_set(e, ERR_BAD_INPUT, "reference set %s · it has no prompts", name);
    for (int32_t i = 0; !rc && i < n; i++)
        rc = lengths[i] > 0 ? add_prompt(&b, tokens[i], lengths[i], e)
                            : err_set(e, ERR_BAD_INPUT,
                                      "reference set %s · prompt %d has no tokens", name, (int)i);
    if (!rc)
        rc = finish(&b, name, "", out, e);
    if (rc)
        building_free(&b);
    return rc;
}

/* ---- text ---- */

static int add_line(struct building *b, const struct model *m, int bos, const char *line,
                    size_t len, struct err *e)
{
    int32_t *ids = NULL, n = 0;
    if (memchr(line, '\0', len))
        return err_set(e, ERR_BAD_INPUT,
                       "a zero byte · a reference set is a text file, one prompt per line");
    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)line + i,
                                              (utf8proc_ssize_t)(len - i), &c);
        if (k < 1)
            return err_set(
                e, ERR_BAD_INPUT,
                "byte %zu is not UTF-8 · a reference set is a text file, one prompt per line",
                i + 1);
        i += (size_t)k;
    }
    int rc = model_tokens(m, line, len, bos, &ids, &n, e);
    if (!rc)
        rc = model_check_tokens(m, ids, n, NULL, e);
    if (!rc)
        rc = add_prompt(b, ids, n, e);
    free(ids);
    return rc;
}

int reference_parse(struct reference_set **out, const struct model *m, int bos, const char *name,
                    const char *path, const char *text, size_t len, struct err *e)
{
    struct building b = {0};
    size_t at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    int rc = 0;
    for (int line = 1; !rc && at < len; line++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - text) - at : len - at, next = at + n + 1;
        n -= n > 0 && text[at + n - 1] == '\r';
        if (n > 0 && (rc = add_line(&b, m, bos, text + at, n, e)))
            err_prefix(e, "%s · line %d", path, line);
        at = next;
    }
    if (!rc && b.n == 0)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · no prompts in it · a reference set is a text file, one prompt per line",
                     path);
    if (!rc)
        rc = finish(&b, name, path, out, e);
    if (rc)
        building_free(&b);
    return rc;
}

/* ---- files ---- */

/* How many bytes before an = make a name; 0 = there is none. */
static size_t name_length(const char *arg)
{
    size_t n = strspn(arg, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return arg[n] == '=' ? n : 0;
}

bool reference_is_statistics(const char *path)
{
    return ends_with(path, ".safetensors");
}

/* A set of the means that a file has. */
static int load_means(struct reference_set **out, const char *name, const char *path, struct err *e)
{
    struct building none = {0};
    struct checkpoint *st = checkpoint_open(path, e);
    int rc = st ? 0 : err_code(e);
    if (!rc && !checkpoint_metadata(st, "state"))
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · is no file of statistics · `borescope stats` makes one", path);
    if (!rc && !(none.start = calloc(1, sizeof *none.start)))
        rc = err_memory(e, "a reference set");
    if (!rc)
        rc = finish(&none, name, path, out, e);
    if (rc) {
        building_free(&none);
        checkpoint_close(st);
        return rc;
    }
    (*out)->means = st;
    return 0;
}

int reference_load(struct reference_set **out, const struct model *m, int bos, const char *arg,
                   struct err *e)
{
    size_t n = name_length(arg), len = 0;
    const char *path = n ? arg + n + 1 : arg;
    char *name = n ? strndup(arg, n) : strdup(REFERENCE_NAME), *text = NULL;
    if (!name)
        return err_memory(e, "a reference set");
    struct err why = {0};
    int rc = 0;
    if (!*path)
        rc = err_set(e, ERR_BAD_INPUT, "reference set \"%s\" · expected NAME=FILE or FILE", arg);
    else if (reference_is_statistics(path))
        rc = load_means(out, name, path, e);
    else if ((rc = file_read_all(path, LIMIT_REFERENCE_BYTES, &text, &len, &why)))
        err_set(e, rc, "%s · a reference set is a text file, one prompt per line", why.text);
    if (!rc && text)
        rc = reference_parse(out, m, bos, name, path, text, len, e);
    free(text), free(name);
    return rc;
}

/* ---- asking ---- */

const struct reference_set *reference_find(struct reference_set *const *sets, int32_t n,
                                           const char *name, struct err *e)
{
    int32_t best = 0;
    size_t least = SIZE_MAX;
    for (int32_t i = 0; i < n; i++) {
        if (!strcmp(sets[i]->name, name))
            return sets[i];
        if (nearest_is(name, sets[i]->name, &least))
            best = i;
    }
    if (n > 0)
        err_set(e, ERR_BAD_INPUT, "no reference set is called \"%s\" · the nearest is %s", name,
                sets[best]->name);
    else
        err_set(e, ERR_BAD_INPUT,
                "no reference set is called \"%s\" · name one: --ref %s=FILE, one prompt per line",
                name, name);
    return NULL;
}

const struct st_tensor *reference_means_of(const struct reference_set *s, const char *hook,
                                           int64_t n, struct err *e)
{
    char name[LIMIT_NAME + 8];
    snprintf(name, sizeof name, "%s.mean", hook);
    const struct st_tensor *t = checkpoint_find(s->means, name);
    if (!t || st_count(t) != n || (t->dtype != ST_F64 && t->dtype != ST_F32)) {
        err_set(e, ERR_BAD_INPUT,
                "mean(%s) · %s has no %s of %lld elements · run `borescope stats` with -c %s",
                s->name, s->path, name, (long long)n, hook);
        return NULL;
    }
    return t;
}

static uint64_t draw_rank(int32_t seed, int32_t index)
{
    return splitmix64((uint64_t)(uint32_t)seed << 32 | (uint32_t)index);
}

int32_t reference_draw(const struct reference_set *s, int32_t seed, int32_t n_min)
{
    int32_t best = -1;
    for (int32_t i = 0; i < s->n; i++)
        if (s->start[i + 1] - s->start[i] >= n_min &&
            (best < 0 || draw_rank(seed, i) < draw_rank(seed, best)))
            best = i;
    return best;
}
