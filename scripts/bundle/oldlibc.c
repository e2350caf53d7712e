/* What LLVM takes from the newest C libraries, for those before them: without these three functions the bundle asks
 * for glibc 2.34 instead of 2.36. Hidden, so that no library of the machine finds them. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

#define OWN __attribute__((visibility("hidden")))

/* glibc 2.36. */
OWN uint32_t arc4random(void) {
  uint32_t word;
  if (getrandom(&word, sizeof word, 0) != (ssize_t)sizeof word) abort();
  return word;
}

/* A new version in glibc 2.35. Squares of doubles neither overflow nor vanish in the processor's 80 bits. */
OWN double hypot(double x, double y) {
  if (isinf(x) || isinf(y)) return INFINITY;
  return (double)sqrtl((long double)x * x + (long double)y * y);
}

OWN float hypotf(float x, float y) {
  if (isinf(x) || isinf(y)) return INFINITY;
  return (float)sqrt((double)x * x + (double)y * y);
}
