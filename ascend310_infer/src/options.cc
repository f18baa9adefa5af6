#include "inc/options.h"

#include <limits>

#include "inc/errors.h"

namespace delf {
namespace {

uint32_t ParseNumber(const std::string &name, const std::string &text) {
  uint64_t number = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') {
      number = std::numeric_limits<uint64_t>::max();
      break;
    }
    number = number * 10 + static_cast<uint64_t>(digit - '0');
    if (number > 65535) {
      break;
    }
  }
  if (text.empty() || number > 65535) {
    throw Error(kUsage, "--" + name + " is '" + text + "'; give a whole number");
  }
  return static_cast<uint32_t>(number);
}

}  // namespace

std::string Usage() {
  return
    "usage: delf_infer --model=MINDIR [--name=value ...] <photos >results\n"
    "  --device_target=CPU   or Ascend\n"
    "  --device_id=0         which Ascend\n"
    "  --config=FILE         MindSpore Lite configuration: dynamic_dims, precision and others\n"
    "  --precision=MODE      Ascend's precision mode, such as enforce_fp32\n"
    "  --threads=0           on CPU; 0: as many as there are cores\n"
    "  --patience=600        seconds for the runtime to load the model, or to run a photo\n"
    "  --memory_mb=0         it may take; 0: nine tenths of the machine's\n"
    "  --time_file=FILE      where the mean time per photo goes\n";
}

Options ParseOptions(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    if (argument.compare(0, 2, "--") != 0 || equals == std::string::npos) {
      throw Error(kUsage, "'" + argument + "' is not of the form --name=value");
    }
    const std::string name = argument.substr(2, equals - 2);
    const std::string value = argument.substr(equals + 1);
    if (name == "model") {
      options.model = value;
    } else if (name == "device_target") {
      options.device_target = value;
    } else if (name == "device_id") {
      options.device_id = ParseNumber(name, value);
    } else if (name == "config") {
      options.config = value;
    } else if (name == "precision") {
      options.precision = value;
    } else if (name == "threads") {
      options.threads = static_cast<int>(ParseNumber(name, value));
    } else if (name == "patience") {
      options.patience = ParseNumber(name, value);
    } else if (name == "memory_mb") {
      options.memory_mb = ParseNumber(name, value);
    } else if (name == "time_file") {
      options.time_file = value;
    } else {
      throw Error(kUsage, "there is no option --" + name);
    }
  }
  if (options.model.empty()) {
    throw Error(kUsage, "no model; give --model=MINDIR");
  }
  if (options.device_target != "CPU" && options.device_target != "Ascend") {
    throw Error(kUsage, "--device_target is '" + options.device_target + "'; give CPU or Ascend");
  }
  return options;
}

}  // namespace delf
