// The program that people start. It starts delf_network beside itself, which does the work, and sees
// to it that whatever a model does to the runtime ends with one line: a crash, an end without a word,
// too much memory, no answer. It links no runtime, so nothing of it can be damaged.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "inc/errors.h"
#include "inc/options.h"
#include "inc/results.h"
#include "inc/watch.h"

namespace delf {
namespace {

const int kFarAway = 100;  // a descriptor that no stream has
const int kNotStarted = 127;
const auto kGlance = std::chrono::milliseconds(50);

// What the network's process is to be held to.
struct Limits {
  double seconds = 0;
  uint64_t bytes = 0;
};

// How it ended: `status` as waitpid has it, or the reason why it was ended.
struct End {
  int status = 0;
  std::string exceeded;
};

WatchState *Share(int *descriptor) {
  const int memory = memfd_create("delf_infer", 0);
  *descriptor = memory < 0 ? -1 : fcntl(memory, F_DUPFD, kFarAway);
  if (*descriptor < 0 || ftruncate(*descriptor, sizeof(WatchState)) != 0) {
    throw Error(kRun, std::string("no memory can be shared: ") + std::strerror(errno));
  }
  close(memory);
  void *shared = mmap(nullptr, sizeof(WatchState), PROT_READ | PROT_WRITE, MAP_SHARED, *descriptor, 0);
  if (shared == MAP_FAILED) {
    throw Error(kRun, std::string("no memory can be shared: ") + std::strerror(errno));
  }
  return static_cast<WatchState *>(shared);  // zeros: it is starting
}

std::string NetworkProgram() {
  std::vector<char> path(1U << 16);
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  const std::string self(path.data(), length > 0 ? static_cast<size_t>(length) : 0);
  return self.substr(0, self.rfind('/') + 1) + "delf_network";
}

// Becomes the network's process; `parent` is the one that watches.
[[noreturn]] void BecomeNetwork(const std::string &program, char **argv, pid_t parent, const sigset_t &signals) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(kNotStarted);
  }
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);  // a crash leaves no gigabytes behind
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  ReturnStandardOutput();
  execv(program.c_str(), argv);
  _exit(kNotStarted);
}

uint64_t ResidentBytes(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/statm");
  uint64_t all = 0;
  uint64_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Waits for the end of the network's process, or brings it about.
End WaitFor(pid_t process, const WatchState &state, const Limits &limits, const sigset_t &child) {
  using Clock = std::chrono::steady_clock;
  End end;
  double silent = 0;
  uint64_t last = 0;
  auto before = Clock::now();
  const timespec glance = {0, std::chrono::nanoseconds(kGlance).count()};
  while (true) {
    const pid_t ended = waitpid(process, &end.status, end.exceeded.empty() ? WNOHANG : 0);
    if (ended == process || (ended < 0 && errno != EINTR)) {
      return end;
    }
    sigtimedwait(&child, nullptr, &glance);
    const auto now = Clock::now();
    // No more than a second at once: the time in which both were stopped does not count.
    const double passed = std::min(1.0, std::chrono::duration<double>(now - before).count());
    before = now;
    const uint64_t at = static_cast<uint64_t>(state.photos) << 32U | state.phase;
    const bool idle = state.phase == static_cast<uint32_t>(Phase::kWaiting);
    silent = at != last || idle ? 0 : silent + passed;
    last = at;
    if (ResidentBytes(process) > limits.bytes) {
      end.exceeded = "took more than " + std::to_string(limits.bytes >> 20U) + " MB of memory";
    } else if (silent > limits.seconds) {
      end.exceeded = "did not answer within " + std::to_string(static_cast<int>(limits.seconds)) + " s";
    }
    if (!end.exceeded.empty()) {
      kill(process, SIGKILL);
    }
  }
}

bool IsCrash(int signal) {
  const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
  return std::find(std::begin(crashes), std::end(crashes), signal) != std::end(crashes);
}

// Ends this process as the other one ended, or says what the runtime did.
int Conclude(const End &end, const WatchState &state, const std::string &model) {
  const auto phase = static_cast<Phase>(state.phase.load());
  const bool signalled = end.exceeded.empty() && WIFSIGNALED(end.status);
  const int signal = signalled ? WTERMSIG(end.status) : 0;
  if (phase == Phase::kEnded && end.exceeded.empty()) {
    return signalled ? kDone : WEXITSTATUS(end.status);  // its last word was said before
  }
  if (signalled && !IsCrash(signal)) {
    std::signal(signal, SIG_DFL);
    raise(signal);
  }
  std::string what = "ended without a word";
  if (!end.exceeded.empty()) {
    what = end.exceeded;
  } else if (signalled) {
    what = std::string("crashed (") + strsignal(signal) + ")";
  }
  if (phase == Phase::kStarting) {
    throw Error(kUsage, "the program " + NetworkProgram() + " " + what +
                          " before it began; build it with `bash ascend310_infer/build.sh`");
  }
  const std::string photo = phase == Phase::kLoading || state.photos == 0 ? "" : " at photo " + std::string(state.photo);
  throw Error(kUsage, "the runtime " + what + " with the model " + model + photo +
                        "; if the model is damaged or of another release, export it again with export.py");
}

Limits LimitsOf(const Options &options) {
  Limits limits;
  limits.seconds = options.patience;
  const uint64_t machine = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  limits.bytes = options.memory_mb > 0 ? static_cast<uint64_t>(options.memory_mb) << 20U : machine / 10 * 9;
  return limits;
}

int Run(int argc, char **argv) {
  const bool help = argc == 2 && std::string(argv[1]) == "--help";
  const Options options = help ? Options() : ParseOptions(argc, argv);
  int descriptor = -1;
  const WatchState *state = Share(&descriptor);
  setenv(kWatchVariable, std::to_string(descriptor).c_str(), 1);
  std::signal(SIGCHLD, SIG_DFL);
  sigset_t child;
  sigset_t before;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, &before);
  const std::string program = NetworkProgram();
  const pid_t parent = getpid();
  const pid_t process = fork();
  if (process < 0) {
    throw Error(kRun, std::string("no process can be started: ") + std::strerror(errno));
  }
  if (process == 0) {
    BecomeNetwork(program, argv, parent, before);
  }
  close(STDIN_FILENO);  // the other one's alone
  ForgetStandardOutput();
  return Conclude(WaitFor(process, *state, LimitsOf(options), child), *state, options.model);
}

}  // namespace
}  // namespace delf

int main(int argc, char **argv) {
  try {
    return delf::Run(argc, argv);
  } catch (const delf::Error &error) {
    std::cerr << "error: " << error.what() << std::endl;
    return error.code();
  } catch (const std::exception &error) {
    std::cerr << "error: " << error.what() << std::endl;
    return delf::kRun;
  }
}
