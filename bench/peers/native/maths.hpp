// Elementary functions and random numbers that gcc turns into vector code when they are inlined, and the aligned
// buffer that everything lives in.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;
typedef float v16 __attribute__((vector_size(64)));

template <class T> struct Buf {
    T *p;
    size_t n;
    explicit Buf(size_t count) : n(count) { p = (T *)aligned_alloc(64, ((n * sizeof(T) + 63) / 64) * 64 + 64); }
    ~Buf() { free(p); }
    Buf(const Buf &) = delete;
    Buf &operator=(const Buf &) = delete;
    T &operator[](size_t i) { return p[i]; }
};

// Relative error 1.4e-7 on [-1, 0]; it grows with |x|, as the argument is rounded once, to 4e-6 at -86.
static inline float fexp(float x) {
    x = x < -87.f ? -87.f : x;
    float t = x * 1.44269504f;
    float n = rintf(t);
    float f = t - n; // 2^f with |f| <= 0.5
    float p = 1.53389e-4f;
    p = p * f + 1.339887e-3f;
    p = p * f + 9.618437e-3f;
    p = p * f + 5.5503325e-2f;
    p = p * f + 2.4022648e-1f;
    p = p * f + 6.9314718e-1f;
    p = p * f + 1.f;
    union {
        float f;
        int i;
    } u;
    u.f = p;
    u.i += ((int)n) << 23;
    return u.f;
}

// Relative error 1.2e-7 on (0, 1).
static inline float flog(float x) {
    union {
        float f;
        int i;
    } u;
    u.f = x;
    int e = (u.i - 0x3f3504f3) >> 23;
    u.i -= e << 23;
    float m = u.f - 1.f;
    float z = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    return m * z * p - 0.5f * z + m + (float)e * 0.69314718f;
}

// Sine and cosine of 2 pi u for u in [0, 1); absolute error 1.1e-7.
static inline void fsincos2pi(float u, float *s, float *c) {
    float q = rintf(u * 4.f);
    float r = (u * 4.f - q) * 1.57079633f;
    int k = (int)q;
    float z = r * r;
    float sn = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f - 1.9515295891e-4f * z));
    float cs = 1.f - 0.5f * z + z * z * (4.166664568e-2f + z * (-1.388731625e-3f + 2.443315711e-5f * z));
    float a = (k & 1) ? cs : sn;
    float b = (k & 1) ? sn : cs;
    *s = (k & 2) ? -a : a;
    *c = ((k + 1) & 2) ? -b : b;
}

// Philox4x32-10 (Salmon et al. 2011), in place.
static inline __attribute__((always_inline)) void philox(u32 &c0, u32 &c1, u32 &c2, u32 &c3, u32 k0, u32 k1) {
#pragma GCC unroll 10
    for (int r = 0; r < 10; r++) {
        u64 a = (u64)c0 * 0xD2511F53u;
        u64 b = (u64)c2 * 0xCD9E8D57u;
        u32 n0 = (u32)(b >> 32) ^ c1 ^ k0;
        u32 n1 = (u32)b;
        u32 n2 = (u32)(a >> 32) ^ c3 ^ k1;
        u32 n3 = (u32)a;
        c0 = n0;
        c1 = n1;
        c2 = n2;
        c3 = n3;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// 4 L normals from the L counters that start at `counter`: each block of four words makes two Box-Muller pairs.
template <int L> static inline void normals(u64 counter, u32 stream, u32 step, float *z) {
    alignas(64) u32 w0[L], w1[L], w2[L], w3[L];
#pragma omp simd
    for (int l = 0; l < L; l++) {
        u32 c0 = (u32)(counter + l), c1 = (u32)(counter >> 32), c2 = stream, c3 = step;
        philox(c0, c1, c2, c3, 0x12345678u, 0x9abcdef0u);
        w0[l] = c0;
        w1[l] = c1;
        w2[l] = c2;
        w3[l] = c3;
    }
#pragma omp simd
    for (int l = 0; l < L; l++) {
        float u0 = ((float)(int)(w0[l] >> 8) + 0.5f) * (1.f / 16777216.f);
        float u2 = ((float)(int)(w2[l] >> 8) + 0.5f) * (1.f / 16777216.f);
        float t1 = (float)(int)(w1[l] >> 8) * (1.f / 16777216.f);
        float t3 = (float)(int)(w3[l] >> 8) * (1.f / 16777216.f);
        float r0 = sqrtf(-2.f * flog(u0));
        float r2 = sqrtf(-2.f * flog(u2));
        float s1, c1, s3, c3;
        fsincos2pi(t1, &s1, &c1);
        fsincos2pi(t3, &s3, &c3);
        z[l] = r0 * c1;
        z[L + l] = r0 * s1;
        z[2 * L + l] = r2 * c3;
        z[3 * L + l] = r2 * s3;
    }
}

// The generator behind the problem's constants; `gmm_means` of problem.py is the same one.
struct Lcg {
    u64 state;
    double next() {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        return (double)(state >> 33) / 2147483648.0;
    }
};

// VE, geometric from 30 to 0.01.
static inline double sigma_at(int i, int steps) { return 30.0 * pow(0.01 / 30.0, (double)i / steps); }
