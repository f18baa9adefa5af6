// The command line of the program.
#ifndef DELF_ASCEND310_INFER_OPTIONS_H_
#define DELF_ASCEND310_INFER_OPTIONS_H_

#include <cstdint>
#include <string>

namespace delf {

struct Options {
  std::string model;                    // the MindIR
  std::string device_target = "CPU";    // CPU or Ascend
  uint32_t device_id = 0;               // which Ascend
  std::string config;                   // MindSpore Lite configuration file; empty: none
  std::string precision;                // Ascend's precision mode; empty: the runtime's default
  int threads = 0;                      // on CPU; 0: as many as there are cores
  uint32_t patience = 600;              // seconds for the runtime to load the model, or run a photo
  uint32_t memory_mb = 0;               // it may take; 0: nine tenths of the machine's
  std::string time_file;                // where the mean time goes; empty: nowhere
};

// Reads `--name=value` arguments. Throws Error(kUsage).
Options ParseOptions(int argc, char **argv);

// What `--help` prints.
std::string Usage();

}  // namespace delf

#endif  // DELF_ASCEND310_INFER_OPTIONS_H_
