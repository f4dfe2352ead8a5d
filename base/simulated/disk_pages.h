#ifndef BARID_BASE_SIMULATED_DISK_PAGES_H_
#define BARID_BASE_SIMULATED_DISK_PAGES_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "base/random.h"

namespace barid {

inline constexpr uint64_t kSectorBytes = 512;

// The content of one simulated file, twice: as the page cache shows it and as the disk has it. A copy shares its pages
// until one side writes. Not thread-safe; SimulatedDisk guards it.
class DiskPages {
 public:
  uint64_t size() const { return cache_.size; }

  // `random` decides whether a version of a sector that is written again had reached the disk already.
  void Write(uint64_t offset, absl::string_view bytes, Random* random);
  // Returns how many bytes there were. `direct`: as the disk has them; what still waits to be written back is written
  // back by such a read, as on Linux, and so seen too.
  size_t Read(uint64_t offset, size_t size, char* out, bool direct) const;
  void Truncate(uint64_t size);

  // The disk now has what was written since the last sync, failed or not.
  void Sync();
  // The disk has nothing or some of it, and the cache takes it for written.
  void FailSync(Random* random);
  // The cache is gone, the disk has any part of what was not synced.
  void CutPower(Random* random);

  void FlipBit(uint64_t bit);

 private:
  static constexpr uint64_t kPageBytes = 4096;
  static constexpr int kSectorsPerPage = kPageBytes / kSectorBytes;
  static constexpr uint8_t kAllSectors = 0xff;
  static_assert(kSectorsPerPage == 8, "the sectors of a page are the bits of a byte");
  using Page = std::array<char, kPageBytes>;
  struct Image {
    uint64_t size = 0;
    // Null, or behind the end of the vector: zeros. Zeros behind `size`, but for dirty sectors of disk_.
    std::vector<std::shared_ptr<Page>> pages;
  };
  enum class Loss { kNothing, kSome, kAll };

  static Page* Writable(Image* image, uint64_t page);
  static void CopySectors(const Image& from, uint64_t page, uint8_t sectors, Image* to);
  static void Resize(Image* image, uint64_t size);
  // Moves dirty sectors and the size to the disk, but for what `loss` takes. Leaves no sector dirty.
  void WriteBack(Loss loss, Random* random);

  Image cache_;
  Image disk_;
  // Page number to the sectors in it, as bits, that Sync has to write.
  absl::btree_map<uint64_t, uint8_t> dirty_;
  bool is_size_dirty_ = false;
};

}  // namespace barid

#endif  // BARID_BASE_SIMULATED_DISK_PAGES_H_
