// Threads that are started for one call and joined before it returns. There is no thread pool, because threads that
// outlive a call make trouble when the process forks, unloads the library or exits.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/memory.h"
#include "base/stop.h"

namespace aec {

#if defined(__EMSCRIPTEN__) && !defined(__EMSCRIPTEN_PTHREADS__)

// WebAssembly has no threads here, and the module is smaller without the code for them.
struct Mutex {
    void lock() {}
    void unlock() {}
};

class Team {
public:
    template <class Body>
    void each(int64_t n, Body body) {
        for (int64_t i = 0; i < n; ++i) body(i);
    }
};

template <class Work>
void parallel(int, int, Work work) {
    Team team;
    work(team, 0);
}

#else

using Mutex = std::mutex;

// What each thread of a `parallel` call uses to share out work. All threads of a call must call `each` in the same
// order and with the same n; each call of `each` is a round, and there are at most max_rounds of them.
class Team {
public:
    // Calls body(i) once for every 0 <= i < n, on whichever thread is free, and returns when all n calls have returned.
    // It waits for finished calls and not for threads to arrive, so a thread that the system starts late delays nobody:
    // it finds the earlier rounds finished. If a body throws, or check_stop on the calling thread, no further bodies are
    // called, and `parallel` rethrows the first exception at its end.
    template <class Body>
    void each(int64_t n, Body body) {
        Round& round = shared_.rounds.at(round_++);
        for (int64_t i; (i = round.next.fetch_add(1, std::memory_order_relaxed)) < n;) {
            try {
                if (!shared_.failed.load(std::memory_order_relaxed)) {
                    check_stop();
                    body(i);
                }
            } catch (...) {
                shared_.fail();
            }
            round.done.fetch_add(1, std::memory_order_release);
        }
        // Rounds are short, so spin at first; yield to other threads if the wait takes longer.
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
        // Keeps the exception that is being handled, if it is the first one.
        void fail() {
            const std::lock_guard<Mutex> lock(mutex);
            if (!failed.exchange(true)) error = std::current_exception();
        }
        std::vector<Round> rounds;
        std::atomic<bool> failed{false};
        Mutex mutex;
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

// Runs work(team, thread) on `threads` threads, of which the calling thread is number 0; on fewer if the system cannot
// start that many. `work` calls team.each at most max_rounds times. If it throws, its thread does no more, the others call
// no further bodies, and `parallel` rethrows the first exception when all have ended: a thread that needs memory of its
// own may not get it, and an exception that leaves a thread would end the process.
template <class Work>
void parallel(int threads, int max_rounds, Work work) {
    Team::Shared shared(max_rounds);
    const auto run = [&shared, &work, memory = current_memory](int thread) {
        const MemoryScope scope(memory);
        try {
            Team team(shared);
            work(team, thread);
        } catch (...) {
            shared.fail();
        }
    };
    std::vector<std::thread> others;
    others.reserve(std::max(threads - 1, 0));
    try {
        for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
    } catch (...) {  // the system has no thread or memory left: the threads that were started do all the work
    }
    run(0);
    for (std::thread& other : others) other.join();
    if (shared.error) std::rethrow_exception(shared.error);
}

#endif

// Calls body(i) for every 0 <= i < n, on at most `threads` threads.
template <class Body>
void parallel_for(int threads, int64_t n, Body body) {
    parallel(static_cast<int>(std::min<int64_t>(threads, n)), 1, [&](Team& team, int) { team.each(n, body); });
}

}  // namespace aec
