#include "filter/filter_cache.h"

#include <utility>

#include "base/status.h"

namespace barid::filter {

absl::StatusOr<std::shared_ptr<const Filter>> FilterCache::Get(absl::string_view expression) {
  {
    MutexLock lock(&mu_);
    const auto found = by_expression_.find(expression);
    if (found != by_expression_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return entries_.front().filter;
    }
  }
  // Two threads may compile the same one: the first to be done is kept.
  ASSIGN_OR_RETURN(std::shared_ptr<const Filter> filter, Filter::Compile(expression));
  MutexLock lock(&mu_);
  const auto found = by_expression_.find(expression);
  if (found != by_expression_.end()) return found->second->filter;
  const size_t bytes = sizeof(Entry) + expression.size() + filter->memory_bytes();
  entries_.push_front({std::string(expression), filter, bytes});
  by_expression_[entries_.front().expression] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > max_bytes_ && entries_.size() > 1) {
    bytes_ -= entries_.back().bytes;
    by_expression_.erase(entries_.back().expression);
    entries_.pop_back();
  }
  return filter;
}

size_t FilterCache::size() const {
  MutexLock lock(&mu_);
  return entries_.size();
}

}  // namespace barid::filter
