// Bytes as they may stand in a file of hashes: it is refused as damaged, or tells places, ascending, each once, the
// same each time; also behind checksums that fit. What was written whole is found whole.
#include <algorithm>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/simulated/disk.h"
#include "storage/hash_file.h"
#include "tests/fuzz/fuzz.h"

namespace barid::storage {
namespace {

constexpr absl::string_view kDir = "/lookup";
constexpr uint64_t kLogId = 42;
constexpr uint64_t kSegment = 7;
constexpr size_t kPageBytes = 4096;  // docs/storage-format.md

void FuzzFile(absl::string_view bytes) {
  SimulatedDisk disk(1);
  CHECK_OK(disk.CreateDir(kDir));
  CHECK_OK(WriteFileDurably(&disk, HashFilePath(kDir, kSegment), bytes));
  const auto file = HashFile::Open(&disk, kDir, kLogId, kSegment);
  if (!file.ok()) return CHECK(absl::IsDataLoss(file.status())) << file.status();
  CHECK_EQ((*file)->info().segment, kSegment);
  for (const uint64_t hash : {uint64_t{0}, uint64_t{1}, uint64_t{500}, uint64_t{1000}, ~uint64_t{0}}) {
    const auto places = (*file)->Find(hash);
    if (!places.ok()) {
      CHECK(absl::IsDataLoss(places.status())) << places.status();
      continue;
    }
    CHECK(std::adjacent_find(places->begin(), places->end(), std::greater_equal<>()) == places->end());
    CHECK(*(*file)->Find(hash) == *places);
  }
}

// Each whole page gets the checksum that its place asks for.
std::string Sealed(std::string bytes) {
  bytes.resize((bytes.size() + kPageBytes - 1) / kPageBytes * kPageBytes);
  for (uint64_t page = 0; page < bytes.size() / kPageBytes; ++page) {
    std::string where;
    PutFixed(&where, kLogId);
    PutFixed(&where, kSegment);
    PutFixed(&where, page);
    const absl::string_view content = absl::string_view(bytes).substr(page * kPageBytes, kPageBytes - sizeof(uint32_t));
    std::string crc;
    PutFixed<uint32_t>(&crc, ExtendCrc32c(Crc32c(where), content));
    bytes.replace((page + 1) * kPageBytes - sizeof(uint32_t), sizeof(uint32_t), crc);
  }
  return bytes;
}

// As the writer makes it, `entries` in each of `runs` runs.
std::string FileWith(uint32_t runs, uint32_t entries) {
  SimulatedDisk disk(1);
  CHECK_OK(disk.CreateDir(kDir));
  auto writer = HashFileWriter::Create(&disk, kDir, kLogId, kSegment).value();
  std::vector<uint32_t> of_one;
  for (uint32_t run = 0; run < runs; ++run) {
    std::vector<HashPlace> places;
    for (uint32_t i = 0; i < entries; ++i) {
      places.push_back({i * 500 % 1500, run * entries + i});
      if (places.back().hash == 500) of_one.push_back(places.back().place);
    }
    CHECK_OK(writer->AddRun(std::move(places)));
  }
  HashFileInfo info;
  info.first_index = 1;
  info.end_index = 1000;
  CHECK_OK(writer->Finish(info));
  CHECK(*HashFile::Open(&disk, kDir, kLogId, kSegment).value()->Find(500) == of_one);
  return ReadFile(&disk, HashFilePath(kDir, kSegment)).value();
}

}  // namespace
}  // namespace barid::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  barid::storage::FuzzFile(bytes);
  barid::storage::FuzzFile(barid::storage::Sealed(bytes));
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {barid::storage::FileWith(0, 0), barid::storage::FileWith(1, 5), barid::storage::FileWith(2, 400),
          barid::storage::FileWith(3, 1)};
}
