/* image_set.h - a labelled set of images as the command line names it: a folder of classes, or a
 * table of files and labels.
 *
 *     FOLDER/tabby/1.png, FOLDER/tabby/2.jpg, FOLDER/crane/1.png     (torchvision's ImageFolder)
 *     file,label                                                     (.csv, .tsv, .jsonl; --field,
 *     1.png,tabby                                                     --label: other names)
 *
 * A class is called by its name, by one of the names that commas part ("tabby, tabby cat"), or by
 * its number.  Where no folder is called so and there are as many as classes, they are the classes
 * in the order of their names, as torchvision numbers them.  Files of a table stand beside it.
 * Tested in tests/tui/test_cli_eval_images.c. */
#ifndef IMAGE_SET_H
#define IMAGE_SET_H

#include "cli.h"
#include "lab/eval_images.h"

struct image_set;

int image_set_open(struct cli *c, const char *path, struct image_set **out);
void image_set_close(struct image_set *s);
/* It, as what an evaluation goes over; --skip and --limit. */
struct images_source image_set_source(struct image_set *s);

#endif
