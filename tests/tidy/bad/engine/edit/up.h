/* up.h - looks up.  Tested in tests/. */
#ifndef UP_H
#define UP_H
#include "session/x.h"
#endif
