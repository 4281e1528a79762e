/* list.h - lists that grow by one.  Tested through all that keep one. */
#ifndef LIST_H
#define LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more item of `size` bytes in a malloc'ed list of n that was filled through this
 * alone; `list` is the address of the pointer to it (NULL at first).  Room is the next power of two
 * and is stored nowhere.  False: memory is out, and the list is as it was. */
static inline bool list_room(void *list, size_t n, size_t size)
{
    void *items;
    if (n & (n - 1))
        return true;
    memcpy(&items, list, sizeof items);
    items = realloc(items, (n ? 2 * n : 1) * size);
    if (items)
        memcpy(list, &items, sizeof items);
    return items != NULL;
}

#endif
