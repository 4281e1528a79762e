/* statistics.c - see statistics.h. */
#include "statistics.h"

#include <math.h>
#include <string.h>

#include "edit/reference.h"
#include "say.h"
#include "text.h"

bool statistics_of(const struct app *a, struct site_ref s, struct stats_site *out,
                   const char **name)
{
    char hook[LIMIT_NAME];
    int64_t shape[SITE_RANK_MAX];
    int i = 0;
    while (i < a->n_sets && !a->sets[i]->means)
        i++;
    if (i == a->n_sets || stats_look(out, a->sets[i]->means, "", site_name(s, hook), NULL))
        return false;
    if (name)
        *name = a->sets[i]->name;
    int rank = site_shape(&a->m->cfg, s.id, 1, shape);
    return rank == out->rank + 1 &&
           !memcmp(shape + 1, out->shape, (size_t)out->rank * sizeof *shape);
}

static double share(const struct stats_site *s, int64_t element)
{
    return (double)stat_count(s, STAT_pos_count)[element] /
           (double)stat_count(s, STAT_count)[element];
}

void statistics_heading(struct canvas *c, struct rect r, int x)
{
    canvas_put(c, r, x, 0, canvas_plain(CANVAS_DIM), "    mean    x>0   below");
}

void statistics_columns(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                        const struct stats_site *s, int64_t element, float value)
{
    draw_number(c, r, x, y, st, stat_mean(s, STAT_mean)[element], 8, 3, NUMBER_SIGN);
    draw_number(c, r, x + 8, y, st, 100 * share(s, element), 5, 1, 0);
    canvas_put(c, r, x + 13, y, st, " %");
    draw_number(c, r, x + 16, y, st, 100 * stats_quantile(s, element, value), 5, 1, 0);
    canvas_put(c, r, x + 21, y, st, " %");
}

/* The tokens around a strong one on a line, its own between brackets. */
static void draw_context(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                         const int32_t tokens[STATS_CONTEXT])
{
    struct bytes before = {0}, after = {0}, line = {0};
    int room = r.w - x;
    for (int i = 0; i < STATS_CONTEXT; i++) {
        struct bytes *to = i < STATS_BEFORE ? &before : &after;
        if (i == STATS_BEFORE)
            bytes_add_char(to, '[');
        if (tokens[i] >= 0 && tokens[i] < a->m->cfg.d_vocab)
            draw_add_token(a, tokens[i], to);
        if (i == STATS_BEFORE)
            bytes_add_char(to, ']');
    }
    /* the end of what is before, so that the token is in sight */
    int width = text_width(before.data ? before.data : "", before.len, TEXT_PLAIN);
    size_t at = 0;
    while (at < before.len && width > room / 2) {
        do
            at++;
        while (at < before.len && ((unsigned char)before.data[at] & 0xc0) == 0x80);
        width = text_width(before.data + at, before.len - at, TEXT_PLAIN);
    }
    if (before.len > at)
        bytes_add(&line, before.data + at, before.len - at);
    if (after.len)
        bytes_add(&line, after.data, after.len);
    if (!line.failed && line.len)
        canvas_put_text(c, r, x, y, canvas_plain(0), line.data, line.len, TEXT_PLAIN);
    bytes_free(&before), bytes_free(&after), bytes_free(&line);
}

int statistics_draw(const struct app *a, struct canvas *c, struct rect r,
                    const struct stats_site *s, const char *name, int64_t element, float value)
{
    int y = 0;
    int64_t unit = s->units == s->n ? element : element / (s->n / s->units);
    char n[NUMBER_BYTES];
    canvas_putf(c, r, 0, y++, canvas_plain(CANVAS_BOLD), "%s, over %s tokens", name,
                number_count(n, (double)stat_count(s, STAT_count)[element]));
    int x = canvas_putf(c, r, 2, y, canvas_plain(0), "mean %s",
                        number_short(n, stat_mean(s, STAT_mean)[element]));
    canvas_putf(c, r, 2 + x, y++, canvas_plain(0), "  std %s",
                number_short(n, sqrt(stat_mean(s, STAT_variance)[element])));
    x = canvas_putf(c, r, 2, y, canvas_plain(0), "from %s",
                    number_short(n, (double)stat_bound(s, STAT_min)[element]));
    canvas_putf(c, r, 2 + x, y++, canvas_plain(0), "  to %s",
                number_short(n, (double)stat_bound(s, STAT_max)[element]));
    canvas_putf(c, r, 2, y++, canvas_plain(0), "x>0 in %.1f %%, %.1f %% at or below here",
                100 * share(s, element), 100 * stats_quantile(s, element, value));
    for (int64_t k = unit * s->top; k < (unit + 1) * s->top && y < r.h; k++)
        if (s->top_text[k] >= 0) {
            draw_number(c, r, 0, y, canvas_plain(0), (double)s->top_value[k], 7, 2, NUMBER_SIGN);
            draw_context(a, c, r, 8, y++, s->top_tokens + k * STATS_CONTEXT);
        }
    return y;
}

void statistics_say(struct bytes *b, const struct stats_site *s, int64_t element, float value)
{
    bytes_add_string(b, ", mean ");
    say_number(b, stat_mean(s, STAT_mean)[element], 3, NUMBER_SIGN);
    bytes_addf(b, ", above 0 in %.1f %%, at or below it %.1f %%", 100 * share(s, element),
               100 * stats_quantile(s, element, value));
}
