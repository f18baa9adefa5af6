// What the network's process says of itself to the one that watches it, in memory that both see.
#ifndef DELF_ASCEND310_INFER_WATCH_H_
#define DELF_ASCEND310_INFER_WATCH_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace delf {

// The environment's word for the descriptor of that memory.
extern const char kWatchVariable[];

const size_t kMaxName = 4096;  // bytes of a photo's name, in the stream as well

enum class Phase : uint32_t {
  kStarting,   // libraries are loaded, options read
  kLoading,    // the runtime loads the model
  kWaiting,    // for a photo, or for whoever takes the results
  kComputing,  // the runtime runs the network on a photo
  kEnded,      // by itself: what the exit code says is ours
};

struct WatchState {
  std::atomic<uint32_t> phase;
  std::atomic<uint32_t> photos;  // begun so far
  char photo[kMaxName + 1];      // the name of the last of them
};
static_assert(std::atomic<uint32_t>::is_always_lock_free, "two processes share these");

// The network's side. Without a watcher what it says goes nowhere.
class Watched {
 public:
  Watched();
  void Enter(Phase phase) { state_->phase = static_cast<uint32_t>(phase); }
  void Compute(const std::string &photo);

 private:
  WatchState own_{};
  WatchState *state_ = &own_;
};

// The one of this process.
Watched &Watch();

}  // namespace delf

#endif  // DELF_ASCEND310_INFER_WATCH_H_
