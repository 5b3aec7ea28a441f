// Threads for one call: started for it, joined before it returns, so that nothing outlives it (fork, unloading, exit).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace aec {

// The threads of one `parallel`. All of them call `each` in the same order.
class Team {
public:
    // body(i) for every i below n, shared out; returns on every thread when all are done. What one body throws, the
    // call of `parallel` throws in the end; the bodies not yet begun are left out.
    template <class Body>
    void each(int64_t n, Body body) {
        for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < n;) {
            try {
                if (!failed_.load(std::memory_order_relaxed)) body(i);
            } catch (...) {
                const std::lock_guard<std::mutex> lock(mutex_);
                if (!failed_.exchange(true)) error_ = std::current_exception();
            }
        }
        wait();
    }

private:
    template <class Work>
    friend void parallel(int threads, Work work);

    // The last to arrive opens the next round. Rounds are short: spin first, but let others run if it takes long.
    void wait() {
        const uint32_t round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_.load(std::memory_order_acquire)) {
            arrived_.store(0, std::memory_order_relaxed);
            next_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins)
            spins < kSpins ? pause() : std::this_thread::yield();
    }

    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    void start(int size) { size_.store(size, std::memory_order_release); }
    void wait_for_start() const {
        while (size_.load(std::memory_order_acquire) == 0) std::this_thread::yield();
    }

    static constexpr int kSpins = 4000;  // some 60 us
    std::atomic<int> size_{0};
    std::atomic<int> arrived_{0};
    std::atomic<uint32_t> round_{0};
    std::atomic<int64_t> next_{0};
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    std::exception_ptr error_;
};

// work(team, thread) on `threads` threads, this one among them, or on fewer where the system gives no more.
template <class Work>
void parallel(int threads, Work work) {
    Team team;
    std::vector<std::thread> others;
    others.reserve(std::max(threads - 1, 0));
    try {
        for (int thread = 1; thread < threads; ++thread)
            others.emplace_back([&team, &work, thread] {
                team.wait_for_start();
                work(team, thread);
            });
    } catch (const std::system_error&) {
    }
    team.start(static_cast<int>(others.size()) + 1);
    work(team, 0);
    for (std::thread& other : others) other.join();
    if (team.error_) std::rethrow_exception(team.error_);
}

// body(i) for every i below n, on at most `threads` threads.
template <class Body>
void parallel_for(int threads, int64_t n, Body body) {
    parallel(static_cast<int>(std::min<int64_t>(threads, n)), [&](Team& team, int) { team.each(n, body); });
}

}  // namespace aec
