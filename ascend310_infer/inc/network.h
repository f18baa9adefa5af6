// The exported network on a device, from the levels of a photo to features and scores.
#ifndef DELF_ASCEND310_INFER_NETWORK_H_
#define DELF_ASCEND310_INFER_NETWORK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "include/api/model.h"
#include "inc/options.h"
#include "inc/stream.h"

namespace delf {

// Height and width of an input.
struct Size {
  uint32_t height = 0;
  uint32_t width = 0;
};

// Reads the sizes of `dynamic_dims` from a MindSpore Lite configuration: on Ascend a model for
// pictures of any size runs with the listed ones only. None where nothing is listed.
// Throws Error(kUsage).
std::vector<Size> ReadProfiles(const std::string &config);

class Network {
 public:
  // Loads the model. Throws Error(kUsage): no model, another model, no such device.
  explicit Network(const Options &options);

  // Runs all levels of a photo. A static model takes as many levels at once as its batch holds; a
  // level is laid into a larger input with its last row and column repeated, and what the network
  // says of places outside the level is cut off. Throws Error(kRun).
  std::vector<LevelOutput> Run(const std::vector<Level> &levels);

 private:
  void CheckInput();
  Size InputSize(const Level &level) const;
  void Resize(const Size &size);
  std::vector<mindspore::MSTensor> Predict(const Level *levels, size_t count, const Size &size);
  void Append(const std::vector<mindspore::MSTensor> &outputs, size_t place, const Level &level,
              std::vector<LevelOutput> *results) const;
  void AppendVector(mindspore::MSTensor *output, size_t place, const Level &level, LevelOutput *result) const;
  [[noreturn]] void FailOutput(const std::vector<int64_t> &shape) const;

  mindspore::Model model_;
  std::vector<Size> profiles_;
  bool any_size_ = false;
  size_t batch_ = 1;
  Size current_;  // of the input as it is
};

}  // namespace delf

#endif  // DELF_ASCEND310_INFER_NETWORK_H_
