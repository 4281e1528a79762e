/* hook_rank.c - see hook_rank.h. */
#include "list/hook_rank.h"

#include <ctype.h>
#include <string.h>

#include "names/alias.h"

static bool has_letters(const char *name, const char *part)
{
    for (; *part; part++) {
        while (*name && tolower((unsigned char)*name) != tolower((unsigned char)*part))
            name++;
        if (!*name++)
            return false;
    }
    return true;
}

static enum hook_rank part_rank(const char *name, const char *part)
{
    enum hook_rank best = HOOK_NOT;
    size_t n = strlen(part);
    for (const char *at = name; n && (at = strcasestr(at, part)); at++) {
        bool word = at == name || strchr("._[", at[-1]), dot = at == name || at[-1] == '.';
        enum hook_rank r = dot && !at[n] ? HOOK_EXACT : word ? HOOK_WORD : HOOK_PART;
        best = r < best ? r : best;
    }
    return best == HOOK_NOT && has_letters(name, part) ? HOOK_LETTERS : best;
}

enum hook_rank hook_rank(const char *name, const char *part)
{
    enum hook_rank worst = HOOK_EXACT;
    char word[LIMIT_NAME];
    if (strpbrk(part, "*?{"))
        return site_glob(part, name) ? HOOK_LETTERS : HOOK_NOT;
    for (part += strspn(part, " "); *part; part += strspn(part, " ")) {
        size_t n = strcspn(part, " ");
        if (n >= sizeof word)
            return HOOK_NOT;
        memcpy(word, part, n);
        word[n] = 0;
        part += n;
        enum hook_rank r = part_rank(name, word);
        worst = r > worst ? r : worst;
    }
    return worst;
}
