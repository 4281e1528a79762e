/* image_file.h - an image of a file as a model takes it: .png, .jpg or .npy, told by its first
 * bytes. Tested in tests/tui/test_cli_image.c. */
#ifndef IMAGE_FILE_H
#define IMAGE_FILE_H

#include "model/model.h"

/* *out is the caller's reference.  Errors begin with the path; a model that takes text is refused.
 */
int image_file_open(const struct model *m, const char *path, struct image_input **out,
                    struct err *e);

#endif
