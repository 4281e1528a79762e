/* pull_none.c - the program without libcurl: nothing can be fetched (see pull.h). */
#include "pull/pull.h"

int pull_run(const struct pull_options *o, char path[PATH_MAX], struct err *e)
{
    (void)path;
    return err_set(
        e, ERR_USAGE,
        "%s · this borescope was built without libcurl · install libcurl4-openssl-dev and libssl-dev, "
        "configure and build again",
        o->name);
}
