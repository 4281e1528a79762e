/* lesson.c - commands of lessons (lesson_play.h). */
#include "lesson/lesson_play.h"

unsigned act_LESSON(struct app *a, const char *args)
{
    if (!*args)
        app_complain(a, "lesson %s", action_table[ACTION_LESSON].usage);
    else if (!lesson_command(a, args))
        lesson_begin_named(a, args);
    return 0;
}
