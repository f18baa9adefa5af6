// DELF features of a stream of photos: pyramids in on standard input, feature maps out on standard
// output. One thread reads, one computes, one writes; the queues between them are short.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include "inc/bounded_queue.h"
#include "inc/errors.h"
#include "inc/network.h"
#include "inc/options.h"
#include "inc/results.h"
#include "inc/stream.h"
#include "inc/watch.h"

namespace delf {
namespace {

const size_t kWaiting = 2;  // photos in each queue

// The time the network takes, as users of the 310 scripts know it.
class Timing {
 public:
  template <typename Function>
  auto Measure(Function function) {
    const auto start = std::chrono::steady_clock::now();
    auto result = function();
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ++photos_;
    return result;
  }

  void Write(const std::string &path) const {
    std::ofstream file(path, std::ios::trunc);
    file << "NN inference cost average time: " << (photos_ > 0 ? seconds_ * 1000 / static_cast<double>(photos_) : 0)
         << " ms of infer_count " << photos_ << std::endl;
    if (!file) {
      throw Error(kOutput, "the mean time cannot be written to " + path);
    }
  }

 private:
  double seconds_ = 0;
  size_t photos_ = 0;
};

// Says in one line what went wrong and ends the process, other threads included.
[[noreturn]] void Exit(const std::exception_ptr &failure) {
  int code = kRun;
  try {
    std::rethrow_exception(failure);
  } catch (const Error &error) {
    std::cerr << "error: " << error.what() << std::endl;
    code = error.code();
  } catch (const std::bad_alloc &) {
    std::cerr << "error: not enough memory; use a smaller max_level_side" << std::endl;
  } catch (const std::exception &error) {
    std::cerr << "error: " << error.what() << std::endl;
  }
  Watch().Enter(Phase::kEnded);
  std::_Exit(code);
}

// Runs a function in a thread of its own and keeps what it throws.
class Worker {
 public:
  template <typename Function>
  explicit Worker(Function function)
      : thread_([this, function = std::move(function)]() mutable {
          try {
            function();
          } catch (...) {
            error_ = std::current_exception();
          }
        }) {}

  void Join() { thread_.join(); }

  std::exception_ptr error() const { return error_; }

 private:
  std::exception_ptr error_;
  std::thread thread_;  // last: it starts when all else is there
};

Result Describe(Network *network, Frame frame, Timing *timing) {
  Result result;
  if (frame.kind == FrameKind::kPhoto) {
    Watch().Compute(frame.name);
    try {
      result.outputs = timing->Measure([&] { return network->Run(frame.levels); });
    } catch (const Error &error) {
      throw Error(error.code(), "photo " + frame.name + ": " + error.what());
    }
  }
  Watch().Enter(Phase::kWaiting);
  frame.levels.clear();
  result.frame = std::move(frame);
  return result;
}

void Run(const Options &options) {
  Watch().Enter(Phase::kLoading);
  Network network(options);
  Watch().Enter(Phase::kWaiting);
  ResultWriter writer(OpenResults());  // its first bytes say that the model is loaded
  BoundedQueue<Frame> photos(kWaiting);
  BoundedQueue<Result> results(kWaiting);
  Worker reading([&photos] {
    try {
      FrameReader reader(stdin);
      bool more = true;
      while (more) {
        Frame frame = reader.Next();
        more = frame.kind != FrameKind::kEnd;
        more = photos.Push(std::move(frame)) && more;
      }
    } catch (...) {
      photos.Close();
      throw;
    }
    photos.Close();
  });
  Worker writing([&results, &writer] {
    try {
      while (auto result = results.Pop()) {
        writer.Write(*result);
      }
    } catch (...) {
      results.Close();
      throw;
    }
  });
  Timing timing;
  std::exception_ptr failure;
  try {
    bool more = true;
    while (more) {
      auto frame = photos.Pop();
      if (!frame) {
        break;
      }
      more = results.Push(Describe(&network, std::move(*frame), &timing));
    }
  } catch (...) {
    failure = std::current_exception();
  }
  results.Close();
  photos.Close();
  writing.Join();
  if (!failure) {
    failure = writing.error();
  }
  if (failure) {
    Exit(failure);  // at once: the reading thread may be waiting for input
  }
  reading.Join();
  if (reading.error()) {
    Exit(reading.error());
  }
  if (!options.time_file.empty()) {
    timing.Write(options.time_file);
  }
}

}  // namespace
}  // namespace delf

int main(int argc, char **argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that is gone is an error of writing
  try {
    if (argc == 2 && std::string(argv[1]) == "--help") {
      std::FILE *output = delf::OpenResults();
      std::fputs(delf::Usage().c_str(), output);
      std::fflush(output);
      delf::Watch().Enter(delf::Phase::kEnded);
      return delf::kDone;
    }
    delf::Run(delf::ParseOptions(argc, argv));
  } catch (...) {
    delf::Exit(std::current_exception());
  }
  delf::Watch().Enter(delf::Phase::kEnded);
  return delf::kDone;
}
