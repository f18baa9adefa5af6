#include "inc/network.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "include/api/context.h"
#include "include/api/types.h"
#include "inc/errors.h"

namespace delf {
namespace {

using mindspore::MSTensor;

const uint32_t kStride = 32;  // pixels between neighbouring features (src/delf_config.py)
const size_t kChannels = 3;
const int64_t kMaxBatch = 1024;

uint32_t Cells(uint32_t side) { return (side + kStride - 1) / kStride; }

std::string Text(const std::vector<int64_t> &shape) {
  std::string text;
  for (const int64_t side : shape) {
    text += (text.empty() ? "" : "x") + std::to_string(side);
  }
  return text;
}

// The first line of what the runtime says of a failure.
std::string Reason(const mindspore::Status &status) {
  const std::string text = status.ToString();
  return text.substr(0, text.find('\n'));
}

std::shared_ptr<mindspore::Context> MakeContext(const Options &options) {
  auto context = std::make_shared<mindspore::Context>();
  if (options.device_target == "Ascend") {
    auto device = std::make_shared<mindspore::AscendDeviceInfo>();
    device->SetDeviceID(options.device_id);
    if (!options.precision.empty()) {
      device->SetPrecisionMode(options.precision);
    }
    context->MutableDeviceInfo().push_back(device);
  } else {
    const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    context->SetThreadNum(options.threads > 0 ? options.threads : cores);
    context->MutableDeviceInfo().push_back(std::make_shared<mindspore::CPUDeviceInfo>());
  }
  return context;
}

// Whether there is a float for each place of a shape: what the runtime says of both need not agree.
bool HoldsFloats(const MSTensor &tensor) {
  size_t count = 1;
  for (const int64_t side : tensor.Shape()) {
    if (side < 1 || static_cast<uint64_t>(side) > tensor.DataSize() / sizeof(float) / count) {
      return false;
    }
    count *= static_cast<size_t>(side);
  }
  return tensor.DataType() == mindspore::DataType::kNumberTypeFloat32;
}

// Lays RGB pixels as planes (x - 128) / 128 into the top left corner of an input of some size and
// repeats the last column and row to its borders, so that no edge appears that the photo lacks.
void LayIn(const Level &level, const Size &size, float *planes) {
  std::array<float, 256> values;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i) * (1.0F / 128) - 1.0F;
  }
  const size_t plane = static_cast<size_t>(size.height) * size.width;
  const size_t row_bytes = static_cast<size_t>(level.width) * kChannels;
  for (size_t channel = 0; channel < kChannels; ++channel) {
    float *target = planes + channel * plane;
    for (uint32_t y = 0; y < level.height; ++y, target += size.width) {
      const uint8_t *source = level.pixels.data() + y * row_bytes + channel;
      for (uint32_t x = 0; x < level.width; ++x) {
        target[x] = values[source[x * kChannels]];
      }
      std::fill(target + level.width, target + size.width, target[level.width - 1]);
    }
    const float *last = target - size.width;
    for (uint32_t y = level.height; y < size.height; ++y, target += size.width) {
      std::memcpy(target, last, size.width * sizeof(float));
    }
  }
}

// Copies the top left corner of each plane of [channels, rows, columns].
void CutOut(const float *planes, size_t channels, size_t rows, size_t columns, uint32_t height, uint32_t width,
            std::vector<float> *target) {
  target->resize(channels * height * width);
  float *to = target->data();
  for (size_t channel = 0; channel < channels; ++channel) {
    const float *from = planes + channel * rows * columns;
    for (uint32_t y = 0; y < height; ++y, from += columns, to += width) {
      std::memcpy(to, from, width * sizeof(float));
    }
  }
}

}  // namespace

std::vector<Size> ReadProfiles(const std::string &config) {
  std::vector<Size> profiles;
  if (config.empty()) {
    return profiles;
  }
  std::ifstream file(config);
  if (!file) {
    throw Error(kUsage, "the configuration " + config + " cannot be read");
  }
  std::string line;
  while (std::getline(file, line)) {
    line.erase(std::remove_if(line.begin(), line.end(),
                              [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '"'; }),
               line.end());
    const std::string name = "dynamic_dims=";
    if (line.compare(0, name.size(), name) != 0) {
      continue;
    }
    const char *text = line.c_str() + name.size();
    while (*text != '\0') {
      Size size;
      int length = 0;
      if (std::sscanf(text, "[%5u,%5u]%n", &size.height, &size.width, &length) != 2 || length == 0 ||
          size.height == 0 || size.width == 0 || size.height > kMaxSide || size.width > kMaxSide) {
        throw Error(kUsage, "the configuration " + config + " lists sizes as '" + line +
                              "'; give dynamic_dims=[height,width],[height,width]");
      }
      profiles.push_back(size);
      text += length;
      text += *text == ',' ? 1 : 0;
    }
  }
  std::sort(profiles.begin(), profiles.end(), [](const Size &a, const Size &b) {
    return static_cast<uint64_t>(a.height) * a.width < static_cast<uint64_t>(b.height) * b.width;
  });
  return profiles;
}

Network::Network(const Options &options) : profiles_(ReadProfiles(options.config)) {
  std::error_code error;  // a pipe would be waited for, a device read without end
  if (!std::filesystem::is_regular_file(options.model, error) || !std::ifstream(options.model)) {
    throw Error(kUsage, "the model " + options.model + " cannot be read");
  }
  if (!options.config.empty()) {
    const mindspore::Status status = model_.LoadConfig(options.config);
    if (status != mindspore::kSuccess) {
      throw Error(kUsage, "the runtime does not take the configuration " + options.config + ": " + Reason(status));
    }
  }
  const mindspore::Status status = model_.Build(options.model, mindspore::kMindIR, MakeContext(options));
  if (status != mindspore::kSuccess) {
    const std::string device = options.device_target == "Ascend"
                                 ? "Ascend " + std::to_string(options.device_id) + " (is the device there?)"
                                 : "CPU";
    throw Error(kUsage, "the runtime cannot load " + options.model + " on " + device +
                          "; a runtime older than the MindSpore that exported the model needs "
                          "--mindir_version=1 of export.py (" + Reason(status) + ")");
  }
  CheckInput();
}

void Network::CheckInput() {
  const std::vector<MSTensor> inputs = model_.GetInputs();
  const std::vector<int64_t> shape = inputs.size() == 1 ? inputs[0].Shape() : std::vector<int64_t>();
  if (shape.size() != 4 || shape[1] != static_cast<int64_t>(kChannels) || shape[0] < 1 ||
      shape[0] > kMaxBatch || shape[2] > kMaxSide || shape[3] > kMaxSide || (shape[2] > 0) != (shape[3] > 0) || inputs[0].DataType() != mindspore::DataType::kNumberTypeFloat32) {
    throw Error(kUsage, "the model takes " +
                          (inputs.size() == 1 ? Text(shape) : std::to_string(inputs.size()) + " inputs") +
                          ", not float32 photos [N, 3, H, W]: it is no DELF network of export.py");
  }
  batch_ = static_cast<size_t>(shape[0]);
  any_size_ = shape[2] <= 0;
  if (!any_size_) {
    current_ = {static_cast<uint32_t>(shape[2]), static_cast<uint32_t>(shape[3])};
  } else if (batch_ != 1) {
    throw Error(kUsage, "a model for photos of any size must have a batch of 1, not " + std::to_string(batch_));
  }
}

std::vector<LevelOutput> Network::Run(const std::vector<Level> &levels) {
  std::vector<LevelOutput> results;
  for (size_t first = 0; first < levels.size(); first += batch_) {
    const size_t count = std::min(batch_, levels.size() - first);
    const std::vector<MSTensor> outputs = Predict(&levels[first], count, InputSize(levels[first]));
    for (size_t place = 0; place < count; ++place) {
      Append(outputs, place, levels[first + place], &results);
    }
  }
  return results;
}

Size Network::InputSize(const Level &level) const {
  if (!any_size_) {
    return current_;
  }
  if (profiles_.empty()) {
    return {level.height, level.width};
  }
  const auto fits = [&level](const Size &size) { return size.height >= level.height && size.width >= level.width; };
  const auto found = std::find_if(profiles_.begin(), profiles_.end(), fits);
  if (found == profiles_.end()) {
    throw Error(kRun, "a level of " + std::to_string(level.height) + "x" + std::to_string(level.width) +
                        " pixels fits none of the sizes of dynamic_dims; set max_level_side or list a larger one");
  }
  return *found;
}

void Network::Resize(const Size &size) {
  if (size.height == current_.height && size.width == current_.width) {
    return;
  }
  const std::vector<int64_t> shape = {static_cast<int64_t>(batch_), static_cast<int64_t>(kChannels),
                                      static_cast<int64_t>(size.height), static_cast<int64_t>(size.width)};
  const mindspore::Status status = model_.Resize(model_.GetInputs(), {shape});
  if (status != mindspore::kSuccess) {
    throw Error(kRun, "the model cannot be resized to " + Text(shape) + ": " + Reason(status));
  }
  current_ = size;
}

std::vector<MSTensor> Network::Predict(const Level *levels, size_t count, const Size &size) {
  for (size_t place = 0; place < count; ++place) {
    if (levels[place].height > size.height || levels[place].width > size.width) {
      throw Error(kRun, "a level of " + std::to_string(levels[place].height) + "x" +
                          std::to_string(levels[place].width) + " pixels does not fit the model's input of " +
                          std::to_string(size.height) + "x" + std::to_string(size.width) + "; set max_level_side");
    }
  }
  if (any_size_) {
    Resize(size);
  }
  std::vector<MSTensor> inputs = model_.GetInputs();
  const size_t photo = kChannels * size.height * size.width;
  auto *planes = static_cast<float *>(inputs[0].MutableData());
  if (planes == nullptr || inputs[0].DataSize() != batch_ * photo * sizeof(float)) {
    throw Error(kRun, "the runtime gives no room for an input of " + Text(inputs[0].Shape()));
  }
  for (size_t place = 0; place < count; ++place) {
    LayIn(levels[place], size, planes + place * photo);
  }
  std::fill(planes + count * photo, planes + batch_ * photo, 0.0F);
  std::vector<MSTensor> outputs;
  const mindspore::Status status = model_.Predict(inputs, &outputs);
  if (status != mindspore::kSuccess) {
    throw Error(kRun, "the network failed: " + Reason(status));
  }
  return outputs;
}

void Network::Append(const std::vector<MSTensor> &outputs, size_t place, const Level &level,
                     std::vector<LevelOutput> *results) const {
  LevelOutput result;
  result.height = Cells(level.height);
  result.width = Cells(level.width);
  for (MSTensor output : outputs) {
    const std::vector<int64_t> shape = output.Shape();
    if (shape.size() == 2) {
      AppendVector(&output, place, level, &result);
      continue;
    }
    const std::vector<int64_t> rows_columns = {Cells(current_.height), Cells(current_.width)};
    const auto *data = static_cast<const float *>(output.MutableData());
    if (shape.size() != 4 || shape[0] != static_cast<int64_t>(batch_) || shape[1] < 1 ||
        shape[2] != rows_columns[0] || shape[3] != rows_columns[1] || data == nullptr || !HoldsFloats(output)) {
      FailOutput(shape);
    }
    const auto channels = static_cast<size_t>(shape[1]);
    const auto rows = static_cast<size_t>(shape[2]);
    const auto columns = static_cast<size_t>(shape[3]);
    std::vector<float> *target = channels == 1 ? &result.scores : &result.features;
    if (!target->empty()) {
      break;
    }
    CutOut(data + place * channels * rows * columns, channels, rows, columns, result.height, result.width, target);
    result.channels = channels == 1 ? result.channels : static_cast<uint32_t>(channels);
  }
  const bool has_vector = outputs.size() == 3 && outputs.back().Shape().size() == 2;
  if ((outputs.size() != 2 && !has_vector) || result.features.empty() || result.scores.empty()) {
    throw Error(kRun, "the network gives other outputs than features and scores: it is no DELF network of export.py");
  }
  results->push_back(std::move(result));
}

void Network::AppendVector(MSTensor *output, size_t place, const Level &level, LevelOutput *result) const {
  const std::vector<int64_t> shape = output->Shape();
  const auto *data = static_cast<const float *>(output->MutableData());
  if (shape[0] != static_cast<int64_t>(batch_) || shape[1] < 1 || data == nullptr || !HoldsFloats(*output)) {
    FailOutput(shape);
  }
  if (level.height != current_.height || level.width != current_.width) {
    return;  // it is of what was repeated beside the level, too
  }
  const auto length = static_cast<size_t>(shape[1]);
  result->pooled.assign(data + place * length, data + (place + 1) * length);
}

void Network::FailOutput(const std::vector<int64_t> &shape) const {
  throw Error(kRun, "the network gives " + Text(shape) + " for an input of " + std::to_string(current_.height) + "x" +
                      std::to_string(current_.width) + ": it is no DELF network of export.py");
}

}  // namespace delf
