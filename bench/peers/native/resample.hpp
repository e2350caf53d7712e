// Systematic resampling: maximum, sums, f64 prefix sum in two levels (threads, particles), ancestors and gather,
// in one parallel region with three barriers.
#pragma once
#include "maths.hpp"
#include <algorithm>
#include <omp.h>
#include <vector>

struct Weighed {
    double ess;
    double lse; // log of the sum of the weights
};

// w = exp(lw - max) over [a, b), with the sums of w and w^2. f32 inside chunks of 4096, f64 across them.
static inline void exponentials(
    const float *lw, float *w, size_t a, size_t b, float max, double *sum, double *sum2) {
    const size_t C = 4096;
    double s = 0, s2 = 0;
    for (size_t c = a; c < b; c += C) {
        size_t e = std::min(b, c + C);
        float q = 0, v = 0;
        for (size_t i = c; i < e; i++) {
            float p = fexp(lw[i] - max);
            w[i] = p;
            v += p;
            q += p * p;
        }
        s += v;
        s2 += q;
    }
    *sum = s;
    *sum2 = s2;
}

// Ancestors of the slots [slot, end), all of which descend from the particles [a, b). The ancestor of slot j is
// the i with cum_{i-1} * scale <= j + u < cum_i * scale; `cum` starts as the sum of the weights before a.
static inline void offspring(
    const float *w, int *anc, size_t a, size_t b, double cum, double scale, double u, i64 slot, i64 end) {
    typedef int i16 __attribute__((vector_size(64), aligned(4)));
    // Stores the index 16 wide at every particle; later particles overwrite the surplus, so that nothing branches
    // on the number of offspring. Stops where the surplus would pass the end.
    i64 safe = end - 16;
    size_t i = a;
    for (; i + 1 < b; i++) {
        cum += w[i];
        i64 e = (i64)ceil(cum * scale - u);
        if (slot >= safe) {
            cum -= w[i];
            break;
        }
        *(i16 *)(anc + slot) = (i16){} + (int)i;
        if (__builtin_expect(e - slot > 16, 0)) {
            for (i64 q = slot + 16; q < e && q < end; q++)
                anc[q] = (int)i;
        }
        slot = e < end ? e : end;
    }
    for (; i < b; i++) {
        cum += w[i];
        i64 e = (i64)ceil(cum * scale - u);
        if (e > end)
            e = end;
        if (i + 1 == b)
            e = end;
        for (; slot < e; slot++)
            anc[slot] = (int)i;
    }
}

static inline void gather(const float *x, float *y, const int *anc, size_t a, size_t b, int d) {
    if (d == 2) { // a particle is one 8-byte word
        const double *xs = (const double *)x;
        double *ys = (double *)y;
        for (size_t i = a; i < b; i++)
            ys[i] = xs[anc[i]];
        return;
    }
    for (size_t i = a; i < b; i++) {
        const float *from = x + (size_t)anc[i] * d;
        float *to = y + i * d;
        for (int k = 0; k < d; k++)
            to[k] = from[k];
    }
}

// Rows x [n, d] to y by the log-weights lw, with the offset u in [0, 1); `anc` and `w` are filled on the way.
static Weighed resample_gather(
    const float *lw, const float *x, float *y, int *anc, float *w, size_t n, int d, double u, int T) {
    // A row of each for every thread, cache lines apart.
    static std::vector<double> sums, sums2;
    static std::vector<float> maxima;
    sums.assign(T * 8 + 8, 0);
    sums2.assign(T * 8 + 8, 0);
    maxima.assign(T * 16 + 16, -1e30f);
    Weighed weighed = {};
#pragma omp parallel num_threads(T)
    {
        int t = omp_get_thread_num();
        size_t a = n * t / T, b = n * (t + 1) / T;
        float m = -1e30f;
        for (size_t i = a; i < b; i++)
            m = m > lw[i] ? m : lw[i];
        maxima[t * 16] = m;
#pragma omp barrier
        float max = -1e30f;
        for (int k = 0; k < T; k++)
            max = std::max(max, maxima[k * 16]);
        exponentials(lw, w, a, b, max, &sums[t * 8], &sums2[t * 8]);
#pragma omp barrier
        double S = 0, S2 = 0, before = 0;
        for (int k = 0; k < T; k++) {
            if (k < t)
                before += sums[k * 8];
            S += sums[k * 8];
            S2 += sums2[k * 8];
        }
        if (t == 0)
            weighed = {S * S / S2, max + log(S)};
        double scale = (double)n / S;
        i64 slot = (t == 0) ? 0 : (i64)ceil(before * scale - u);
        if (slot < 0)
            slot = 0;
        // The same sums on both sides, so that threads meet exactly; the last one is made to end at n.
        double after = before + sums[t * 8];
        i64 end = (i64)n;
        if (t != T - 1)
            end = std::min<i64>((i64)n, std::max<i64>(0, (i64)ceil(after * scale - u)));
        offspring(w, anc, a, b, before, scale, u, slot, end);
#pragma omp barrier
        gather(x, y, anc, a, b, d);
    }
    return weighed;
}
