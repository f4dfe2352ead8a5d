#ifndef BARID_BASE_HASH_H_
#define BARID_BASE_HASH_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "absl/strings/string_view.h"

namespace barid {

// A 64-bit hash that is the same on every machine and in every version (XXH3): fit for formats, not for secrets.
uint64_t StableHash(absl::string_view bytes, uint64_t seed = 0);

// The same over numbers.
uint64_t StableHash(std::initializer_list<uint64_t> numbers);

// Which of the places 0, 1, ... `places` - 1 a key has, spread evenly: with one more place it takes keys from each of
// the others, and no other key moves (rendezvous hashing). `places` > 0; linear in it.
uint32_t RendezvousPlace(uint64_t key, uint32_t places);
// The same by hand: the place with the highest weight has the key.
inline uint64_t RendezvousWeight(uint64_t key, uint64_t place) { return StableHash({key, place}); }

// StableHash(bytes) of bytes that come in pieces.
class StableHasher {
 public:
  StableHasher();
  void Update(absl::string_view piece);
  uint64_t Finish() const;

 private:
  alignas(64) std::byte state_[576];  // XXH3_state_t; hash.cc proves the size.
};

}  // namespace barid

#endif  // BARID_BASE_HASH_H_
