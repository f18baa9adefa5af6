// What can end the program, and the exit code it ends with.
#ifndef DELF_ASCEND310_INFER_ERRORS_H_
#define DELF_ASCEND310_INFER_ERRORS_H_

#include <stdexcept>
#include <string>

namespace delf {

enum ExitCode : int {
  kDone = 0,
  kUsage = 2,   // a person's mistake: options, model, device, configuration
  kRun = 3,     // the network failed on a photo
  kInput = 4,   // the stream of photos is broken or ended too early
  kOutput = 5,  // the results cannot be written: the reader is gone, or the disk is full
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string &message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

}  // namespace delf

#endif  // DELF_ASCEND310_INFER_ERRORS_H_
