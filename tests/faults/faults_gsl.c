/* faults_gsl.c - GSL's allocations among those that can be made to fail (faults.h). */
#include "faults_wrap.h"

#include <gsl/gsl_eigen.h>

WRAP(FAULT_MEMORY, ENOMEM, NULL, gsl_matrix *, gsl_matrix_alloc, (size_t m, size_t n), (m, n))
WRAP(FAULT_MEMORY, ENOMEM, NULL, gsl_vector *, gsl_vector_alloc, (size_t n), (n))
WRAP(FAULT_MEMORY, ENOMEM, NULL, gsl_vector_complex *, gsl_vector_complex_alloc, (size_t n), (n))
WRAP(FAULT_MEMORY, ENOMEM, NULL, gsl_eigen_nonsymm_workspace *, gsl_eigen_nonsymm_alloc, (size_t n),
     (n))
