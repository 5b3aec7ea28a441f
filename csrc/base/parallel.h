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

// One thread's view of a `parallel`. All its threads call `each` in the same order, at most as often as it was told.
class Team {
public:
    // body(i) for every i below n, shared out; returns when all are done. Work is counted, not threads: one that the
    // system starts late finds the rounds before done, and nobody waited for it. What a body throws, `parallel` throws
    // in the end; the bodies not yet begun are left out.
    template <class Body>
    void each(int64_t n, Body body) {
        Round& round = shared_.rounds.at(round_++);
        for (int64_t i; (i = round.next.fetch_add(1, std::memory_order_relaxed)) < n;) {
            try {
                if (!shared_.failed.load(std::memory_order_relaxed)) body(i);
            } catch (...) {
                const std::lock_guard<std::mutex> lock(shared_.mutex);
                if (!shared_.failed.exchange(true)) shared_.error = std::current_exception();
            }
            round.done.fetch_add(1, std::memory_order_release);
        }
        // Rounds are short: spin first, but let others run if it takes long.
        for (int spins = 0; round.done.load(std::memory_order_acquire) < n;)
            spins < kSpins ? (++spins, pause()) : std::this_thread::yield();
    }

private:
    template <class Work>
    friend void parallel(int threads, int max_rounds, Work work);

    struct Round {
        std::atomic<int64_t> next{0}, done{0};
    };
    struct Shared {
        explicit Shared(int max_rounds) : rounds(max_rounds) {}
        std::vector<Round> rounds;
        std::atomic<bool> failed{false};
        std::mutex mutex;
        std::exception_ptr error;
    };

    explicit Team(Shared& shared) : shared_(shared) {}

    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    static constexpr int kSpins = 4000;
    Shared& shared_;
    int round_ = 0;
};

// work(team, thread) on `threads` threads, this one among them, or on fewer where the system gives no more. What `work`
// does outside of `each`, which it calls at most max_rounds times, must not throw.
template <class Work>
void parallel(int threads, int max_rounds, Work work) {
    Team::Shared shared(max_rounds);
    const auto run = [&shared, &work](int thread) {
        Team team(shared);
        work(team, thread);
    };
    std::vector<std::thread> others;
    others.reserve(std::max(threads - 1, 0));
    try {
        for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
    } catch (...) {  // no thread or no memory for one: those that are there do the work
    }
    run(0);
    for (std::thread& other : others) other.join();
    if (shared.error) std::rethrow_exception(shared.error);
}

// body(i) for every i below n, on at most `threads` threads.
template <class Body>
void parallel_for(int threads, int64_t n, Body body) {
    parallel(static_cast<int>(std::min<int64_t>(threads, n)), 1, [&](Team& team, int) { team.each(n, body); });
}

}  // namespace aec
