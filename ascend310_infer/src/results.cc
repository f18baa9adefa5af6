#include "inc/results.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "inc/errors.h"

namespace delf {
namespace {

const int kFirstFree = 3;  // behind input, output and errors

int descriptor = -1;
int failure = 0;

// Runs before the sanitizers are set up.
__attribute__((no_sanitize("address", "undefined"))) void TakeStandardOutput(int, char **, char **) {
  descriptor = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, kFirstFree);  // not for what the runtime starts
  if (descriptor < 0) {
    failure = errno;
    return;
  }
  while (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 && errno == EBADF) {  // there is no standard error
    if (open("/dev/null", O_WRONLY) < 0) {
      close(STDOUT_FILENO);
      return;
    }
  }
}

// This section is run before the initialisers of the shared libraries, which may print as well.
__attribute__((section(".preinit_array"), used)) void (*const take)(int, char **, char **) = TakeStandardOutput;

}  // namespace

std::FILE *OpenResults() {
  std::FILE *file = descriptor < 0 ? nullptr : fdopen(descriptor, "wb");
  if (file == nullptr) {
    throw Error(kOutput, std::string("the results cannot be written: ") + std::strerror(failure != 0 ? failure : errno));
  }
  return file;
}

void ReturnStandardOutput() {
  if (descriptor < 0 || dup2(descriptor, STDOUT_FILENO) < 0) {
    close(STDOUT_FILENO);
  }
}

void ForgetStandardOutput() {
  if (descriptor >= 0) {
    close(descriptor);
    descriptor = -1;
  }
}

}  // namespace delf
