/* arch.c - the table of architectures (arch.def), and what their tensors hold (see arch.h). */
#include "model/arch.h"

#include <stdio.h>
#include <string.h>

#define ARCH(name) extern const struct arch name;
#include "model/arch.def"
#undef ARCH

const struct arch *const arch_table[] = {
#define ARCH(name) &name,
#include "model/arch.def"
#undef ARCH
    NULL,
};

int arch_parts(const struct arch_tensor *t)
{
    int n = 0;
    while (n < ARCH_PARTS_MAX && t->part[n] != W_NONE)
        n++;
    return n;
}

int64_t arch_groups(const struct config *cfg, const struct arch_tensor *t)
{
    return site_dim_size(cfg, t->groups, 0);
}

int64_t arch_part_first(const struct config *cfg, const struct arch_tensor *t, int i)
{
    int64_t n = 0;
    for (int k = 0; k < i; k++)
        n += weight_n(cfg, t->part[k]) / arch_groups(cfg, t);
    return n;
}

const struct arch_tensor *arch_tensor_of(const struct config *cfg, enum weight_id w, int *part)
{
    for (const struct arch_tensor *t = cfg->arch->tensors; t->name; t++)
        for (int i = 0; i < arch_parts(t); i++)
            if (t->part[i] == w && (t->when == PROPERTY_UNTIED || config_has(cfg, t->when))) {
                *part = i;
                return t;
            }
    return NULL;
}

bool arch_tensor_name(const struct arch *a, const struct arch_tensor *t, int index,
                      char buf[LIMIT_NAME])
{
    const char *p = t->name,
               *prefixes[] = {t->bare ? "" : a->prefix, t->bare ? NULL : a->old_prefix};
    for (int i = 0; i < 2 && prefixes[i]; i++, p = t->name)
        for (; p; p = (p = strchr(p, '|')) ? p + 1 : NULL)
            if (index-- == 0) {
                snprintf(buf, LIMIT_NAME, "%s%.*s", prefixes[i], (int)strcspn(p, "|"), p);
                return true;
            }
    return false;
}

char *arch_name_spell(const char *pattern, int32_t layer, int32_t expert, char buf[LIMIT_NAME])
{
    int32_t number[2] = {layer, expert};
    size_t n = 0;
    buf[0] = '\0';
    for (int i = 0; *pattern && n < LIMIT_NAME; i++) {
        const char *mark = i < 2 ? strstr(pattern, "%d") : NULL;
        size_t len = mark ? (size_t)(mark - pattern) : strlen(pattern);
        n += (size_t)snprintf(buf + n, LIMIT_NAME - n, "%.*s", (int)len, pattern);
        if (mark && n < LIMIT_NAME)
            n += (size_t)snprintf(buf + n, LIMIT_NAME - n, "%d", (int)number[i]);
        pattern += len + (mark ? 2 : 0);
    }
    return buf;
}
