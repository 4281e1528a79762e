/* action_taker.c - the command that reads taker's hook-config text into edits. */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "edit/taker.h"

/* Each fits the model and the prompt? */
static int check(struct app *a, char *const *texts, int n, struct err *e)
{
    int r = 0;
    for (int i = 0; i < n && r >= 0; i++)
        r = app_edit_check(a, texts[i], e);
    return r;
}

/* "CONFIG [PARAMS]": the last word is a file of parameters if it ends so. */
unsigned act_TAKER(struct app *a, const char *args)
{
    struct taker_hooks t = {0};
    struct err e = {0};
    char *config = strdup(args), *last = config ? strrchr(config, ' ') : NULL;
    const char *params = NULL;
    size_t n = last ? strlen(last) : 0;
    if (n > strlen(".safetensors") && !strcmp(last + n - strlen(".safetensors"), ".safetensors")) {
        *last = '\0';
        params = last + 1;
    }
    int r = !config    ? err_set(&e, ERR_SYSTEM, "out of memory · taker")
            : !*config ? err_set(&e, ERR_USAGE, "taker %s", action_table[ACTION_TAKER].usage)
                       : taker_load(&t, &a->m->cfg, config, params, &e);
    if (!r)
        r = check(a, t.edit, t.n_edits, &e);
    if (!r)
        r = edit_list_add_all(&a->edits, t.edit, t.n_edits, &e);
    if (r < 0)
        app_complain(a, "%s", e.text);
    else
        app_say(a, "%d edit%s · collect: %d hook%s, in the tensor view", (int)t.n_edits,
                t.n_edits == 1 ? "" : "s", (int)t.n_collects, t.n_collects == 1 ? "" : "s");
    if (r >= 0 && t.n_edits)
        app_edits_changed(a);
    taker_free(&t);
    free(config);
    return 0;
}
