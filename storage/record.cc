#include "storage/record.h"

#include <cstring>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/hash.h"

namespace barid::storage {

static_assert(std::is_trivially_copyable_v<RecordHeader>);
static_assert(offsetof(RecordHeader, crc) == 4);
static_assert(offsetof(RecordHeader, epoch) == 8);
static_assert(offsetof(RecordHeader, index) == 16);
static_assert(offsetof(RecordHeader, time_us) == 24);
static_assert(offsetof(RecordHeader, prev_chain) == 32);
static_assert(offsetof(RecordHeader, durable) == 40);

namespace {

uint64_t Chain(const RecordHeader& header, uint64_t payload_hash) {
  return StableHash({uint64_t{header.length} | uint64_t{header.epoch} << 32,
                     uint64_t{header.type} | uint64_t{header.flags} << 16, header.index,
                     static_cast<uint64_t>(header.time_us), header.prev_chain, payload_hash});
}

bool AllZero(absl::string_view bytes) { return bytes.find_first_not_of('\0') == absl::string_view::npos; }

}  // namespace

RecordHeader LoadRecordHeader(const char* bytes) { return LoadFixed<RecordHeader>(bytes); }

uint32_t RecordHeaderCrc(uint64_t log_id, const RecordHeader& header) {
  char bytes[sizeof(log_id) + kRecordHeaderBytes];
  StoreFixed(bytes, log_id);
  StoreFixed(bytes + sizeof(log_id), header);
  // The CRC's own field is left out by reading it as the length, moved up: seed, length, then all from the epoch on.
  StoreFixed(bytes + sizeof(log_id) + offsetof(RecordHeader, crc), header.length);
  uint32_t crc = Crc32c(absl::string_view(bytes, sizeof(log_id)));
  return ExtendCrc32c(crc, absl::string_view(bytes + sizeof(log_id) + offsetof(RecordHeader, crc),
                                             kRecordHeaderBytes - offsetof(RecordHeader, crc)));
}

uint64_t EncodeRecordHeader(uint64_t log_id, RecordHeader header, const Bytes& payload, char* out) {
  header.length = static_cast<uint32_t>(payload.size());
  header.crc = RecordHeaderCrc(log_id, header);
  StableHasher hasher;
  for (const Buffer& part : payload.parts()) {
    header.crc = ExtendCrc32c(header.crc, part.view());
    hasher.Update(part.view());
  }
  StoreFixed(out, header);
  return Chain(header, hasher.Finish());
}

uint64_t RecordChain(const RecordHeader& header, absl::string_view payload) {
  return Chain(header, StableHash(payload));
}

absl::StatusOr<RecordView> DecodeRecord(uint64_t log_id, absl::string_view bytes) {
  if (bytes.size() < kRecordHeaderBytes) {
    return absl::DataLossError(absl::StrCat(bytes.size(), " bytes, too few for a record's header"));
  }
  if (AllZero(bytes.substr(0, kRecordHeaderBytes))) return absl::DataLossError("zeros");
  const RecordHeader header = LoadRecordHeader(bytes.data());
  if (header.length > bytes.size() - kRecordHeaderBytes) {
    return absl::DataLossError(absl::StrCat("a header that claims ", header.length, " bytes of payload where ",
                                            bytes.size() - kRecordHeaderBytes, " are left"));
  }
  const absl::string_view payload = bytes.substr(kRecordHeaderBytes, header.length);
  const uint32_t crc = ExtendCrc32c(RecordHeaderCrc(log_id, header), payload);
  if (crc != header.crc) {
    return absl::DataLossError(absl::StrCat("checksum ", absl::Hex(header.crc, absl::kZeroPad8), " over bytes of ",
                                            absl::Hex(crc, absl::kZeroPad8)));
  }
  return RecordView{header, payload};
}

}  // namespace barid::storage
