/* factored.h - a product A . B^T of two thin matrices that is never formed: TransformerLens'
 * FactoredMatrix. */
#ifndef FACTORED_H
#define FACTORED_H

#include "base/err.h"

#include <stdint.h>

/* Singular value decomposition of A B^T with A [m,r] and B [n,r], row-major, r <= m, n:
 * u [m,r], s [r] descending, v [n,r], so that A B^T = u diag(s) v^T.  Cost O((m + n) r^2).
 * Through the QR decompositions of A and of B and the SVD of their r x r core (GSL, one-sided
 * Jacobi).  Thread-safe. */
int factored_svd(const double *a, int64_t m, const double *b, int64_t n, int64_t r, double *u,
                 double *s, double *v, struct err *e);

/* Eigenvalues of A B^T (m = n; the others are 0): those of B^T A, re[r] and im[r] by falling
 * magnitude, a pair of conjugates the positive imaginary part first. */
int factored_eigenvalues(const double *a, const double *b, int64_t m, int64_t r, double *re,
                         double *im, struct err *e);
/* x^T y, [p,q], of x[m,p] and y[m,q]. */
void factored_gram(const double *x, int64_t p, const double *y, int64_t q, int64_t m, double *out);
/* Frobenius norm of A B^T. */
double factored_norm(const double *a, int64_t m, const double *b, int64_t n, int64_t r);
/* The lower triangle l[r,r] of G = L L^T for a positive semidefinite g[r,r]; what rounding makes
 * negative is 0. */
void factored_cholesky(const double *g, int64_t r, double *l);

#endif
