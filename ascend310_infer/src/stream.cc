#include "inc/stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "inc/errors.h"
#include "inc/watch.h"

namespace delf {
namespace {

const char kInputMagic[8] = {'D', 'E', 'L', 'F', 'L', 'V', '0', '1'};
const char kOutputMagic[8] = {'D', 'E', 'L', 'F', 'M', 'P', '0', '2'};
// Larger than anything sensible: a broken stream must not make us ask for all memory.
const uint32_t kMaxContext = 1U << 20;
const uint32_t kMaxLevels = 256;
const uint64_t kMaxPixels = 1ULL << 29;
const uint64_t kChannels = 3;
const uint64_t kFirstPiece = 1U << 20;

static_assert(sizeof(float) == 4, "the stream holds 32-bit floats");

}  // namespace

FrameReader::FrameReader(std::FILE *file) : file_(file) {
  char magic[sizeof(kInputMagic)];
  Read(magic, sizeof(magic));
  if (std::memcmp(magic, kInputMagic, sizeof(magic)) != 0) {
    Fail("is not a stream of photos of this version");
  }
}

Frame FrameReader::Next() {
  Frame frame;
  char kind = 0;
  Read(&kind, 1);
  frame.kind = static_cast<FrameKind>(kind);
  if (frame.kind == FrameKind::kEnd) {
    return frame;
  }
  if (frame.kind != FrameKind::kPhoto && frame.kind != FrameKind::kNote) {
    Fail("holds something unknown");
  }
  frame.name = ReadText(kMaxName, "name");
  where_ = "in photo " + frame.name;
  frame.context = ReadText(kMaxContext, "context");
  if (frame.kind == FrameKind::kPhoto) {
    const uint32_t count = ReadNumber();
    if (count > kMaxLevels) {
      Fail("announces " + std::to_string(count) + " levels");
    }
    for (uint32_t i = 0; i < count; ++i) {
      Level level;
      level.height = ReadNumber();
      level.width = ReadNumber();
      const uint64_t pixels = static_cast<uint64_t>(level.height) * level.width;
      if (pixels == 0 || level.height > kMaxSide || level.width > kMaxSide || pixels > kMaxPixels) {
        Fail("announces a level of " + std::to_string(level.height) + "x" + std::to_string(level.width));
      }
      ReadPixels(pixels * kChannels, &level.pixels);
      frame.levels.push_back(std::move(level));
    }
  }
  where_ = "after photo " + frame.name;
  return frame;
}

void FrameReader::Read(void *target, size_t bytes) {
  if (std::fread(target, 1, bytes, file_) == bytes) {
    return;
  }
  Fail(std::ferror(file_) ? std::string("cannot be read: ") + std::strerror(errno) : "ended before its end mark");
}

// Asks for memory as the bytes come: a stream that announces a gigabyte and ends does not get it.
void FrameReader::ReadPixels(uint64_t bytes, std::vector<uint8_t> *pixels) {
  while (pixels->size() < bytes) {
    const size_t start = pixels->size();
    const size_t piece = std::min<uint64_t>(bytes - start, std::max<uint64_t>(start, kFirstPiece));
    pixels->resize(start + piece);
    Read(pixels->data() + start, piece);
  }
}

uint32_t FrameReader::ReadNumber() {
  unsigned char bytes[4];
  Read(bytes, sizeof(bytes));
  return static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8U |
         static_cast<uint32_t>(bytes[2]) << 16U | static_cast<uint32_t>(bytes[3]) << 24U;
}

std::string FrameReader::ReadText(uint32_t limit, const char *what) {
  const uint32_t length = ReadNumber();
  if (length > limit) {
    Fail(std::string("announces a ") + what + " of " + std::to_string(length) + " bytes");
  }
  std::string text(length, '\0');
  if (length > 0) {
    Read(&text[0], length);
  }
  return text;
}

void FrameReader::Fail(const std::string &reason) const {
  throw Error(kInput, "the stream of photos " + reason + " (" + where_ + ")");
}

ResultWriter::ResultWriter(std::FILE *file) : file_(file) {
  Put(kOutputMagic, sizeof(kOutputMagic));
  Flush();
}

void ResultWriter::Write(const Result &result) {
  const char kind = static_cast<char>(result.frame.kind);
  Put(&kind, 1);
  if (result.frame.kind != FrameKind::kEnd) {
    PutText(result.frame.name);
    PutText(result.frame.context);
  }
  if (result.frame.kind == FrameKind::kPhoto) {
    PutNumber(static_cast<uint32_t>(result.outputs.size()));
    for (const LevelOutput &output : result.outputs) {
      PutNumber(output.channels);
      PutNumber(output.height);
      PutNumber(output.width);
      Put(output.features.data(), output.features.size() * sizeof(float));
      Put(output.scores.data(), output.scores.size() * sizeof(float));
      PutNumber(static_cast<uint32_t>(output.pooled.size()));
      Put(output.pooled.data(), output.pooled.size() * sizeof(float));
    }
  }
  Flush();
}

void ResultWriter::Put(const void *source, size_t bytes) {
  if (bytes > 0 && std::fwrite(source, 1, bytes, file_) != bytes) {
    throw Error(kOutput, std::string("the results cannot be written: ") + std::strerror(errno));
  }
}

void ResultWriter::PutNumber(uint32_t number) {
  const unsigned char bytes[4] = {
    static_cast<unsigned char>(number), static_cast<unsigned char>(number >> 8U),
    static_cast<unsigned char>(number >> 16U), static_cast<unsigned char>(number >> 24U)};
  Put(bytes, sizeof(bytes));
}

void ResultWriter::PutText(const std::string &text) {
  PutNumber(static_cast<uint32_t>(text.size()));
  Put(text.data(), text.size());
}

void ResultWriter::Flush() {
  if (std::fflush(file_) != 0) {
    throw Error(kOutput, std::string("the results cannot be written: ") + std::strerror(errno));
  }
}

}  // namespace delf
