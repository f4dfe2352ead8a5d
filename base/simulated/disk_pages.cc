#include "base/simulated/disk_pages.h"

#include <algorithm>
#include <cstring>

namespace barid {
namespace {

// The bits of the sectors in one page that hold bytes [first, end) of that page.
uint8_t SectorMask(uint64_t first, uint64_t end) {
  const uint64_t first_sector = first / kSectorBytes;
  const uint64_t end_sector = (end + kSectorBytes - 1) / kSectorBytes;
  return static_cast<uint8_t>((1u << end_sector) - (1u << first_sector));
}

}  // namespace

DiskPages::Page* DiskPages::Writable(Image* image, uint64_t page) {
  if (image->pages.size() <= page) image->pages.resize(page + 1);
  std::shared_ptr<Page>& slot = image->pages[page];
  if (slot == nullptr) {
    slot = std::make_shared<Page>();
  } else if (slot.use_count() > 1) {
    slot = std::make_shared<Page>(*slot);
  }
  return slot.get();
}

void DiskPages::CopySectors(const Image& from, uint64_t page, uint8_t sectors, Image* to) {
  const std::shared_ptr<Page> source = page < from.pages.size() ? from.pages[page] : nullptr;
  if (sectors == kAllSectors) {
    if (to->pages.size() <= page) to->pages.resize(page + 1);
    to->pages[page] = source;
    return;
  }
  static const Page kZeros{};
  const char* bytes = source == nullptr ? kZeros.data() : source->data();
  Page* target = Writable(to, page);
  for (int sector = 0; sector < kSectorsPerPage; ++sector) {
    if ((sectors >> sector & 1) == 0) continue;
    std::memcpy(target->data() + sector * kSectorBytes, bytes + sector * kSectorBytes, kSectorBytes);
  }
}

void DiskPages::Resize(Image* image, uint64_t size) {
  image->size = size;
  image->pages.resize((size + kPageBytes - 1) / kPageBytes);
  const uint64_t tail = size % kPageBytes;
  if (tail == 0 || image->pages.back() == nullptr) return;
  Page* last = Writable(image, image->pages.size() - 1);
  std::memset(last->data() + tail, 0, kPageBytes - tail);
}

void DiskPages::Write(uint64_t offset, absl::string_view bytes, Random* random) {
  while (!bytes.empty()) {
    const uint64_t page = offset / kPageBytes;
    const uint64_t start = offset % kPageBytes;
    const uint64_t size = std::min<uint64_t>(bytes.size(), kPageBytes - start);
    const uint8_t sectors = SectorMask(start, start + size);
    uint8_t& dirty = dirty_[page];
    if ((dirty & sectors) != 0 && random->OneIn(4)) CopySectors(cache_, page, dirty & sectors, &disk_);
    dirty |= sectors;
    std::memcpy(Writable(&cache_, page)->data() + start, bytes.data(), size);
    offset += size;
    bytes.remove_prefix(size);
  }
  if (offset > cache_.size) {
    cache_.size = offset;
    is_size_dirty_ = true;
  }
}

size_t DiskPages::Read(uint64_t offset, size_t size, char* out, bool direct) const {
  if (offset >= cache_.size) return 0;
  size = std::min<uint64_t>(size, cache_.size - offset);
  const uint64_t end = offset + size;
  while (offset < end) {
    const uint64_t page = offset / kPageBytes;
    const uint64_t start = offset % kPageBytes;
    // A sector at a time when reading past the cache: each may come from either image.
    const uint64_t step = direct ? kSectorBytes : kPageBytes;
    const uint64_t count = std::min(end - offset, step - start % step);
    bool from_disk = direct;
    if (const auto dirty = dirty_.find(page); from_disk && dirty != dirty_.end()) {
      from_disk = (dirty->second >> (start / kSectorBytes) & 1) == 0;
    }
    const Image& image = from_disk ? disk_ : cache_;
    if (page < image.pages.size() && image.pages[page] != nullptr) {
      std::memcpy(out, image.pages[page]->data() + start, count);
    } else {
      std::memset(out, 0, count);
    }
    out += count;
    offset += count;
  }
  return size;
}

void DiskPages::Truncate(uint64_t size) {
  if (size == cache_.size) return;
  // What is cut off has to go from the disk too, or it would come back when the file grows again.
  for (uint64_t first = size; first < cache_.size;) {
    const uint64_t page = first / kPageBytes;
    const uint64_t end = std::min(cache_.size, (page + 1) * kPageBytes);
    dirty_[page] |= SectorMask(first - page * kPageBytes, end - page * kPageBytes);
    first = end;
  }
  Resize(&cache_, size);
  is_size_dirty_ = true;
}

void DiskPages::WriteBack(Loss loss, Random* random) {
  const auto kept = [loss, random](uint8_t sectors) -> uint8_t {
    if (loss == Loss::kNothing) return sectors;
    return loss == Loss::kAll ? 0 : sectors & random->Next();
  };
  for (const auto& [page, sectors] : dirty_) {
    if (const uint8_t copied = kept(sectors); copied != 0) CopySectors(cache_, page, copied, &disk_);
  }
  dirty_.clear();

  uint64_t size = disk_.size;
  if (is_size_dirty_ && loss != Loss::kAll) {
    size = cache_.size;
    if (loss == Loss::kSome && random->OneIn(2)) {
      const auto [low, high] = std::minmax(disk_.size, cache_.size);
      size = random->OneIn(2) ? disk_.size : low + random->Below(high - low + 1);
    }
  }
  Resize(&disk_, size);
}

void DiskPages::Sync() {
  WriteBack(Loss::kNothing, nullptr);
  is_size_dirty_ = false;
}

void DiskPages::FailSync(Random* random) {
  // The size stays to be written: only the data counts as written.
  WriteBack(random->OneIn(2) ? Loss::kAll : Loss::kSome, random);
}

void DiskPages::CutPower(Random* random) {
  // The extremes often: many mistakes show only there.
  const uint64_t choice = random->Below(4);
  WriteBack(choice == 0 ? Loss::kNothing : choice == 1 ? Loss::kAll : Loss::kSome, random);
  cache_ = disk_;
  is_size_dirty_ = false;
}

void DiskPages::FlipBit(uint64_t bit) {
  const uint64_t byte = bit / 8;
  for (Image* image : {&cache_, &disk_}) {
    if (byte >= image->size) continue;
    (*Writable(image, byte / kPageBytes))[byte % kPageBytes] ^= static_cast<char>(1 << (bit % 8));
  }
}

}  // namespace barid
