/* explorer_keymap.c - the key map in force: built in, of the user, or asked for (see explorer.h).
 * Tested in tests/tui/test_cli_errors.c and test_keymap.c. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_read.h"
#include "explorer.h"

enum { KEYMAP_BYTES_MAX = 1 << 20 };

static int keymap_file(struct keymap *m, const char *path, bool must, struct bytes *warnings,
                       struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    struct err why = {0};
    if (!must && access(path, F_OK))
        return 0;
    int r = file_read_all(path, KEYMAP_BYTES_MAX, &text, &n, &why);
    if (r)
        return err_set(e, r, "key map %s · default, vim, emacs or a file", why.text);
    r = keymap_parse(m, path, text, n, warnings);
    free(text);
    return r < 0 ? err_set(e, ERR_SYSTEM, "out of memory") : 0;
}

int explorer_keymap(const char *name, struct keymap *m, struct bytes *warnings, struct err *e)
{
    size_t len;
    const char *text = keymap_builtin("default", &len);
    int r = keymap_parse(m, "default.keys", text, len, warnings) < 0
                ? err_set(e, ERR_SYSTEM, "out of memory")
                : 0;
    if (r == 0 && name && strcmp(name, "default") != 0) {
        text = keymap_builtin(name, &len);
        if (!text)
            r = keymap_file(m, name, true, warnings, e);
        else if (keymap_parse(m, name, text, len, warnings) < 0)
            r = err_set(e, ERR_SYSTEM, "out of memory");
    }
    char path[PATH_MAX] = "";
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = 0;
    if (config && *config)
        n = snprintf(path, sizeof path, "%s/borescope/keys", config);
    else if (home && *home)
        n = snprintf(path, sizeof path, "%s/.config/borescope/keys", home);
    if (r == 0 && n >= (int)sizeof path)
        r = err_set(e, ERR_BAD_INPUT, "the folder of your keys has a path of %d bytes · %d at most",
                    n, (int)sizeof path - 1);
    if (r == 0 && *path)
        r = keymap_file(m, path, false, warnings, e);
    if (r < 0)
        keymap_free(m);
    return r;
}

int explorer_print_keymap(const char *name, FILE *out, struct err *e)
{
    struct keymap m = {0};
    struct bytes warnings = {0}, text = {0};
    int r = explorer_keymap(name, &m, &warnings, e);
    if (r == 0) {
        if (warnings.len)
            fputs(warnings.data, stderr);
        keymap_print(&m, &text);
        if (text.failed)
            r = err_set(e, ERR_SYSTEM, "out of memory");
        else
            fwrite(text.data, 1, text.len, out);
    }
    keymap_free(&m);
    bytes_free(&warnings);
    bytes_free(&text);
    return r;
}
