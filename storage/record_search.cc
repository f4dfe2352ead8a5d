#include "storage/record_search.h"

#include <array>
#include <functional>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/log.h"

namespace barid::storage {
namespace {

// No log is this far ahead of itself: keeps random bytes from being candidates.
constexpr uint64_t kMaxIndexDistance = uint64_t{1} << 32;

// CRC-32C's polynomial, bits reflected: bit 31 is x^0.
constexpr uint32_t kPolynomial = 0x82f63b78;

// a * b modulo the polynomial.
constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = uint32_t{1} << 31; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b >> 1) ^ ((b & 1) ? kPolynomial : 0);
  }
  return product;
}

// x^(8 * 2^k) for each k.
constexpr std::array<uint32_t, 32> MakePowers() {
  std::array<uint32_t, 32> powers = {};
  powers[0] = uint32_t{1} << (31 - 8);
  for (size_t k = 1; k < powers.size(); ++k) powers[k] = Multiply(powers[k - 1], powers[k - 1]);
  return powers;
}
constexpr std::array<uint32_t, 32> kPowers = MakePowers();

// How a difference between two CRCs looks after the same `bytes` more bytes in both. CRCs are linear, so this does not
// depend on what the bytes are: it is a multiplication by x^(8 * bytes).
uint32_t ShiftDifference(uint32_t difference, uint32_t bytes) {
  for (size_t k = 0; bytes != 0; ++k, bytes >>= 1) {
    if (bytes & 1) difference = Multiply(difference, kPowers[k]);
  }
  return difference;
}

}  // namespace

bool RecordSearch::Feed(absl::string_view bytes) {
  if (proof_) return true;
  window_.append(bytes.data(), bytes.size());
  size_t at = 0;
  for (; at + kRecordHeaderBytes <= window_.size() && !proof_; at += kRecordAlignment) {
    // Two numbers tell almost everything apart before the whole header is looked at.
    const auto index = LoadFixed<LogIndex>(window_.data() + at + offsetof(RecordHeader, index));
    const auto durable = LoadFixed<LogIndex>(window_.data() + at + offsetof(RecordHeader, durable));
    if (durable < bad_index_ || index <= durable || index - bad_index_ > kMaxIndexDistance) continue;
    Consider(window_offset_ + at, LoadRecordHeader(window_.data() + at));
  }
  if (!proof_) RunTo(window_offset_ + window_.size());
  // The running CRC is at the end, but the last bytes may still begin a header.
  window_.erase(0, at);
  window_offset_ += at;
  return proof_.has_value();
}

void RecordSearch::Consider(uint64_t offset, const RecordHeader& header) {
  const uint64_t payload_offset = offset + kRecordHeaderBytes;
  // The CRC over the header, were it a record, and the running CRC here differ by this before the payload.
  RunTo(payload_offset);
  if (proof_) return;
  const uint32_t difference = RecordHeaderCrc(log_id_, header) ^ running_crc_;
  candidates_.push(Candidate{.end = payload_offset + header.length,
                             .running_crc = header.crc ^ ShiftDifference(difference, header.length),
                             .proof = {.offset = offset, .index = header.index, .durable = header.durable}});
}

void RecordSearch::RunTo(uint64_t offset) {
  while (!candidates_.empty() && candidates_.top().end <= offset && !proof_) {
    const Candidate candidate = candidates_.top();
    candidates_.pop();
    ExtendTo(candidate.end);
    if (running_crc_ == candidate.running_crc) proof_ = candidate.proof;
  }
  ExtendTo(offset);
}

void RecordSearch::ExtendTo(uint64_t offset) {
  CHECK_LE(crc_offset_, offset);
  CHECK_LE(window_offset_, crc_offset_);
  running_crc_ =
      ExtendCrc32c(running_crc_, absl::string_view(window_).substr(crc_offset_ - window_offset_, offset - crc_offset_));
  crc_offset_ = offset;
}

}  // namespace barid::storage
