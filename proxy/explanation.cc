#include "proxy/explanation.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

constexpr size_t kMostRefusing = 16;  // Filters that are shown.

std::string BlockedText(const GroupStanding::Blocker& blocker) {
  std::string text =
      absl::StrCat("it waits for the message ", blocker.message_id.empty() ? "(unreadable)" : blocker.message_id,
                   " of its message group, at offset ", blocker.offset, ", which ");
  if (blocker.until != absl::InfinitePast()) {
    absl::StrAppend(&text, "is in flight: last delivered to ", blocker.client, ", attempt ", blocker.attempt,
                    ", invisible until ", TimeText(blocker.until));
  } else if (blocker.attempt > 0) {
    absl::StrAppend(&text, "came back from ", blocker.client, " and waits to be delivered again");
  } else {
    absl::StrAppend(&text, "is to be delivered before it");
  }
  return text;
}

}  // namespace

Explanation::Explanation(std::shared_ptr<const Metadata> metadata, std::vector<ClientRead> reads,
                         filter::FilterCache* cache, int max_tags)
    : metadata_(std::move(metadata)), cache_(cache) {
  for (ClientRead& read : reads) {
    Filter filter;
    filter.is_sql = read.is_sql;
    if (read.is_sql) {
      filter.sql = std::move(read.expression);
    } else {
      absl::StatusOr<std::vector<std::string>> tags = ParseTagExpression(read.expression, max_tags);
      if (!tags.ok()) continue;  // Its receives are refused, and say why.
      filter.tags = *std::move(tags);
    }
    clients_[{std::move(read.group), std::move(read.topic)}].push_back(std::move(filter));
  }
}

const std::vector<Explanation::Filter>* Explanation::ClientsOf(const GroupStanding& standing) const {
  const GroupMetadata* const group = metadata_->FindGroup(standing.group);
  const TopicMetadata* const topic = metadata_->FindTopic(standing.queue.topic);
  if (group == nullptr || topic == nullptr) return nullptr;
  const auto found = clients_.find({group->name, topic->name});
  return found == clients_.end() ? nullptr : &found->second;
}

std::vector<Explanation::Filter> Explanation::FiltersOf(const GroupStanding& standing) const {
  std::vector<Filter> filters;
  for (const WaitingFilter& waiting : standing.waiting) {
    filters.push_back({!waiting.sql.empty(), waiting.tags, waiting.sql});
  }
  if (const std::vector<Filter>* const clients = ClientsOf(standing)) {
    filters.insert(filters.end(), clients->begin(), clients->end());
  }
  for (Filter& filter : filters) std::sort(filter.tags.begin(), filter.tags.end());
  std::sort(filters.begin(), filters.end());
  filters.erase(std::unique(filters.begin(), filters.end()), filters.end());
  return filters;
}

void Explanation::AddFilters(const std::vector<Filter>& filters, const StoredMessageView& message,
                             std::vector<std::string>* reasons) const {
  bool any_takes_it = false;
  std::vector<std::string> refusing;
  size_t more_refusing = 0;
  for (const Filter& filter : filters) {
    std::string problem;
    bool takes_it = filter.tags.empty() || (message.tag && std::find(filter.tags.begin(), filter.tags.end(),
                                                                     *message.tag) != filter.tags.end());
    if (filter.is_sql) {
      const absl::StatusOr<std::shared_ptr<const filter::Filter>> compiled = cache_->Get(filter.sql);
      if (!compiled.ok()) continue;
      const filter::Evaluation evaluation = (*compiled)->Evaluate(message);
      takes_it = evaluation.truth == filter::Truth::kTrue;
      if (evaluation.problem != filter::Problem::kNone) {
        problem = absl::StrCat(
            " (", filter::ProblemName(evaluation.problem),
            evaluation.name < 0 ? "" : absl::StrCat(": ", (*compiled)->names()[static_cast<size_t>(evaluation.name)]),
            ")");
      }
    }
    any_takes_it |= takes_it;
    if (takes_it) continue;
    if (refusing.size() == kMostRefusing) {
      ++more_refusing;
      continue;
    }
    refusing.push_back(absl::StrCat("the group's current filter \"",
                                    filter.is_sql ? filter.sql : absl::StrJoin(filter.tags, " || "),
                                    "\" does not take it", problem));
  }
  for (std::string& text : refusing) {
    if (any_takes_it) absl::StrAppend(&text, ", but another of its filters does: members of one group should agree");
    reasons->push_back(std::move(text));
  }
  if (more_refusing > 0) reasons->push_back(absl::StrCat("and ", more_refusing, " more of its filters do not take it"));
}

void Explanation::AddReaders(const GroupStanding& standing, std::vector<std::string>* reasons) const {
  if (!standing.waiting.empty()) return;
  const std::vector<Filter>* const clients = ClientsOf(standing);
  if (clients == nullptr) {
    reasons->push_back(
        "no receive of the group waits at the message's shard, and no client of this proxy says that it reads the "
        "topic: its members are busy, at other proxies, or there are none");
  } else {
    reasons->push_back(absl::StrCat("no receive of the group waits at the message's shard, though ", clients->size(),
                                    " of its clients ",
                                    clients->size() == 1 ? "says that it reads" : "say that they read",
                                    " the topic: they are busy, or ask elsewhere"));
  }
}

std::vector<std::string> Explanation::ReasonsOf(const GroupStanding& standing, const StoredMessageView* message) const {
  std::vector<std::string> reasons;
  const std::vector<Filter> filters = FiltersOf(standing);
  const bool was_filtered_out = standing.standing == "settled" && standing.detail == "filtered_out";
  if (was_filtered_out && message != nullptr) AddFilters(filters, *message, &reasons);
  if (standing.standing == "settled" || standing.standing == "gone" || standing.standing == "in_flight") return reasons;

  const GroupMetadata* const group = metadata_->FindGroup(standing.group);
  if (group != nullptr && group->paused) {
    reasons.push_back(
        absl::StrCat("the group is paused: it is given nothing until `baridctl group resume ", group->name.name,
                     group->name.space.empty() ? "" : absl::StrCat(" --namespace ", group->name.space), "`"));
  }
  if (standing.standing == "delayed" && standing.until != absl::InfinitePast()) {
    reasons.push_back(absl::StrCat("it was given back, to come again at ", TimeText(standing.until)));
  }
  if (standing.blocked_by) reasons.push_back(BlockedText(*standing.blocked_by));
  if (message != nullptr) AddFilters(filters, *message, &reasons);
  AddReaders(standing, &reasons);
  return reasons;
}

}  // namespace barid::proxy
