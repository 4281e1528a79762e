/* autosave.c - see autosave.h. */
#include "save/autosave.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_write.h"

struct autosave {
    char *path;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    char *next;  /* lock: to be written, NULL = nothing */
    size_t len;  /* lock */
    bool quit;   /* lock */
    bool failed; /* lock: err has not been told */
    struct err err;
};

static void *run(void *arg)
{
    struct autosave *s = arg;
    pthread_mutex_lock(&s->lock);
    while (s->next || !s->quit) {
        if (!s->next) {
            pthread_cond_wait(&s->work, &s->lock);
            continue;
        }
        char *text = s->next;
        size_t len = s->len;
        struct err e = {0};
        s->next = NULL;
        pthread_mutex_unlock(&s->lock);
        int rc = file_write_all(s->path, text, len, &e);
        free(text);
        pthread_mutex_lock(&s->lock);
        s->failed = rc < 0;
        s->err = e;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

struct autosave *autosave_open(const char *path)
{
    struct autosave *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    s->path = strdup(path);
    if (s->path && pthread_create(&s->thread, NULL, run, s) == 0)
        return s;
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
    free(s->path);
    free(s);
    return NULL;
}

void autosave_put(struct autosave *s, const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    if (!copy)
        return; /* the next one will do */
    memcpy(copy, text, len);
    copy[len] = 0;
    pthread_mutex_lock(&s->lock);
    free(s->next);
    s->next = copy;
    s->len = len;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

bool autosave_failed(struct autosave *s, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    bool failed = s->failed;
    *e = s->err;
    s->failed = false;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

int autosave_close(struct autosave *s, struct err *e)
{
    if (!s)
        return 0;
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    int rc = s->failed ? s->err.code : 0;
    if (rc)
        *e = s->err;
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
    free(s->path);
    free(s);
    return rc;
}
