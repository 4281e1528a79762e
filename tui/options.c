/* options.c - parsing the command line by its table (see options.h). */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

const struct option_info option_table[OPTION_COUNT] = {
#define FLAG(id, s, l, help) {OPTION_FLAG, s, l, NULL, help, 0, 0, 0},
#define TEXT(id, s, l, v, help) {OPTION_TEXT, s, l, v, help, 0, 0, 0},
#define LIST(id, s, l, v, help) {OPTION_LIST, s, l, v, help, 0, 0, 0},
#define INT(id, s, l, v, fallback, min, max, help) {OPTION_INT, s, l, v, help, fallback, min, max},
#define REAL(id, s, l, v, fallback, min, max, help) \
    {OPTION_REAL, s, l, v, help, fallback, min, max},
#include "options.def"
};

static const size_t offsets[OPTION_COUNT] = {
#define FLAG(id, s, l, help) offsetof(struct options, id),
#define TEXT(id, s, l, v, help) offsetof(struct options, id),
#define LIST(id, s, l, v, help) offsetof(struct options, id),
#define INT(id, s, l, v, fallback, min, max, help) offsetof(struct options, id),
#define REAL(id, s, l, v, fallback, min, max, help) offsetof(struct options, id),
#include "options.def"
};

static void *field(struct options *o, int id)
{
    return (char *)o + offsets[id];
}

_Static_assert(OPTION_COUNT <= UINT8_MAX, "ids of options are bytes");

bool option_in(const uint8_t *set, int id)
{
    while (*set != OPTION_COUNT && *set != id)
        set++;
    return *set == id;
}

/* The option that an argument names: "--name", "--name=value", "-x", "-xvalue".  *value is what is
 * glued to it. */
static int find(const char *arg, const uint8_t *set, const char **value)
{
    *value = NULL;
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_info *t = &option_table[i];
        size_t len = strlen(t->name);
        if (!option_in(set, i))
            continue;
        if (arg[1] == '-' && !strncmp(arg + 2, t->name, len) &&
            (arg[2 + len] == '\0' || arg[2 + len] == '=')) {
            *value = arg[2 + len] ? arg + 3 + len : NULL;
            return i;
        }
        if (arg[1] != '-' && t->letter && arg[1] == t->letter) {
            *value = arg[2] ? arg + 2 : NULL;
            return i;
        }
    }
    return -1;
}

static int unknown(const char *arg, const uint8_t *set, struct err *e)
{
    int best = -1;
    size_t least = 4; /* farther is no help */
    for (int i = 0; i < OPTION_COUNT; i++)
        if (option_in(set, i) && arg[1] == '-' && nearest_is(arg + 2, option_table[i].name, &least))
            best = i;
    if (best >= 0)
        return err_set(e, ERR_USAGE, "unknown option %s · nearest: --%s", arg,
                       option_table[best].name);
    return err_set(e, ERR_USAGE, "unknown option %s · --help lists those there are", arg);
}

static int parse_number(const struct option_info *t, const char *text, double *out, struct err *e)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    bool whole = t->kind != OPTION_INT || v == floor(v);
    if (end == text || *end || errno || !isfinite(v) || v < t->min || v > t->max || !whole)
        return err_set(e, ERR_USAGE, "--%s \"%s\" · %s %.15g..%.15g", t->name, text,
                       t->kind == OPTION_INT ? "a whole number" : "a number", t->min, t->max);
    *out = v;
    return 0;
}

static int add_item(struct option_list *l, const char *text, struct err *e)
{
    const char **more = realloc(l->item, (size_t)(l->n + 1) * sizeof *more);
    if (!more)
        return err_memory(e, "options");
    l->item = more;
    l->item[l->n++] = text;
    return 0;
}

/* Take one option; `value` is NULL for flags. */
static int take(struct options *o, int id, const char *value, struct err *e)
{
    const struct option_info *t = &option_table[id];
    double v;
    int rc = 0;
    switch (t->kind) {
    case OPTION_FLAG: *(bool *)field(o, id) = true; break;
    case OPTION_TEXT: *(const char **)field(o, id) = value; break;
    case OPTION_LIST: rc = add_item(field(o, id), value, e); break;
    case OPTION_INT:
        if (!(rc = parse_number(t, value, &v, e)))
            *(int32_t *)field(o, id) = (int32_t)v;
        break;
    case OPTION_REAL:
        if (!(rc = parse_number(t, value, &v, e)))
            *(double *)field(o, id) = v;
        break;
    }
    o->given[id] = true;
    return rc;
}

static int take_word(struct options *o, const char *word, int words_max, struct err *e)
{
    if (!o->model && words_max > 0) {
        o->model = word;
        return 0;
    }
    if (o->n_words + 1 >= words_max)
        return err_set(e, ERR_USAGE, "one argument too many: \"%s\" · prompts go behind -p", word);
    o->words[o->n_words++] = word;
    return 0;
}

/* Options that cannot stand together. */
static const uint8_t *const one_of[] = {
    OPTION_SET(ON(prompt), ON(from_stdin), ON(tokens), ON(image)), OPTION_SET(ON(bos), ON(no_bos)),
    OPTION_SET(ON(json), ON(tsv)), OPTION_SET(ON(ansi), ON(sixel), ON(png), ON(json), ON(tsv))};

static int check_pairs(const struct options *o, struct err *e)
{
    for (size_t i = 0; i < sizeof one_of / sizeof *one_of; i++) {
        int found[2], n = 0;
        for (int id = 0; id < OPTION_COUNT && n < 2; id++)
            if (o->given[id] && option_in(one_of[i], id))
                found[n++] = id;
        if (n == 2)
            return err_set(e, ERR_USAGE, "--%s and --%s · only one of them works",
                           option_table[found[0]].name, option_table[found[1]].name);
    }
    return 0;
}

int options_parse(struct options *o, const uint8_t *set, int words_max, int argc, char *const *argv,
                  struct err *e)
{
    *o = (struct options){0};
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_table[i].kind == OPTION_INT)
            *(int32_t *)field(o, i) = (int32_t)option_table[i].fallback;
        if (option_table[i].kind == OPTION_REAL)
            *(double *)field(o, i) = option_table[i].fallback;
    }
    bool words_only = false;
    int rc = 0;
    for (int i = 0; i < argc && !rc; i++) {
        const char *value;
        if (words_only || argv[i][0] != '-' || !argv[i][1]) {
            rc = take_word(o, argv[i], words_max, e);
            continue;
        }
        if (!strcmp(argv[i], "--")) {
            words_only = true;
            continue;
        }
        int id = find(argv[i], set, &value);
        if (id < 0)
            return unknown(argv[i], set, e);
        const struct option_info *t = &option_table[id];
        if (t->kind == OPTION_FLAG && value)
            return err_set(e, ERR_USAGE, "--%s takes no value, found \"%s\"", t->name, value);
        if (t->value && t->value[0] == '[' && !value)
            value = "";
        if (t->kind != OPTION_FLAG && !value && i + 1 == argc)
            return err_set(e, ERR_USAGE, "--%s needs a value: --%s %s", t->name, t->name, t->value);
        if (t->kind != OPTION_FLAG && !value)
            value = argv[++i];
        rc = take(o, id, value, e);
    }
    return rc ? rc : check_pairs(o, e);
}

void options_free(struct options *o)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (option_table[i].kind == OPTION_LIST)
            free(((struct option_list *)field(o, i))->item);
}
