#include "inc/watch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace delf {

const char kWatchVariable[] = "DELF_WATCHED_BY";

Watched::Watched() {
  const char *text = std::getenv(kWatchVariable);
  const int descriptor = text == nullptr ? -1 : std::atoi(text);
  if (descriptor < 0) {
    return;
  }
  void *shared = mmap(nullptr, sizeof(WatchState), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (shared != MAP_FAILED) {
    state_ = static_cast<WatchState *>(shared);
    close(descriptor);
  }
  unsetenv(kWatchVariable);
}

void Watched::Compute(const std::string &photo) {
  const size_t length = std::min(photo.size(), kMaxName);
  std::memcpy(state_->photo, photo.data(), length);
  state_->photo[length] = '\0';
  ++state_->photos;
  Enter(Phase::kComputing);
}

Watched &Watch() {
  static Watched watched;
  return watched;
}

}  // namespace delf
