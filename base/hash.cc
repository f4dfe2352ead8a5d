#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <new>

namespace barid {

uint64_t StableHash(absl::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t StableHash(std::initializer_list<uint64_t> numbers) {
  return XXH3_64bits(numbers.begin(), numbers.size() * sizeof(uint64_t));
}

uint32_t RendezvousPlace(uint64_t key, uint32_t places) {
  uint32_t best = 0;
  uint64_t highest = RendezvousWeight(key, 0);
  for (uint32_t place = 1; place < places; ++place) {
    const uint64_t weight = RendezvousWeight(key, place);
    if (weight > highest) {
      highest = weight;
      best = place;
    }
  }
  return best;
}

StableHasher::StableHasher() {
  static_assert(sizeof(XXH3_state_t) <= sizeof(state_));
  static_assert(alignof(XXH3_state_t) <= 64);
  XXH3_64bits_reset(new (state_) XXH3_state_t);
}

void StableHasher::Update(absl::string_view piece) {
  XXH3_64bits_update(reinterpret_cast<XXH3_state_t*>(state_), piece.data(), piece.size());
}

uint64_t StableHasher::Finish() const { return XXH3_64bits_digest(reinterpret_cast<const XXH3_state_t*>(state_)); }

}  // namespace barid
