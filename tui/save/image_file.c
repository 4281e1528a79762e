/* image_file.c - see image_file.h. */
#include "save/image_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "picture_in.h"

/* A picture's pixels, prepared; `path` is in front of messages. */
static int from_picture(const struct model *m, const char *path, const char *bytes, size_t len,
                        struct image_input **out, struct err *e)
{
    char why[PICTURE_WHY] = "";
    struct picture_rgb p;
    switch (picture_read(bytes, len, &p, why)) {
    case PICTURE_OK: break;
    case PICTURE_BAD: return err_set(e, ERR_BAD_INPUT, "%s · %s", path, why);
    case PICTURE_UNKNOWN:
        return err_set(e, ERR_BAD_INPUT, "%s · it is no .png, .jpg or .npy file", path);
    case PICTURE_NO_MEMORY: return err_memory(e, "%s", path);
    }
    int rc = image_from_rgb(out, &m->cfg, &m->image, p.rgb, p.height, p.width, e);
    if (rc)
        err_prefix(e, "%s", path);
    free(p.rgb);
    return rc;
}

int image_file_open(const struct model *m, const char *path, struct image_input **out,
                    struct err *e)
{
    char *bytes;
    size_t len;
    if (!m->cfg.patch_size)
        return err_set(e, ERR_BAD_INPUT, "--image · %s takes text, no image · give -p TEXT",
                       m->name);
    int rc = file_read_all(path, LIMIT_IMAGE_BYTES, &bytes, &len, e);
    if (rc)
        return rc;
    rc = len >= 6 && !memcmp(bytes, "\x93NUMPY", 6)
             ? image_from_npy(out, &m->cfg, &m->image, path, bytes, len, e)
             : from_picture(m, path, bytes, len, out, e);
    free(bytes);
    return rc;
}
