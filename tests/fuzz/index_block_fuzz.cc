// Bytes as they may stand in the checkpoint store: an index block is refused, or means the same when it is written
// again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "broker/index.h"
#include "tests/fuzz/fuzz.h"

namespace barid::broker {
namespace {

void FuzzDecode(absl::string_view bytes) {
  const absl::StatusOr<IndexBlock> block = DecodeIndexBlock(bytes);
  if (!block.ok()) {
    CHECK(absl::IsDataLoss(block.status()));
    return;
  }
  CHECK_LE(block->entries.size(), static_cast<size_t>(kBlockEntries));
  const std::string again = EncodeIndexBlock(*block);
  const absl::StatusOr<IndexBlock> second = DecodeIndexBlock(again);
  CHECK_OK(second.status());
  CHECK_EQ(EncodeIndexBlock(*second), again);
}

IndexBlock BlockWith(uint64_t entries) {
  IndexBlock block;
  for (uint64_t i = 0; i < entries; ++i) {
    IndexEntry entry;
    entry.index = 1000 + i;
    entry.position = 100'000 + i * 512;
    entry.offset = 20;
    entry.bytes = 400;
    entry.tag_hash = static_cast<uint32_t>(i);
    entry.time_us = static_cast<int64_t>(1'900'000'000'000'000 + i);
    block.entries.push_back(entry);
    if (i % 3 == 0) block.provenance[static_cast<QueueOffset>(i)] = {"topic", "id", "reason", 3};
  }
  return block;
}

}  // namespace
}  // namespace barid::broker

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  barid::broker::FuzzDecode(bytes);
  // Behind a checksum that fits, so that what it guards is reached too.
  std::string sealed(bytes);
  barid::PutFixed<uint32_t>(&sealed, barid::Crc32c(bytes));
  barid::broker::FuzzDecode(sealed);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (const uint64_t entries : {0, 1, 5, 256}) {
    std::string block = barid::broker::EncodeIndexBlock(barid::broker::BlockWith(entries));
    seeds.push_back(block);
    block.resize(block.size() - sizeof(uint32_t));  // To be sealed again.
    seeds.push_back(std::move(block));
  }
  return seeds;
}
