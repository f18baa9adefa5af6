// What comes in and what goes out: src/describe/level_stream.py has the description of the format.
#ifndef DELF_ASCEND310_INFER_STREAM_H_
#define DELF_ASCEND310_INFER_STREAM_H_

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace delf {

const uint32_t kMaxSide = 1U << 16;  // pixels of a level, larger than anything sensible

// One level of a photo's pyramid: RGB pixels, row by row.
struct Level {
  uint32_t height = 0;
  uint32_t width = 0;
  std::vector<uint8_t> pixels;
};

// What the network says of a level: features [channels, height, width], scores [height, width], and
// a vector of the level where the model makes one and saw nothing beside the level.
struct LevelOutput {
  uint32_t channels = 0;
  uint32_t height = 0;
  uint32_t width = 0;
  std::vector<float> features;
  std::vector<float> scores;
  std::vector<float> pooled;
};

enum class FrameKind : char { kPhoto = 'P', kNote = 'N', kEnd = 'E' };

struct Frame {
  FrameKind kind = FrameKind::kEnd;
  std::string name;     // of the photo
  std::string context;  // passed on as it is
  std::vector<Level> levels;
};

struct Result {
  Frame frame;  // without pixels
  std::vector<LevelOutput> outputs;
};

// Reads frames from a file. Throws Error(kInput), naming the photo, when it is broken or ends early.
class FrameReader {
 public:
  explicit FrameReader(std::FILE *file);
  Frame Next();

 private:
  void Read(void *target, size_t bytes);
  void ReadPixels(uint64_t bytes, std::vector<uint8_t> *pixels);
  uint32_t ReadNumber();
  std::string ReadText(uint32_t limit, const char *what);
  [[noreturn]] void Fail(const std::string &reason) const;

  std::FILE *file_;
  std::string where_ = "before the first photo";
};

// Writes results to a file. Throws Error(kOutput) when they cannot be written.
class ResultWriter {
 public:
  explicit ResultWriter(std::FILE *file);
  void Write(const Result &result);

 private:
  void Put(const void *source, size_t bytes);
  void PutNumber(uint32_t number);
  void PutText(const std::string &text);
  void Flush();

  std::FILE *file_;
};

}  // namespace delf

#endif  // DELF_ASCEND310_INFER_STREAM_H_
