#include "model/sha256.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace aec {

const uint32_t kSha256Constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

namespace {

uint32_t rotated(uint32_t x, int n) { return x >> n | x << (32 - n); }

void blocks_plain(uint32_t state[8], const uint8_t* data, size_t blocks) {
    for (; blocks > 0; --blocks, data += 64) {
        uint32_t w[64];
        for (int i = 0; i < 16; ++i)
            w[i] = uint32_t{data[4 * i]} << 24 | data[4 * i + 1] << 16 | data[4 * i + 2] << 8 | data[4 * i + 3];
        for (int i = 16; i < 64; ++i) {
            const uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) +
                   (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
        }
        uint32_t s[8];
        std::copy_n(state, 8, s);
        for (int i = 0; i < 64; ++i) {
            const uint32_t e = s[4], a = s[0];
            const uint32_t t1 = s[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & s[5]) ^ (~e & s[6])) +
                                kSha256Constants[i] + w[i];
            const uint32_t t2 =
                (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
            for (int k = 7; k > 0; --k) s[k] = s[k - 1];
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (int i = 0; i < 8; ++i) state[i] += s[i];
    }
}

Sha256Blocks chosen() {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    const bool sse41 = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3);
    if (sse41 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29)) return &sha256_blocks_x86;
#endif
    return &blocks_plain;
}

const Sha256Blocks kBlocks = chosen();  // when the library is loaded, as base/isa.cpp chooses

}  // namespace

void Sha256::update(const void* data, size_t size) {
    const uint8_t* from = static_cast<const uint8_t*>(data);
    const size_t held = bytes_ % sizeof block_;
    bytes_ += size;
    if (held > 0) {
        const size_t n = std::min(size, sizeof block_ - held);
        std::memcpy(block_ + held, from, n);
        from += n;
        size -= n;
        if (held + n < sizeof block_) return;
        kBlocks(state_, block_, 1);
    }
    kBlocks(state_, from, size / sizeof block_);
    if (const size_t rest = size % sizeof block_) std::memcpy(block_, from + size - rest, rest);
}

std::array<uint8_t, 32> Sha256::digest() {
    const uint64_t bits = 8 * bytes_;
    uint8_t end[72] = {0x80};
    const size_t padding = 64 - (bytes_ + 8) % 64;
    for (int i = 0; i < 8; ++i) end[padding + i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
    update(end, padding + 8);
    std::array<uint8_t, 32> out;
    for (int i = 0; i < 32; ++i) out[i] = static_cast<uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
    return out;
}

}  // namespace aec
