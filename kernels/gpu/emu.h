/* emu.h - "emu": the kernel text on this processor, for tests.
 *
 * A group's lanes are fibers of one thread, which change at barriers; lanes that pass another
 * number of them than their neighbours stop the program with a message.  Between two barriers lanes
 * run in rising order, of "emu:falling" in falling and of "emu:mixed" in mixed order: a missing
 * barrier shows as another result (under ThreadSanitizer as a race).  Memory is its own, and
 * nothing else of a device is emulated.  Linking it offers it to kn_open. */
#ifndef KN_GPU_EMU_H
#define KN_GPU_EMU_H

#include "gpu.h"

/* What kn_open calls for "emu" and "emu:ORDER"; as there. */
struct kn_backend *emu_open(const struct kn_options *opt, char *why, size_t why_size);

#endif
