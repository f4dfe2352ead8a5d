#ifndef BARID_BASE_RANDOM_H_
#define BARID_BASE_RANDOM_H_

#include <cstdint>
#include <string>

namespace barid {

// Where randomness comes from. Passed in, so that a simulation repeats from its seed. Any thread for the machine's.
class Random {
 public:
  virtual ~Random() = default;

  virtual uint64_t Next() = 0;

  // A number in [0, bound), bound > 0. The bias is below 2^-32 for bounds below 2^32.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  // `size` random bytes.
  std::string Bytes(size_t size);
};

// The machine's source (getrandom), good for keys. Lives for the whole process.
Random* RealRandom();

// A repeatable source (splitmix64). Not for keys. Not thread-safe.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next() override;

 private:
  uint64_t state_;
};

}  // namespace barid

#endif  // BARID_BASE_RANDOM_H_
