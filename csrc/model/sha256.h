// SHA-256 (FIPS 180-4), by which a model file is verified. Processors with instructions for it hash 1.5 to 2 GB/s.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace aec {

class Sha256 {
public:
    void update(const void* data, size_t size);
    void update(const std::string& text) { update(text.data(), text.size()); }
    std::array<uint8_t, 32> digest();  // nothing may be added afterwards

private:
    uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t block_[64];
    uint64_t bytes_ = 0;
};

// Hashes whole blocks of 64 bytes. One function for each instruction set.
using Sha256Blocks = void (*)(uint32_t state[8], const uint8_t* data, size_t blocks);
extern const uint32_t kSha256Constants[64];
void sha256_blocks_x86(uint32_t state[8], const uint8_t* data, size_t blocks);

}  // namespace aec
