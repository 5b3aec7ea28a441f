// A check of numeric arguments, and a division.
#pragma once

#include <stdexcept>
#include <string>

namespace aec {

// Returns the value if low <= value <= high; else throws invalid_argument, which names the argument and its range.
inline int in_range(int value, int low, int high, const char* name) {
    if (value < low || value > high)
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + ", allowed are " +
                                    std::to_string(low) + " to " + std::to_string(high));
    return value;
}

// Rounded up, of numbers that are not negative.
constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

}  // namespace aec
