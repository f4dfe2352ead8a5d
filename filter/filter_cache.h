#ifndef BARID_FILTER_FILTER_CACHE_H_
#define BARID_FILTER_FILTER_CACHE_H_

#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "filter/filter.h"

namespace barid::filter {

// Compiled filters by their text, those used last. A consumer asks with the same filter again and again. Any thread.
class FilterCache {
 public:
  // What it keeps, filters with their texts; one filter is kept however large.
  explicit FilterCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Compiles it if it is not here. A text that cannot be compiled is not remembered.
  absl::StatusOr<std::shared_ptr<const Filter>> Get(absl::string_view expression);

  size_t size() const;

 private:
  struct Entry {
    std::string expression;
    std::shared_ptr<const Filter> filter;
    size_t bytes = 0;
  };

  const size_t max_bytes_;
  mutable Mutex mu_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mu_);  // Last used first.
  absl::flat_hash_map<absl::string_view, std::list<Entry>::iterator> by_expression_ ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace barid::filter

#endif  // BARID_FILTER_FILTER_CACHE_H_
