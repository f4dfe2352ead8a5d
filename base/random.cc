#include "base/random.h"

#include <sys/random.h>

#include <cstring>

#include "base/log.h"

namespace barid {
namespace {

class MachineRandom : public Random {
 public:
  uint64_t Next() override {
    uint64_t value = 0;
    CHECK_EQ(getrandom(&value, sizeof(value), 0), static_cast<ssize_t>(sizeof(value)));
    return value;
  }
};

}  // namespace

std::string Random::Bytes(size_t size) {
  std::string out;
  out.reserve(size + sizeof(uint64_t));
  while (out.size() < size) {
    const uint64_t word = Next();
    out.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  out.resize(size);
  return out;
}

Random* RealRandom() {
  static MachineRandom* const random = new MachineRandom;
  return random;
}

uint64_t SeededRandom::Next() {
  state_ += 0x9e3779b97f4a7c15;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace barid
