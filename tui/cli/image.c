/* image.c - --image: the rows of an image as a command's prompt. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "save/image_file.h"

int cli_image_take(struct cli *c, struct image_input *im)
{
    c->image = im;
    c->n = im->rows;
    if (!(c->tokens = malloc((size_t)c->n * sizeof *c->tokens)))
        return cli_memory(c);
    memcpy(c->tokens, im->ids, (size_t)c->n * sizeof *c->tokens);
    return 0;
}

int cli_image(struct cli *c, const char *path)
{
    struct image_input *im;
    int rc = image_file_open(c->m, path, &im, &c->err);
    return rc ? rc : cli_image_take(c, im);
}
