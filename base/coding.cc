#include "base/coding.h"

namespace barid {

void PutOrdered64(std::string* out, uint64_t value) { PutFixed(out, __builtin_bswap64(value)); }
void PutOrdered32(std::string* out, uint32_t value) { PutFixed(out, __builtin_bswap32(value)); }

bool GetOrdered64(absl::string_view* in, uint64_t* value) {
  if (!GetFixed(in, value)) return false;
  *value = __builtin_bswap64(*value);
  return true;
}

bool GetOrdered32(absl::string_view* in, uint32_t* value) {
  if (!GetFixed(in, value)) return false;
  *value = __builtin_bswap32(*value);
  return true;
}

void PutVarint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

bool GetVarint(absl::string_view* in, uint64_t* value) {
  uint64_t result = 0;
  for (size_t i = 0; i < 10 && i < in->size(); ++i) {
    const uint64_t byte = static_cast<unsigned char>((*in)[i]);
    if (i == 9 && byte > 1) return false;  // More than 64 bits.
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *value = result;
      in->remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

void PutSignedVarint(std::string* out, int64_t value) {
  PutVarint(out, (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

bool GetSignedVarint(absl::string_view* in, int64_t* value) {
  uint64_t zigzag = 0;
  if (!GetVarint(in, &zigzag)) return false;
  *value = static_cast<int64_t>(zigzag >> 1) ^ -static_cast<int64_t>(zigzag & 1);
  return true;
}

int VarintSize(uint64_t value) {
  int size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

void PutLengthPrefixed(std::string* out, absl::string_view bytes) {
  PutVarint(out, bytes.size());
  out->append(bytes.data(), bytes.size());
}

bool GetLengthPrefixed(absl::string_view* in, absl::string_view* bytes) {
  absl::string_view rest = *in;
  uint64_t size = 0;
  if (!GetVarint(&rest, &size) || rest.size() < size) return false;
  *bytes = rest.substr(0, size);
  rest.remove_prefix(size);
  *in = rest;
  return true;
}

}  // namespace barid
