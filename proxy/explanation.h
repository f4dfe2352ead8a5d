#ifndef BARID_PROXY_EXPLANATION_H_
#define BARID_PROXY_EXPLANATION_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "base/stored_message.h"
#include "filter/filter_cache.h"
#include "proxy/clients.h"

namespace barid::proxy {

// Why a group is not given a message just now, for operators: from what the message's shard says, and from what the
// clients of this proxy say in their settings. No record of the log says which filter passed over a message; what can
// be said is which of the filters that the group has now would.
class Explanation {
 public:
  // `cache` outlives it.
  Explanation(std::shared_ptr<const Metadata> metadata, std::vector<ClientRead> reads, filter::FilterCache* cache,
              int max_tags);

  // One sentence for each reason; none for a message that was settled, but what filters say now of one that was
  // filtered out. nullptr: the message cannot be read.
  std::vector<std::string> ReasonsOf(const GroupStanding& standing, const StoredMessageView* message) const;

 private:
  struct Filter {
    bool is_sql = false;
    std::vector<std::string> tags;
    std::string sql;

    friend auto operator<=>(const Filter&, const Filter&) = default;
  };
  // Those of receives that wait and of clients, each once.
  std::vector<Filter> FiltersOf(const GroupStanding& standing) const;
  const std::vector<Filter>* ClientsOf(const GroupStanding& standing) const;
  void AddFilters(const std::vector<Filter>& filters, const StoredMessageView& message,
                  std::vector<std::string>* reasons) const;
  void AddReaders(const GroupStanding& standing, std::vector<std::string>* reasons) const;

  const std::shared_ptr<const Metadata> metadata_;
  filter::FilterCache* const cache_;
  // What clients say, by group and topic, one for each client.
  absl::btree_map<std::pair<ResourceName, ResourceName>, std::vector<Filter>> clients_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_EXPLANATION_H_
