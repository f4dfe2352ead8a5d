#ifndef BARID_BROKER_SEALED_ENTRY_H_
#define BARID_BROKER_SEALED_ENTRY_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "storage/key_value_store.h"

// Entries of the checkpoint store end with the CRC-32C of their key and value, so that neither is taken for another's.
namespace barid::broker {

inline storage::KeyValueStore::Operation Sealed(std::string key, std::string value) {
  const uint32_t crc = ExtendCrc32c(Crc32c(key), value);
  PutFixed(&value, crc);
  return {std::move(key), std::move(value)};
}

// Takes the checksum off. kDataLoss if it does not match.
inline absl::Status OpenSealed(absl::string_view key, absl::string_view* value) {
  const auto damaged = [key](absl::string_view what) {
    return absl::DataLossError(absl::StrCat("checkpoint entry of kind '", key.substr(0, 1), "': ", what));
  };
  if (value->size() < sizeof(uint32_t)) return damaged("too short");
  const absl::string_view covered = value->substr(0, value->size() - sizeof(uint32_t));
  if (LoadFixed<uint32_t>(value->data() + covered.size()) != ExtendCrc32c(Crc32c(key), covered)) {
    return damaged("checksum does not match");
  }
  *value = covered;
  return absl::OkStatus();
}

}  // namespace barid::broker

#endif  // BARID_BROKER_SEALED_ENTRY_H_
