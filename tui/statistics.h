/* statistics.h - what a file of statistics (lab/stats.h) says of what is on show: the first
 * reference set that is such a file.  Read where it lies, at once.  Tested in
 * tests/tui/test_lab.sh.
 */
#ifndef STATISTICS_H
#define STATISTICS_H

#include "draw.h"
#include "lab/stats.h"

enum { STATISTICS_WIDTH = 24 }; /* columns of statistics_columns */

/* Has it the hook, in this model's shape?  Its name to *name (may be NULL). */
bool statistics_of(const struct app *a, struct site_ref s, struct stats_site *out,
                   const char **name);
/* "mean  x>0  below" of an element, beside its value here: `below` is the share of values at or
 * below it. */
void statistics_heading(struct canvas *c, struct rect r, int x);
void statistics_columns(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                        const struct stats_site *s, int64_t element, float value);
/* All that is known of an element, with its strongest contexts, from the top of r on; how many
 * lines. */
int statistics_draw(const struct app *a, struct canvas *c, struct rect r,
                    const struct stats_site *s, const char *name, int64_t element, float value);
/* ", mean -0.1, above 0 in 12 %, at or below it 98 %" */
void statistics_say(struct bytes *b, const struct stats_site *s, int64_t element, float value);

#endif
