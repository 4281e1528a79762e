/* picture_parts.h - what the files picture_*.c share: the decoders behind picture_in.h, which says
 * where they are tested. */
#ifndef PICTURE_PARTS_H
#define PICTURE_PARTS_H

#include "picture_in.h"

/* Bytes of a .png before its chunks, and of a chunk beside its data. */
enum { PICTURE_PNG_SIGNATURE = 8, PICTURE_PNG_AROUND = 12 };

/* Memory for a picture of that size, in out->rgb; a size past the bounds is told in why. */
enum picture_status picture_alloc(struct picture_rgb *out, int64_t width, int64_t height,
                                  char why[PICTURE_WHY]);
enum picture_status picture_png(const unsigned char *bytes, size_t len, struct picture_rgb *out,
                                char why[PICTURE_WHY]);
enum picture_status picture_jpeg(const unsigned char *bytes, size_t len, struct picture_rgb *out,
                                 char why[PICTURE_WHY]);
/* Turns what was read of a file as the file says. */
enum picture_status picture_turn(struct picture_rgb *p, const unsigned char *bytes, size_t len,
                                 bool png);

#endif
