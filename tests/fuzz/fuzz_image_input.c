/* Fuzz: any bytes as an .npy file, or as preprocessor_config.json and then a picture prepared by
 * it; what is accepted is an image of the model's shape, and what is refused leaves nothing behind.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/image_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char shape[] = "{\"model_type\":\"vit\",\"image_size\":10,\"patch_size\":3}";

static void refused(const struct err *e)
{
    if (e->code >= 0 || *e->text == '\0' || strchr(e->text, '\n'))
        abort();
}

static void accepted(struct image_input *im)
{
    float sum = 0;
    for (int32_t i = 0; i < im->rows * im->patch; i++)
        sum += im->values[i];
    if (im->rows != 10 || im->patch != 27 || im->side != 10 || im->values[0] < 0 ||
        im->values[0] > 0 || im->ids[9] != 9)
        abort();
    (void)sum;
    image_drop(im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t rgb[7 * 5 * 3] = {1, 2, 250};
    struct config cfg;
    struct err e = {0};
    struct image_input *im = NULL;
    if (config_parse(&cfg, shape, sizeof shape - 1, "config.json", NULL))
        abort();
    struct image_prep prep = image_prep_usual(&cfg);
    int rc = 0;
    if (size && data[0] == 0x93) {
        rc = image_from_npy(&im, &cfg, &prep, "a.npy", data, size, &e);
    } else {
        rc = image_prep_from(&prep, &cfg, js_parse("p.json", (const char *)data, size, &e), &e);
        rc = rc ? rc : image_from_rgb(&im, &cfg, &prep, rgb, 7, 5, &e);
    }
    if (rc)
        refused(&e);
    else
        accepted(im);
    return 0;
}
