#include "broker/parked_messages.h"

#include <algorithm>

#include "base/log.h"

namespace barid::broker {

size_t ParkedMessages::Chunk::LowerBound(QueueOffset place) const {
  const auto it = std::lower_bound(places.begin(), places.end(), place,
                                   [](const Place& one, QueueOffset wanted) { return one.place < wanted; });
  return static_cast<size_t>(it - places.begin());
}

void ParkedMessages::Add(QueueOffset offset, uint64_t message_group) {
  const int64_t number = offset / kChunkOffsets;
  const auto place = static_cast<uint16_t>(offset % kChunkOffsets);
  Chunk& chunk = chunks_[number];
  const auto [group, is_new] = group_chunks_.try_emplace(
      {message_group, number}, GroupChunk{static_cast<uint16_t>(chunk.message_groups.size()), place});
  if (is_new) chunk.message_groups.push_back(message_group);
  group->second.first_place = std::min(group->second.first_place, place);
  const size_t at = chunk.LowerBound(place);
  CHECK(at == chunk.places.size() || chunk.places[at].place != place) << "it is parked already" << KV("offset", offset);
  chunk.places.insert(chunk.places.begin() + static_cast<std::ptrdiff_t>(at), {place, group->second.group});
  ++size_;
}

void ParkedMessages::Remove(QueueOffset offset) {
  const int64_t number = offset / kChunkOffsets;
  const auto place = static_cast<uint16_t>(offset % kChunkOffsets);
  const auto it = chunks_.find(number);
  CHECK(it != chunks_.end()) << "it is not parked" << KV("offset", offset);
  Chunk& chunk = it->second;
  const size_t at = chunk.LowerBound(place);
  CHECK(at < chunk.places.size() && chunk.places[at].place == place) << "it is not parked" << KV("offset", offset);
  const uint16_t group = chunk.places[at].group;
  const auto next = chunk.places.erase(chunk.places.begin() + static_cast<std::ptrdiff_t>(at));
  --size_;
  const auto group_chunk = group_chunks_.find({chunk.message_groups[group], number});
  if (group_chunk->second.first_place == place) {
    const auto first = std::find_if(next, chunk.places.end(), [group](const Place& one) { return one.group == group; });
    if (first != chunk.places.end()) {
      group_chunk->second.first_place = first->place;
    } else {
      group_chunks_.erase(group_chunk);
      if (chunk.places.empty()) {
        chunks_.erase(it);
        return;
      }
      LeaveGroup(number, group, &chunk);
    }
  }
  // What a chunk once held must not stay allocated behind the little that is left.
  if (chunk.places.capacity() > 4 * chunk.places.size() + 16) chunk.places.shrink_to_fit();
  if (chunk.message_groups.capacity() > 4 * chunk.message_groups.size() + 16) chunk.message_groups.shrink_to_fit();
}

void ParkedMessages::LeaveGroup(int64_t number, uint16_t group, Chunk* chunk) {
  const auto last = static_cast<uint16_t>(chunk->message_groups.size() - 1);
  if (group != last) {
    chunk->message_groups[group] = chunk->message_groups[last];
    group_chunks_.find({chunk->message_groups[group], number})->second.group = group;
    for (Place& one : chunk->places) {
      if (one.group == last) one.group = group;
    }
  }
  chunk->message_groups.pop_back();
}

int64_t ParkedMessages::bytes() const {
  static_assert(kMostBytes == sizeof(Place) + kGroupChunkBytes + kChunkBytes);
  return size_ * static_cast<int64_t>(sizeof(Place)) + static_cast<int64_t>(group_chunks_.size()) * kGroupChunkBytes +
         static_cast<int64_t>(chunks_.size()) * kChunkBytes;
}

std::optional<uint64_t> ParkedMessages::MessageGroupOf(QueueOffset offset) const {
  const auto it = chunks_.find(offset / kChunkOffsets);
  if (it == chunks_.end()) return std::nullopt;
  const Chunk& chunk = it->second;
  const size_t at = chunk.LowerBound(offset % kChunkOffsets);
  if (at == chunk.places.size() || chunk.places[at].place != offset % kChunkOffsets) return std::nullopt;
  return chunk.message_groups[chunk.places[at].group];
}

std::optional<QueueOffset> ParkedMessages::FirstOf(uint64_t message_group, QueueOffset from) const {
  for (auto it = group_chunks_.lower_bound({message_group, from / kChunkOffsets});
       it != group_chunks_.end() && it->first.first == message_group; ++it) {
    const int64_t number = it->first.second;
    const Chunk& chunk = chunks_.find(number)->second;
    const QueueOffset first = number * kChunkOffsets;
    if (from <= first + it->second.first_place) return first + it->second.first_place;
    for (size_t at = chunk.LowerBound(from - first); at < chunk.places.size(); ++at) {
      if (chunk.places[at].group == it->second.group) return first + chunk.places[at].place;
    }
  }
  return std::nullopt;
}

ParkedMessages::Iterator ParkedMessages::begin() const { return Iterator(chunks_.begin(), 0); }
ParkedMessages::Iterator ParkedMessages::end() const { return Iterator(chunks_.end(), 0); }

ParkedMessages::Iterator ParkedMessages::lower_bound(QueueOffset offset) const {
  const int64_t number = offset / kChunkOffsets;
  auto it = chunks_.lower_bound(number);
  if (it == chunks_.end() || it->first != number) return Iterator(it, 0);
  const size_t at = it->second.LowerBound(offset % kChunkOffsets);
  if (at == it->second.places.size()) return Iterator(++it, 0);
  return Iterator(it, at);
}

ParkedMessages::Message ParkedMessages::Iterator::operator*() const {
  const Place& one = chunk_->second.places[place_];
  return {chunk_->first * kChunkOffsets + one.place, chunk_->second.message_groups[one.group]};
}

ParkedMessages::Iterator& ParkedMessages::Iterator::operator++() {
  if (++place_ == chunk_->second.places.size()) {
    ++chunk_;
    place_ = 0;
  }
  return *this;
}

}  // namespace barid::broker
