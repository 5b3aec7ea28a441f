// Makes the coder's tables from the frequencies of a model file. The file may hold anything, so everything that the
// coder relies on is checked here, when the model is loaded.
#pragma once

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include "rans/rans.h"

namespace aec {

// 16 * log2(value), interpolated linearly between powers of two. It is at most 0.09 bits too low, and uses integers so
// that it is the same on every machine.
inline uint32_t log2_16ths(uint32_t value) {
    int floor_log2 = 0;
    while (value >> (floor_log2 + 1)) ++floor_log2;
    return 16 * floor_log2 + ((value << 4) >> floor_log2) - 16;
}

inline void fill_buckets(Tables& tables, int index) {
    uint32_t letter = 0;
    for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
        const uint32_t first_slot = bucket << kBucketBits;
        const auto end = [&](uint32_t interval) { return start_of(interval) + freq_of(interval); };
        while (end(tables.intervals[index][letter]) <= first_slot) ++letter;
        const uint32_t boundary = std::min(end(tables.intervals[index][letter]) - first_slot, kBucketSize);
        tables.buckets[index][bucket] = static_cast<uint16_t>(letter | boundary << 8);
    }
}

// freqs: [64][64]; row i holds 2 * limits[i] + 2 frequencies that sum to 2^14, then zeros. limits, raw_bits: [64]. Row
// 0 of each is ignored. Throws invalid_argument, which names the row, if FORMAT §5 does not allow them.
inline std::shared_ptr<Tables> make_tables(const uint16_t* freqs, const uint8_t* limits, const uint8_t* raw_bits) {
    auto tables = std::allocate_shared<Tables>(Allocator<Tables>());  // zeroed
    tables->intervals[0][0] = kScale << 16;
    tables->reciprocals[0][0] = reciprocal_of(kScale);
    fill_buckets(*tables, 0);
    for (int index = 1; index < kIndexCount; ++index) {
        const auto fail = [index](const std::string& what) {
            throw std::invalid_argument("table row " + std::to_string(index) + ": " + what);
        };
        const int limit = limits[index], raw = raw_bits[index], escape = 2 * limit + 1;
        if (limit > kMaxLimit) fail("limit " + std::to_string(limit) + ", at most " + std::to_string(kMaxLimit));
        if (raw > kMaxRawBits) fail("raw bits " + std::to_string(raw) + ", at most " + std::to_string(kMaxRawBits));
        tables->limits[index] = limits[index];
        tables->raw_bits[index] = raw_bits[index];

        uint32_t start = 0, cost = 0;
        for (int a = 0; a < kMaxAlphabet; ++a) {
            const uint32_t freq = freqs[index * kMaxAlphabet + a];
            if (a > escape) {
                if (freq != 0) fail("frequency " + std::to_string(a) + " is beyond the escape and must be 0");
                continue;
            }
            if (freq == 0) fail("frequency " + std::to_string(a) + " is 0, at least 1");
            if (start + freq > kScale) fail("frequencies sum to more than 16384");
            tables->intervals[index][a] = start | freq << 16;
            tables->reciprocals[index][a] = reciprocal_of(freq);
            cost += freq * (16 * (kScaleBits + (a == escape ? kEscapeHeadBits : raw)) - log2_16ths(freq));
            start += freq;
        }
        if (start != kScale) fail("frequencies sum to " + std::to_string(start) + ", not 16384");
        fill_buckets(*tables, index);
        tables->costs[index] = static_cast<uint8_t>(std::min(255u, (cost + kScale / 2) >> kScaleBits));
    }
    return tables;
}

}  // namespace aec
