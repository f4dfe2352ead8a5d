#ifndef BARID_BASE_CRC32C_H_
#define BARID_BASE_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace barid {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4) of `bytes`, continuing from the CRC of what came before. By the
// processor's instruction where it has one.
uint32_t ExtendCrc32c(uint32_t crc, absl::string_view bytes);
inline uint32_t Crc32c(absl::string_view bytes) { return ExtendCrc32c(0, bytes); }

namespace crc32c_internal {
// The same by table, for processors without the instruction, and to test the other against.
uint32_t ExtendByTable(uint32_t crc, absl::string_view bytes);
}  // namespace crc32c_internal

}  // namespace barid

#endif  // BARID_BASE_CRC32C_H_
