// Brings a target's FuzzSeeds into libFuzzer, which otherwise begins with nothing and never gets past a checksum: now
// and then an input becomes a seed, on which libFuzzer then mutates. No corpus has to be kept.
#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "tests/fuzz/fuzz.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// As long as the standalone runner makes them, unless the command line says otherwise.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  static char max_len[] = "-max_len=65536";
  static std::vector<char*>* const arguments = new std::vector<char*>{(*argv)[0], max_len};
  arguments->insert(arguments->end(), *argv + 1, *argv + *argc);
  *argc = static_cast<int>(arguments->size());
  arguments->push_back(nullptr);
  *argv = arguments->data();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  static const std::vector<std::string>* const seeds =
      new std::vector<std::string>(&FuzzSeeds == nullptr ? std::vector<std::string>() : FuzzSeeds());
  barid::SeededRandom random(seed);
  if (!seeds->empty() && random.Below(64) == 0) {
    const std::string& input = (*seeds)[random.Below(seeds->size())];
    size = std::min(max_size, input.size());
    std::memcpy(data, input.data(), size);
    // Sometimes as it is: what is valid has to pass too.
    if (random.Below(4) == 0) return size;
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
