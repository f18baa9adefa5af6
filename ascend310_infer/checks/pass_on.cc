// Reads a stream of photos as delf_network does and writes what it read as results, without a network:
// thousands of damaged streams are read under the sanitizers in the time that a few models are loaded.
#include <cstdio>
#include <iostream>
#include <utility>

#include "inc/errors.h"
#include "inc/stream.h"

int main() {
  try {
    delf::FrameReader reader(stdin);
    delf::ResultWriter writer(stdout);
    while (true) {
      delf::Result result;
      result.frame = reader.Next();
      for (const delf::Level &level : result.frame.levels) {
        delf::LevelOutput output;
        output.channels = 3;
        output.height = level.height;
        output.width = level.width;
        output.features.assign(level.pixels.begin(), level.pixels.end());
        output.scores.assign(output.features.size() / 3, 0.0F);
        result.outputs.push_back(std::move(output));
      }
      writer.Write(result);
      if (result.frame.kind == delf::FrameKind::kEnd) {
        return delf::kDone;
      }
    }
  } catch (const delf::Error &error) {
    std::cerr << "error: " << error.what() << std::endl;
    return error.code();
  }
}
