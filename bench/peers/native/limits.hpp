// What the machine can do at best: memory traffic and f32 multiply-adds. Each returns something that depends on
// the work, so that the work is not optimised away.
#pragma once
#include "maths.hpp"
#include <cstring>
#include <omp.h>

static void stream_copy(Buf<float> &a, const Buf<float> &b, int T) {
    size_t n = a.n;
#pragma omp parallel num_threads(T)
    {
        int t = omp_get_thread_num();
        size_t first = n * t / T, end = n * (t + 1) / T;
        memcpy(a.p + first, b.p + first, (end - first) * 4);
    }
}

static void stream_triad(Buf<float> &a, Buf<float> &b, Buf<float> &c, int T) {
#pragma omp parallel for num_threads(T)
    for (size_t i = 0; i < a.n; i++)
        a[i] = b[i] + 3.f * c[i];
}

static double stream_read(const Buf<float> &a, int T) {
    size_t n = a.n;
    double s = 0;
#pragma omp parallel num_threads(T) reduction(+ : s)
    {
        int t = omp_get_thread_num();
        size_t i = n * t / T / 128 * 128, end = n * (t + 1) / T / 128 * 128;
        v16 b0 = {}, b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0, b6 = b0, b7 = b0;
        for (; i < end; i += 128) {
            const v16 *p = (const v16 *)(a.p + i);
            b0 += p[0];
            b1 += p[1];
            b2 += p[2];
            b3 += p[3];
            b4 += p[4];
            b5 += p[5];
            b6 += p[6];
            b7 += p[7];
        }
        b0 += b1 + b2 + b3 + b4 + b5 + b6 + b7;
        for (int j = 0; j < 16; j++)
            s += b0[j];
    }
    return s;
}

static void stream_write(Buf<float> &a, int T) {
#pragma omp parallel for num_threads(T)
    for (size_t i = 0; i < a.n; i++)
        a[i] = 3.f;
}

// Keeps six accumulators in registers from one round to the next. Without AVX-512 a v16 is no register, and the
// compiler is left to do as it likes.
#ifdef __AVX512F__
#define KEEP(a, b, c, d, e, f) asm volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f))
#else
#define KEEP(a, b, c, d, e, f)
#endif

// n rounds of 12 independent multiply-adds, 16 wide, on each thread.
static double fma_rounds(size_t n, int T) {
    double s = 0;
#pragma omp parallel num_threads(T) reduction(+ : s)
    {
        v16 a0 = {}, a1 = a0 + 1, a2 = a0 + 2, a3 = a0 + 3, a4 = a0 + 4, a5 = a0 + 5;
        v16 a6 = a0 + 6, a7 = a0 + 7, a8 = a0 + 8, a9 = a0 + 9, a10 = a0 + 10, a11 = a0 + 11;
        v16 x = (v16){} + 0.999f, y = (v16){} + 0.001f;
        for (size_t i = 0; i < n; i++) {
            a0 = a0 * x + y;
            a1 = a1 * x + y;
            a2 = a2 * x + y;
            a3 = a3 * x + y;
            a4 = a4 * x + y;
            a5 = a5 * x + y;
            a6 = a6 * x + y;
            a7 = a7 * x + y;
            a8 = a8 * x + y;
            a9 = a9 * x + y;
            a10 = a10 * x + y;
            a11 = a11 * x + y;
            KEEP(a0, a1, a2, a3, a4, a5);
            KEEP(a6, a7, a8, a9, a10, a11);
        }
        v16 q = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
        for (int j = 0; j < 16; j++)
            s += q[j];
    }
    return s;
}
