#include "base/crc32c.h"

#include <array>
#include <cstring>

namespace barid {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Castagnoli, reflected.

// Row k says what a byte does to the CRC k bytes later.
constexpr std::array<std::array<uint32_t, 256>, 8> MakeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}
constexpr auto kTables = MakeTables();

template <typename T>
T Load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

using ExtendFunction = uint32_t (*)(uint32_t crc, absl::string_view bytes);

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ExtendByInstruction(uint32_t crc, absl::string_view bytes) {
  const char* p = bytes.data();
  const char* const end = p + bytes.size();
  uint64_t state = ~crc;
  for (; end - p >= 8; p += 8) state = __builtin_ia32_crc32di(state, Load<uint64_t>(p));
  auto state32 = static_cast<uint32_t>(state);
  for (; p < end; ++p) state32 = __builtin_ia32_crc32qi(state32, static_cast<uint8_t>(*p));
  return ~state32;
}

ExtendFunction ChooseExtend() {
  return __builtin_cpu_supports("sse4.2") ? ExtendByInstruction : crc32c_internal::ExtendByTable;
}
#else
ExtendFunction ChooseExtend() { return crc32c_internal::ExtendByTable; }
#endif

}  // namespace

namespace crc32c_internal {

// "Slicing by eight": eight bytes per step, one look-up for each.
uint32_t ExtendByTable(uint32_t crc, absl::string_view bytes) {
  const char* p = bytes.data();
  const char* const end = p + bytes.size();
  uint32_t state = ~crc;
  for (; end - p >= 8; p += 8) {
    const uint64_t word = Load<uint64_t>(p) ^ state;
    state = 0;
    for (int i = 0; i < 8; ++i) state ^= kTables[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (; p < end; ++p) state = (state >> 8) ^ kTables[0][(state ^ static_cast<uint8_t>(*p)) & 0xff];
  return ~state;
}

}  // namespace crc32c_internal

uint32_t ExtendCrc32c(uint32_t crc, absl::string_view bytes) {
  static const ExtendFunction extend = ChooseExtend();
  return extend(crc, bytes);
}

}  // namespace barid
