# What ctest runs, the program included, computes without AMX wherever it runs: what is measured of a machine is not its tests'.
# Tests of AMX name it (amx_*, test_amx.c, test_cpu_choice.c).
set(ENV{BORESCOPE_CPU} fma)
