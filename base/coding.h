#ifndef BARID_BASE_CODING_H_
#define BARID_BASE_CODING_H_

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

// Little-endian numbers and varints in byte strings: the alphabet of our on-disk formats. Get functions consume from
// the front of `in` and return false, leaving the output alone, if there is not enough.
namespace barid {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are little-endian and copied as they stand");

template <typename T>
void PutFixed(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}
template <typename T>
void StoreFixed(char* out, T value) {
  std::memcpy(out, &value, sizeof(value));
}
template <typename T>
T LoadFixed(const char* in) {
  T value;
  std::memcpy(&value, in, sizeof(value));
  return value;
}
template <typename T>
bool GetFixed(absl::string_view* in, T* value) {
  if (in->size() < sizeof(T)) return false;
  *value = LoadFixed<T>(in->data());
  in->remove_prefix(sizeof(T));
  return true;
}

// Big-endian, so that keys sort as numbers do.
void PutOrdered64(std::string* out, uint64_t value);
void PutOrdered32(std::string* out, uint32_t value);
bool GetOrdered64(absl::string_view* in, uint64_t* value);
bool GetOrdered32(absl::string_view* in, uint32_t* value);

// The varints of Protocol Buffers.
void PutVarint(std::string* out, uint64_t value);
bool GetVarint(absl::string_view* in, uint64_t* value);
// Signed numbers, small in both directions (zigzag).
void PutSignedVarint(std::string* out, int64_t value);
bool GetSignedVarint(absl::string_view* in, int64_t* value);
int VarintSize(uint64_t value);

// A varint length, then the bytes.
void PutLengthPrefixed(std::string* out, absl::string_view bytes);
bool GetLengthPrefixed(absl::string_view* in, absl::string_view* bytes);

}  // namespace barid

#endif  // BARID_BASE_CODING_H_
