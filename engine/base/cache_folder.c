/* cache_folder.c - see cache_folder.h. */
#include "base/cache_folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

bool cache_path(const char *folder, const char *name, bool make, char path[PATH_MAX])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool xdg = cache && cache[0] == '/';
    int n = xdg                      ? snprintf(path, PATH_MAX, "%s", cache)
            : home && home[0] == '/' ? snprintf(path, PATH_MAX, "%s/.cache", home)
                                     : -1;
    const char *const folders[] = {"", "/borescope", folder};
    for (size_t i = 0; n > 0 && n < PATH_MAX && i < sizeof folders / sizeof *folders; i++) {
        int k = snprintf(path + n, (size_t)(PATH_MAX - n), "%s", folders[i]);
        n = k < PATH_MAX - n ? n + k : -1;
        if (n > 0 && make && mkdir(path, 0700) && errno != EEXIST)
            return false;
    }
    if (n <= 0 || n >= PATH_MAX)
        return false;
    return snprintf(path + n, (size_t)(PATH_MAX - n), "/%s", name) < PATH_MAX - n;
}
