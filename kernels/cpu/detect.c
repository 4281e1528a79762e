/* detect.c - which instruction sets may be used here.
 *
 * Feature bits and the state that the operating system saves, never model numbers: hypervisors mask
 * those, and libraries that trust them choose badly.
 * Tested in tests/kernels: every set that this machine has is compared with the others.
 */
#include "../kn.h"

#include <stdio.h>
#include <string.h>
#ifdef KN_CPU_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const char *const NAMES[KN_CPU_COUNT] = {"portable",   "avx2",       "avx512",
                                                "amx-bf16x3", "amx-bf16x2", "amx-bf16"};

const char *kn_cpu_name(enum kn_cpu c)
{
    return (unsigned)c < KN_CPU_COUNT ? NAMES[c] : "?";
}

int kn_cpu_parse(const char *name)
{
    for (int i = 0; i < KN_CPU_COUNT; i++)
        if (strcmp(name, NAMES[i]) == 0)
            return i;
    return -1;
}

int kn_cpu_terms(enum kn_cpu c)
{
    return c >= KN_CPU_AMX_BF16X3 && c < KN_CPU_COUNT ? KN_CPU_COUNT - (int)c : 0;
}

#ifdef KN_CPU_X86
#include <cpuid.h>

enum kn_cpu kn_cpu_best(void)
{
    enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 };
    unsigned a, b, c, d, xcr0, xcr0_high;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return KN_CPU_PORTABLE;
    const unsigned need1 = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
    if ((c & need1) != need1)
        return KN_CPU_PORTABLE;
    __asm__("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
    if ((xcr0 & XCR0_AVX) != XCR0_AVX || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
        !(b & bit_AVX2))
        return KN_CPU_PORTABLE;
    const unsigned need7 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if ((xcr0 & XCR0_AVX512) != XCR0_AVX512 || (b & need7) != need7)
        return KN_CPU_AVX2;
    return KN_CPU_AVX512;
}

void kn_cpu_key(char *text, size_t size)
{
    unsigned brand[13] = {0}, a, b, c, d, e, f;
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2],
                         &brand[4 * i + 3]))
            brand[4 * i] = 0;
    a = c = d = e = f = 0;
    __get_cpuid(1, &a, &b, &c, &d);
    __get_cpuid_count(7, 0, &d, &e, &f, &d);
    b = d;
    snprintf(text, size, "%s · %x %x %x %x %x", (const char *)brand, a, c, e, f, b);
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = ' ';
}

#ifdef KN_CPU_AMX

/* AMX has registers of 8 KiB, which the system keeps for processes alone that ask for them.  It
 * refuses where a thread has an alternate signal stack that could not hold them. */
static bool amx_usable(void)
{
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, XCR0_AMX = 3 << 17 };
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    unsigned a, b, c, d, xcr0, xcr0_high;
    if (kn_cpu_best() < KN_CPU_AVX512 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
        (d & (AMX_BF16 | AMX_TILE)) != (AMX_BF16 | AMX_TILE))
        return false;
    __asm__("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
    return (xcr0 & XCR0_AMX) == XCR0_AMX &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

#endif

#else

enum kn_cpu kn_cpu_best(void)
{
    return KN_CPU_PORTABLE;
}

void kn_cpu_key(char *text, size_t size)
{
    snprintf(text, size, "portable");
}

#endif

bool kn_cpu_has(enum kn_cpu c)
{
#ifdef KN_CPU_AMX
    if (kn_cpu_terms(c))
        return amx_usable();
#endif
    return c <= kn_cpu_best();
}
