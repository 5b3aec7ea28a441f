// What is kept of the samples that are already coded, with margins, so that every neighbour of a sample can be read.
#pragma once


#include "base/memory.h"
#include "base/portable.h"

namespace aec {

constexpr int kAbove = 3, kBelow = 2, kBeside = 3;  // neighbours are at most this far away

// One number for each sample of a plane.
template <class T>
class Plane {
public:
    Plane(int width, int height, T above)
        : width_(width), height_(height), stride_(width + 2 * kBeside),
          data_(static_cast<size_t>(stride_) * (static_cast<size_t>(height) + kAbove + kBelow), above) {}

    int stride() const { return stride_; }
    T* row(int y) { return &data_[static_cast<size_t>(stride_) * (y + kAbove) + kBeside]; }
    const T* row(int y) const { return const_cast<Plane*>(this)->row(y); }

    // Before a row is coded, the first number of the row above stands for what lies on its left.
    void begin_row(int y) {
        for (int i = 1; i <= kBeside; ++i) row(y)[-i] = row(y - 1)[0];
    }
    // Afterwards its own ends are repeated; and the last row is repeated below.
    void end_row(int y) {
        T* here = row(y);
        for (int i = 1; i <= kBeside; ++i) {
            here[-i] = here[0];
            here[width_ - 1 + i] = here[width_ - 1];
        }
        for (int i = 1; i <= kBelow && y == height_ - 1; ++i)
            for (int x = -kBeside; x < width_ + kBeside; ++x) row(y + i)[x] = here[x];
    }

private:
    int width_, height_, stride_;
    Vector<T> data_;
};

// `count` numbers for each sample of this row and of the two rows above. Before the first row they are 0.
template <int count>
class RecentRows {
public:
    explicit RecentRows(int width) : width_(width), data_(3 * row_size(), 0) {}

    int32_t* at(int x, int y) { return &data_[(y + 3) % 3 * row_size() + static_cast<size_t>(x + kBeside) * count]; }

    void begin_row(int y) { fill(y, -kBeside, 0, at(0, y - 1)); }
    void end_row(int y) {
        fill(y, -kBeside, 0, at(0, y));
        fill(y, width_, width_ + kBeside, at(width_ - 1, y));
    }

private:
    size_t row_size() const { return static_cast<size_t>(width_ + 2 * kBeside) * count; }
    void fill(int y, int x, int end, const int32_t* from) {
        for (; x < end; ++x)
            for (int k = 0; k < count; ++k) at(x, y)[k] = from[k];
    }

    int width_;
    Vector<int32_t> data_;
};

}  // namespace aec
